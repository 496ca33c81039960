"""One component's model bound to its labels and prompt."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .annotator import Annotator
from .cutting import WindowCutter
from .errors import Errors, Warnings, warn
from .forks import survive_forks, warn_of_processes
from .formats import Format
from .gold import GoldReader
from .models.chat import ChatFrame, chat_frame
from .models.language_model import LanguageModel
from .prompts import PromptLayout, TaskEncoder
from .prompts.budget import fitting
from .settings import LossWeights
from .verification import Judge, Verdict, Verifier
from .windows import WindowSettings

if TYPE_CHECKING:
    from .decoding.rows import Engine
    from .models.draft_head import DraftHead
    from .training.texts import TextReader
    from .training.trainer import Trainer


class Runtime:
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
        from .models.pieces import PieceEncoder

        survive_forks()
        self.lm = lm
        self.base_checksum: str = lm.base.source.checksum
        encode = PieceEncoder(lm.tokenizer)
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
        from .decoding.rows import Engine
        from .models.store import text_decoder

        warn_of_processes(self.lm.device.type)
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
        from .decoding.rows import Engine
        from .decoding.yes_no import YesNo
        from .models.store import text_decoder

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
                YesNo(engine, encode).probabilities(
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
        from .models.store import text_decoder
        from .training.trainer import Trainer

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

    def text_reader(self, max_tokens: int) -> "TextReader":
        """What reads texts for the draft head.

        max_tokens (int): Tokens that are run at once.
        RETURNS (TextReader): Reads with the adapter as it is now.
        """
        from .models.backbone import Backbone
        from .models.store import text_decoder
        from .training.texts import TextReader

        network = self.lm.decoding_network()
        backbone = Backbone(network, text_decoder(network), tapped=True)
        prefix = self.encoder.prefix_ids
        return TextReader(backbone, prefix, max_tokens, self.lm.device)

    def gold(
        self, spans_key: str, crossing: str, sentences_by: str | None = None
    ) -> GoldReader:
        """What turns examples into training rows.

        spans_key (str): The group that holds the reference spans.
        crossing (str): "refuse" or "drop".
        sentences_by (Optional[str]): The component before this one that sets
            sentences.
        RETURNS (GoldReader): The reader.
        """
        return GoldReader(self.cutter, spans_key, crossing, self._end_id, sentences_by)


def _chat_frame(lm: LanguageModel, chat: bool | str, auto: bool) -> ChatFrame | None:
    """What stands around a prompt; None where it is no turn of a chat. `auto` says
    what "auto" is to mean."""
    if chat is False or (chat == "auto" and not auto):
        return None
    frame = chat_frame(lm.tokenizer)
    if frame is None and chat is True:
        raise ValueError(Errors.G113.format(name=lm.name))
    return frame
