"""The predictor of a model in this process."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from spacy.tokens import Doc, Span

from ..config.settings import LossWeights
from ..errors import Errors, Warnings, warn
from ..formats import Format
from ..grammar import Source
from ..models.language_model import LanguageModel
from ..models.tokenization import ChatFrame, chat_frame
from ..prompts import PromptLayout, TaskEncoder
from ..prompts.encoder import fitting
from ..prompts.windows import Window, WindowCutter, WindowSettings
from ..training.targets import TargetBuilder
from .results import (
    REPAIRED,
    WINDOWED,
    Prediction,
    TokenSpan,
    failed_prediction,
    map_with_fallback,
    resolve_crossing,
)
from .verifier import Judge, Verdict, Verifier

if TYPE_CHECKING:
    from ..decoding.batcher import DecodingResult, DecodingTask
    from ..decoding.decoder import StepDecoder
    from ..decoding.engine import Engine
    from ..models.draft_head import DraftHead
    from ..training.data import DraftHeadReader
    from ..training.trainer import Trainer


class Annotator:
    """Finds the spans of Docs.

    engine (Engine): The model behind the shared prefix.
    encoder (TaskEncoder): Makes prompts and grammars.
    decoder (StepDecoder): Decodes.
    cutter (WindowCutter): Cuts the documents.
    """

    def __init__(
        self,
        engine: "Engine",
        encoder: TaskEncoder,
        decoder: "StepDecoder",
        cutter: WindowCutter,
    ):
        self.engine = engine
        self.encoder = encoder
        self.decoder = decoder
        self.cutter = cutter

    def annotate(self, docs: Sequence[Doc]) -> list[Prediction]:
        """Find the spans of some documents, decoded together.

        Where that fails, each is tried alone, so that one document's failure is its
        own.

        docs (Sequence[Doc]): The documents. They are not changed.
        RETURNS (List[Prediction]): One outcome for each.
        """
        return map_with_fallback(self._annotate, docs, failed_prediction)

    def _annotate(self, docs: Sequence[Doc]) -> list[Prediction]:
        parts: list[tuple[int, Window, Source]] = []
        outcomes = [Prediction() for _ in docs]
        cut = set()
        for index, doc in enumerate(docs):
            for window in self.cutter.windows(doc):
                if window.cut:
                    outcomes[index].status = WINDOWED
                    cut.add(index)
                if self.cutter.holds(window):
                    parts.append((index, window, self.cutter.source(doc, window)))
                else:
                    outcomes[index].issues.append(self._too_long(doc, window))
        parts = [part for part in parts if len(part[2])]
        tasks = [
            self._task(docs[index], window, source) for index, window, source in parts
        ]
        decoded = self.decoder.decode(self.engine, tasks)
        for (index, window, source), result in zip(parts, decoded, strict=True):
            found, doubts = self._spans(window, source, result)
            outcomes[index].spans += found
            outcomes[index].issues += doubts
        places = {label: place for place, label in enumerate(self.encoder.labels)}
        for index, outcome in enumerate(outcomes):
            outcome.spans.sort(key=lambda s: (s.start, -s.end, places[s.label]))
            if index in cut and not self.encoder.format.allows_crossing:
                resolve_crossing(outcome)
            if outcome.issues:
                outcome.status = REPAIRED
        return outcomes

    def _too_long(self, doc: Doc, window: Window) -> dict[str, Any]:
        """The issue of a token that is not run."""
        token = doc[window.start]
        return {
            "code": "too_long",
            "message": (
                f"the token {token.text[:20]!r}... has {window.size} model tokens, at "
                f"most {self.cutter.longest} can be run: nothing was looked for in it"
            ),
            "start": window.start,
            "end": window.end,
            "within": "tokens",
        }

    def _task(self, doc: Doc, window: Window, source: Source) -> "DecodingTask":
        from ..decoding.batcher import DecodingTask

        prompt = self.encoder.prompt(source)
        # The reference has none, and a decoder of one's own need not have one.
        drafter = getattr(self.decoder, "drafter", None)
        found = None if drafter is None else drafter.expected(doc)
        expected = None
        if found is not None:
            expected = tuple(self._in_units(found, window, source))
        ends = self.encoder.unit_ends(source, prompt)
        return DecodingTask(self.encoder.grammar(source), prompt, ends, expected)

    def _in_units(
        self, spans: Iterable[Span], window: Window, source: Source
    ) -> Iterator[tuple[int, int, int]]:
        """The spans that lie in a window and have a known label."""
        labels = self.encoder.labels
        for span in spans:
            first, after = span.start - window.start, span.end - window.start
            if span.label_ in labels and 0 <= first and span.end <= window.end:
                units = source.units_of(first, after)
                if units is not None:
                    yield (*units, labels.index(span.label_))

    def _spans(
        self, window: Window, source: Source, decoded: "DecodingResult"
    ) -> tuple[list[TokenSpan], list[dict[str, Any]]]:
        """The spans that a window decides of, and what is in doubt about them."""
        spans, doubts = [], []
        for span in decoded.spans:
            start = window.start + source.tokens[span.start]
            end = window.start + source.tokens[span.end - 1] + 1
            if window.decides(start, end):
                label = self.encoder.labels[span.label]
                spans.append(TokenSpan(start, end, label, span.score))
                if span.doubtful:
                    doubts.append(
                        {
                            "code": "ambiguous_place",
                            "message": (
                                f"the text of {label} over tokens {start} to {end} "
                                "stands at more places than the output has entries "
                                "for it"
                            ),
                            "start": start,
                            "end": end,
                            "within": "tokens",
                        }
                    )
        return spans, doubts


@cache
def limit_forked_threads() -> None:
    """Let the children of this process compute, as `n_process` forks them.

    Once OpenMP has run in a process, its threads are missing in a forked child, which
    then waits for them for ever. With one thread it needs none of them.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_one_thread)


