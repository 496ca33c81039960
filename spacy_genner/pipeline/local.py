"""The predictor of a model in this process: windows, prompts, decoding and merging."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from spacy.tokens import Doc, Span

from ..config.settings import LossWeights
from ..errors import Errors, Warnings, warn
from ..formats import InlineFormat
from ..grammar import Source
from ..models.language_model import LanguageModel
from ..models.tokenization import ChatFrame
from ..prompts import PromptLayout, TaskEncoder
from ..prompts.encoder import resolve_chat
from ..prompts.windows import Window, WindowCutter
from .predictor import PredictorConfig
from .results import (
    OK,
    REPAIRED,
    Prediction,
    TokenSpan,
    failed_prediction,
    map_with_fallback,
    merge_windows,
)
from .verifier import Verdict

if TYPE_CHECKING:
    from ..decoding.batcher import DecodingResult, DecodingTask
    from ..decoding.engine import Engine, YesNoScorer
    from ..models.draft_head import DraftHead
    from ..training.data import DraftHeadReader
    from ..training.targets import TargetBuilder
    from ..training.trainer import Trainer


class LocalPredictor:
    """Predicts with a language model in this process, and provides what its training
    needs.

    lm (LanguageModel): The language model. Its base is loaded here.
    config (PredictorConfig): The settings of the component.
    RAISES (ValueError): The base is not available, the prompt leaves no room for text,
        or `chat` is true and the tokenizer has no chat template.

    layout (PromptLayout): The prompt, with the demonstrations that fit.
    checksum (str): The checksum of the base's weights.
    encoder (TaskEncoder): Makes prompts and grammars.
    cutter (WindowCutter): Cuts documents into windows.
    end_id (int | None): The token id that ends an output.
    """

    def __init__(self, lm: LanguageModel, config: PredictorConfig):
        limit_forked_threads()
        self.lm = lm
        self.checksum: str = lm.base.source.checksum
        self.decoder = config.decoder
        bias = getattr(config.decoder, "opening_bias", 0.0)
        if bias and not isinstance(config.format, InlineFormat):
            raise ValueError(Errors.G429.format(found=bias, format=config.format.name))
        self.uses_draft_head = config.uses_draft_head
        encode = lm.token_encoder
        plain = ChatFrame(encode.begin_ids, (), encode.end_id)
        error = Errors.G113.format(name=lm.name)
        is_base = not lm.has_adapter
        frame = resolve_chat(lm.tokenizer, config.chat, is_base, error) or plain
        self._judge_frame = (
            resolve_chat(lm.tokenizer, config.chat, True, error) or plain
        )
        self.end_id = frame.end_id
        text_config = lm.base.model.config.get_text_config()
        limit = getattr(text_config, "max_position_embeddings", None)

        def count(text: str) -> int:
            return len(encode(text))

        self.layout = config.layout.fit_demonstrations(
            count, limit, config.window.max_tokens
        )
        self.encoder = TaskEncoder(
            config.format,
            self.layout,
            encode,
            frame.before,
            config.max_depth,
            frame.after,
            limit,
        )
        self.cutter = WindowCutter(
            config.window,
            count,
            limit=limit,
            fixed=len(self.encoder.prefix_ids) + self.encoder.prompt_length(0),
            readings=self.encoder.readings,
        )
        self._engine: tuple[int, Engine] | None = None
        self._scorer: tuple[PromptLayout, YesNoScorer] | None = None
        self._trainer: Trainer | None = None
        self._warned_of_state = False
        self._lock = threading.Lock()

    def engine(self) -> "Engine":
        """RETURNS (Engine): Runs the model with the adapter as it is now."""
        from ..decoding.engine import Engine
        from ..models.base_model import text_decoder

        warn_gpu_in_subprocess(self.lm.device.type)
        with self._lock:
            version = self.lm.version
            if self._engine is None or self._engine[0] != version:
                # Free the old engine before a new merged copy is made.
                self._engine = None
                network = self.lm.decoding_network()
                head = None
                if self.uses_draft_head:
                    head = self.lm.drafting.for_decoding(
                        self.encoder.labels, self.lm.device
                    )
                engine = Engine(
                    network,
                    text_decoder(network),
                    self.encoder.prefix_ids,
                    head,
                    self.lm.head_weight,
                )
                if not engine.cached and not self._warned_of_state:
                    self._warned_of_state = True
                    warn(Warnings.W406.format(name=self.lm.name))
                self._engine = (version, engine)
            return self._engine[1]

    def load(self) -> None:
        """Prepare decoding with the adapter as it is now, before the first use."""
        self.engine()

    def predict(self, docs: Sequence[Doc]) -> list[Prediction]:
        """Predict the spans of some documents, which are decoded together.

        If that fails, each document is tried alone, so that the failure of one is its
        own.

        docs (Sequence[Doc]): The documents. They are not changed.
        RETURNS (list[Prediction]): One prediction for each.
        """
        engine = self.engine()
        return map_with_fallback(
            lambda some: self._predict(engine, some), docs, failed_prediction
        )

    def _predict(self, engine: "Engine", docs: Sequence[Doc]) -> list[Prediction]:
        windows = [self.cutter.windows(doc) for doc in docs]
        parts = [[Prediction() for _ in each] for each in windows]
        inputs: list[tuple[int, int, Source]] = []
        tasks: list[DecodingTask] = []
        for index, doc in enumerate(docs):
            for number, window in enumerate(windows[index]):
                if not self.cutter.holds(window):
                    parts[index][number] = self._too_long(doc, window)
                    continue
                source = self.encoder.source_of(doc[window.start : window.end])
                if len(source):
                    inputs.append((index, number, source))
                    tasks.append(self.decoding_task(doc, window, source))
        decoded = self.decoder.decode(engine, tasks)
        for (index, number, source), result in zip(inputs, decoded, strict=True):
            window = windows[index][number]
            parts[index][number] = self.window_prediction(window, source, result)
        return [
            merge_windows(
                doc,
                windows[index],
                parts[index],
                self.encoder.labels,
                self.encoder.format.allows_crossing,
            )
            for index, doc in enumerate(docs)
        ]

    def decoding_task(self, doc: Doc, window: Window, source: Source) -> "DecodingTask":
        """Make the task of decoding a window.

        doc (Doc): The document.
        window (Window): One of its windows.
        source (Source): The source of the window.
        RETURNS (DecodingTask): The task, with the spans that the decoder's drafter
            expects.
        """
        from ..decoding.batcher import DecodingTask

        prompt = self.encoder.prompt(source)
        # The reference decoder has no drafter, and a decoder of a user may have none.
        drafter = getattr(self.decoder, "drafter", None)
        spans = None if drafter is None else drafter.expected(doc)
        expected = None
        if spans is not None:
            expected = tuple(self._in_words(spans, window, source))
        ends = self.encoder.word_ends(source, prompt)
        return DecodingTask(self.encoder.grammar(source), prompt, ends, expected)

    def _in_words(
        self, spans: Iterable[Span], window: Window, source: Source
    ) -> Iterator[tuple[int, int, int]]:
        """The spans inside a window that have a label of the component, as words of the
        source with the index of the label."""
        labels = self.encoder.labels
        for span in spans:
            first, after = span.start - window.start, span.end - window.start
            if span.label_ in labels and 0 <= first and span.end <= window.end:
                words = source.word_range(first, after)
                if words is not None:
                    yield (*words, labels.index(span.label_))

    def window_prediction(
        self, window: Window, source: Source, decoded: "DecodingResult"
    ) -> Prediction:
        """Turn a decoded window into spans of its tokens.

        window (Window): The window.
        source (Source): Its source.
        decoded (DecodingResult): The decoded spans over the words of the source.
        RETURNS (Prediction): The spans, counted from the first token of the window.
        """
        prediction = Prediction()
        for span in decoded.spans:
            start = source.tokens[span.start]
            end = source.tokens[span.end - 1] + 1
            label = self.encoder.labels[span.label]
            prediction.spans.append(TokenSpan(start, end, label, span.score))
            first, after = window.start + start, window.start + end
            if span.doubtful and window.decides(first, after):
                prediction.issues.append(
                    {
                        "code": "ambiguous_place",
                        "message": (
                            f"the text of {label} over tokens {first} to {after} "
                            "stands at more places than the output has entries for it"
                        ),
                        "start": start,
                        "end": end,
                        "within": "tokens",
                    }
                )
        prediction.status = REPAIRED if prediction.issues else OK
        return prediction

    def _too_long(self, doc: Doc, window: Window) -> Prediction:
        """The prediction of a token that does not fit into the model."""
        token = doc[window.start]
        issue = {
            "code": "too_long",
            "message": (
                f"the token {token.text[:20]!r}... has {window.size} model tokens, and "
                f"the limit is {self.cutter.longest}: no span is predicted inside it"
            ),
            "start": 0,
            "end": window.end - window.start,
            "within": "tokens",
        }
        return Prediction(status=REPAIRED, issues=[issue])

    def judge(self, texts: Sequence[str], layout: PromptLayout) -> list[Verdict]:
        """Answer a yes/no question about each text, with the base alone. An adapter has
        learned another task.

        texts (Sequence[str]): The texts.
        layout (PromptLayout): The prompt of the question.
        RETURNS (list[Verdict]): The probability of "yes" for each.
        """
        scorer = self._yes_no_scorer(layout)
        encode, limit = self.encoder.encode, self.encoder.limit
        before, after = layout.around()
        prompts = [
            (*encode(before + text + after), *self._judge_frame.after) for text in texts
        ]
        prefix = len(self._judge_prefix(layout))
        fits = [limit is None or prefix + len(p) <= limit for p in prompts]
        probabilities = iter(
            scorer.probabilities(
                [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
            )
        )
        too_long = Verdict(None, f"the model has {limit} positions")
        return [Verdict(next(probabilities)) if fit else too_long for fit in fits]

    def _judge_prefix(self, layout: PromptLayout) -> list[int]:
        return [*self._judge_frame.before, *self.encoder.encode(layout.prefix)]

    def _yes_no_scorer(self, layout: PromptLayout) -> "YesNoScorer":
        from ..decoding.engine import Engine, YesNoScorer
        from ..models.base_model import text_decoder

        with self._lock:
            if self._scorer is None or self._scorer[0] != layout:
                network = self.lm.base.model
                prefix = self._judge_prefix(layout)
                engine = Engine(network, text_decoder(network), prefix)
                self._scorer = (layout, YesNoScorer(engine, self.encoder.encode))
            return self._scorer[1]

    def target_builder(
        self, spans_key: str, crossing: str, sentences_by: str | None = None
    ) -> "TargetBuilder":
        """Build training targets, from windows cut as `predict` cuts them.

        spans_key (str): The group of `doc.spans` with the reference spans.
        crossing (str): "refuse" or "drop".
        sentences_by (str | None): The upstream component that sets sentence boundaries.
        RETURNS (TargetBuilder): The builder.
        """
        from ..training.targets import TargetBuilder

        return TargetBuilder(
            self.encoder, self.cutter, spans_key, crossing, self.end_id, sentences_by
        )

    def trainer(self, loss: LossWeights, max_tokens: int) -> "Trainer":
        """Compute gradients of the adapter.

        loss (LossWeights): The weights of the losses.
        max_tokens (int): The maximum number of tokens in one forward pass.
        RETURNS (Trainer): The trainer of the network as it is now.
        """
        from ..models.base_model import text_decoder
        from ..training.trainer import Trainer

        network, head = self.lm.training_network, self.draft_head()
        trainer = self._trainer
        if (
            trainer is None
            or trainer.network is not network
            or trainer.draft_head is not head
        ):
            decoder = text_decoder(network)
            trainer = Trainer(network, decoder, loss, max_tokens, head)
            self._trainer = trainer
        return trainer

    def draft_head(self) -> "DraftHead | None":
        """RETURNS (DraftHead | None): The draft head to train. None without one."""
        if not self.uses_draft_head:
            return None
        return self.lm.drafting.for_training(
            self.lm.base.model.config.get_text_config().hidden_size,
            self.encoder.labels,
            self.lm.device,
            self.lm.seed,
        )

    def draft_head_reader(self, max_tokens: int) -> "DraftHeadReader":
        """Compute the hidden states that the draft head learns from.

        max_tokens (int): The maximum number of tokens in one forward pass.
        RETURNS (DraftHeadReader): Reads with the adapter as it is now.
        """
        from ..models.backbone import Backbone
        from ..models.base_model import text_decoder
        from ..training.data import DraftHeadReader

        network = self.lm.decoding_network()
        backbone = Backbone(network, text_decoder(network), middle_layer=True)
        return DraftHeadReader(backbone, max_tokens, self.lm.device)


@cache
def limit_forked_threads() -> None:
    """Let child processes compute with one thread, as `n_process` forks them.

    The threads of OpenMP are missing in a process that is forked after OpenMP has run.
    The child then waits for them forever, unless it uses a single thread.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_use_one_thread)


def _use_one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def warn_gpu_in_subprocess(device: str) -> None:
    """Warn if a child process computes on a GPU. spaCy warns of it only if CuPy is
    installed.

    device (str): The type of the device, as in torch.
    """
    if device != "cpu" and multiprocessing.parent_process() is not None:
        warn(Warnings.W405.format(device=device))