def warn_gpu_in_subprocess(device: str) -> None:
    """Warn where a process that another one has made is to compute on a GPU; spaCy
    warns of it only where CuPy is installed.

    device (str): The type of the device, as torch names it.
    """
    if device != "cpu" and multiprocessing.parent_process() is not None:
        warn(Warnings.W405.format(device=device))


def _one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


class LocalPredictor:
    """What is made once the base is loaded and the labels are known.

    lm (LanguageModel): The language model; its base is loaded here.
    fmt (Format): The output format.
    layout (PromptLayout): The prompt, with the labels.
    max_depth (int): How deep spans may be nested.
    window (WindowSettings): How documents are cut.
    chat (Union[bool, str]): Whether a prompt is a turn of a chat; "auto" for a model
        without an adapter that has a chat template.
    RAISES (ValueError): It is to be one, and the tokenizer has no chat template.
    """

    def __init__(
        self,
        lm: LanguageModel,
        fmt: Format,
        layout: PromptLayout,
        max_depth: int,
        window: WindowSettings,
        chat: bool | str = False,
    ):
        from ..models.tokenization import TokenAlignedEncoder

        limit_forked_threads()
        self.lm = lm
        self.base_checksum: str = lm.base.source.checksum
        encode = TokenAlignedEncoder(lm.tokenizer)
        plain = ChatFrame(encode.begin_ids, (), encode.end_id)
        frame = _chat_frame(lm, chat, lm.lora is None) or plain
        self._judged_as = _chat_frame(lm, chat, True) or plain
        config = lm.base.model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None)
        self.encoder = TaskEncoder(
            fmt,
            fitting(layout, lambda t: len(encode(t)), limit, window.max_tokens),
            encode,
            frame.before,
            max_depth,
            frame.after,
            limit,
        )
        self.cutter = WindowCutter(window, self.encoder)
        self._end_id = frame.end_id
        self._annotator: tuple[tuple[int, Any], Annotator] | None = None
        self._judge: tuple[Verifier, Judge] | None = None
        self._trainer: Trainer | None = None
        self._told_of_state = False
        self._lock = threading.Lock()

    def annotator(self, decoder: Any) -> Annotator:
        """What annotates with the adapter as it is now.

        decoder (StepDecoder): Decodes.
        RETURNS (Annotator): Made anew where the adapter has changed.
        """
        from ..decoding.engine import Engine
        from ..models.base_model import text_decoder

        warn_gpu_in_subprocess(self.lm.device.type)
        with self._lock:
            key = (self.lm.version, decoder)
            if self._annotator is None or self._annotator[0] != key:
                # The old engine goes before a new merged copy is made.
                self._annotator = None
                network = self.lm.decoding_network()
                head = self.lm.drafting.for_decoding(
                    len(self.encoder.labels), self.lm.device
                )
                decoding = text_decoder(network)
                engine = Engine(network, decoding, self.encoder.prefix_ids, head)
                self._tell_of_state(engine)
                made = Annotator(engine, self.encoder, decoder, self.cutter)
                self._annotator = (key, made)
            return self._annotator[1]

    def _tell_of_state(self, engine: "Engine") -> None:
        if not engine.cached and not self._told_of_state:
            self._told_of_state = True
            warn(Warnings.W406.format(name=self.lm.name))

    def judge(self, verifier: Verifier) -> Judge:
        """What answers the verifier's questions: the base, without an adapter that has
        learnt to do something else.

        verifier (Verifier): Asks.
        RETURNS (Judge): Made anew where the verifier is another.
        """
        with self._lock:
            if self._judge is None or self._judge[0] is not verifier:
                self._judge = (verifier, self._make_judge(verifier))
            return self._judge[1]

    def _make_judge(self, verifier: Verifier) -> Judge:
        from ..decoding.engine import Engine, YesNoScorer
        from ..models.base_model import text_decoder

        encode = self.encoder.encode
        layout = verifier.layout(self.encoder.layout)
        network = self.lm.base.model
        prefix = [*self._judged_as.before, *encode(layout.prefix)]
        engine = Engine(network, text_decoder(network), prefix)
        before, after = layout.around()
        limit = self.encoder.limit

        def judge(texts: Sequence[str]) -> list[Verdict]:
            prompts = [
                (*encode(before + text + after), *self._judged_as.after)
                for text in texts
            ]
            fits = [limit is None or len(prefix) + len(p) <= limit for p in prompts]
            odds = iter(
                YesNoScorer(engine, encode).probabilities(
                    [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
                )
            )
            too_long = Verdict(None, f"the model holds {limit} tokens")
            return [Verdict(next(odds)) if fit else too_long for fit in fits]

        return judge

    def trainer(self, loss: LossWeights, max_tokens: int) -> "Trainer":
        """What computes gradients of the adapter.

        loss (LossWeights): The weights of the losses.
        max_tokens (int): Tokens that are run at once.
        RETURNS (Trainer): The trainer of the network as it is now.
        """
        from ..models.base_model import text_decoder
        from ..training.trainer import Trainer

        network, head = self.lm.training_network, self.draft_head()
        made = self._trainer
        if made is None or made.network is not network or made.draft_head is not head:
            decoder = text_decoder(network)
            prefix = self.encoder.prefix_ids
            made = Trainer(network, decoder, prefix, loss, max_tokens, head)
            self._trainer = made
        return made

    def draft_head(self) -> "DraftHead | None":
        """RETURNS (Optional[DraftHead]): The draft head, to be trained; None where none
        is wanted."""
        return self.lm.drafting.for_training(
            self.lm.base.model.config.get_text_config().hidden_size,
            len(self.encoder.labels),
            self.lm.device,
            self.lm.seed,
        )

    def text_reader(self, max_tokens: int) -> "DraftHeadReader":
        """What reads texts for the draft head.

        max_tokens (int): Tokens that are run at once.
        RETURNS (DraftHeadReader): Reads with the adapter as it is now.
        """
        from ..models.backbone import Backbone
        from ..models.base_model import text_decoder
        from ..training.data import DraftHeadReader

        network = self.lm.decoding_network()
        backbone = Backbone(network, text_decoder(network), tapped=True)
        prefix = self.encoder.prefix_ids
        return DraftHeadReader(backbone, prefix, max_tokens, self.lm.device)

    def gold(
        self, spans_key: str, crossing: str, sentences_by: str | None = None
    ) -> TargetBuilder:
        """What turns examples into training rows.

        spans_key (str): The group that holds the reference spans.
        crossing (str): "refuse" or "drop".
        sentences_by (Optional[str]): The component before this one that sets
            sentences.
        RETURNS (TargetBuilder): The reader.
        """
        return TargetBuilder(
            self.cutter, spans_key, crossing, self._end_id, sentences_by
        )


def _chat_frame(lm: LanguageModel, chat: bool | str, auto: bool) -> ChatFrame | None:
    """What stands around a prompt; None where it is no turn of a chat. `auto` says
    what "auto" is to mean."""
    if chat is False or (chat == "auto" and not auto):
        return None
    frame = chat_frame(lm.tokenizer)
    if frame is None and chat is True:
        raise ValueError(Errors.G113.format(name=lm.name))
    return frame
