"""The registered decoders and drafters.

`StepDecoder` is the reference: greedy decoding under the grammar, one choice in each
forward pass. `DraftDecoder` returns the same outputs in a few passes by draft and
verify. A drafter names the spans of the first draft: none, those of the trained draft
head, or those that an earlier component left in the Doc. Speed depends on how good the
draft is; the outputs do not.
"""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from spacy.tokens import Doc, Span

from ..config.settings import check_count, check_made, check_number
from ..errors import Errors
from ..grammar import InlineGrammar
from .batcher import ActiveSequence, ContinuousBatcher, DecodingResult, DecodingTask
from .drafts import make_draft

if TYPE_CHECKING:
    from .engine import Engine


class Drafter(Protocol):
    """Names the spans that a document probably has, before it is decoded.

    uses_head (bool): Whether the draft head proposes spans if the component has one and
        the drafter names none.
    """

    uses_head: bool

    def expected(self, doc: Doc) -> list[Span] | None:
        """Get the spans that a document probably has.

        doc (Doc): The document.
        RETURNS (list[Span] | None): The spans; None if nothing is known.
        """


class CopyDrafter:
    """Drafts the plain copy, without spans.

    Registered as `spacy-genner.CopyDrafter.v1`.
    """

    uses_head = False

    def expected(self, doc: Doc) -> list[Span] | None:
        return None


class HeadDrafter(CopyDrafter):
    """Drafts the spans that the component's draft head proposes.

    The head is trained with the adapter unless `model.draft_head` is false. Without a
    head the plain copy is drafted. Registered as `spacy-genner.HeadDrafter.v1`.
    """

    uses_head = True


class DocSpansDrafter(HeadDrafter):
    """Drafts the spans that an earlier component left in the Doc: a small model drafts
    and the language model verifies.

    Documents without the group are drafted as by `HeadDrafter`. Spans with a label that
    the component lacks are ignored. Registered as `spacy-genner.DocSpansDrafter.v1`.

    spans_key (str | None): The group of `doc.spans`; None for `doc.ents`.
    RAISES (ValueError): `spans_key` is neither a string nor None.
    """

    def __init__(self, spans_key: str | None = "sc"):
        if spans_key is not None and not isinstance(spans_key, str):
            raise ValueError(
                Errors.G407.format(
                    key="drafter.spans_key",
                    found=spans_key,
                    expected="the name of a group, null for doc.ents",
                )
            )
        self.spans_key = spans_key

    def expected(self, doc: Doc) -> list[Span] | None:
        if self.spans_key is None:
            return list(doc.ents) if doc.has_annotation("ENT_IOB") else None
        group = doc.spans.get(self.spans_key)
        return None if group is None else list(group)


# A larger bias would change no choice, and could overflow float32 and make scores NaN.
MAX_BIAS = 1000.0


class StepDecoder:
    """Greedy decoding under the grammar: one choice in each forward pass, the most
    probable of the legal tokens.

    Registered as `spacy-genner.StepDecoder.v1`.

    batch_tokens (int): The maximum number of tokens (prompts and copies) of a batch.
    opening_bias (float): Added to the logit of opening a span, in the inline formats. A
        value above 0 finds more spans, and one below 0 fewer.
    RAISES (ValueError): `batch_tokens` is not a whole number of at least 1, or
        `opening_bias` is no number from -1000 to 1000.
    """

    def __init__(self, batch_tokens: int = 2048, opening_bias: float = 0.0):
        self.batch_tokens = check_count("decoder.batch_tokens", batch_tokens)
        self.opening_bias = check_number("decoder.opening_bias", opening_bias)
        if abs(self.opening_bias) > MAX_BIAS:
            raise ValueError(
                Errors.G407.format(
                    key="decoder.opening_bias",
                    found=opening_bias,
                    expected=f"a number from -{MAX_BIAS:.0f} to {MAX_BIAS:.0f}",
                )
            )

    def decode(
        self, engine: "Engine", tasks: Sequence[DecodingTask]
    ) -> list[DecodingResult]:
        """Decode tasks in continuous batches.

        engine (Engine): The model behind the prefix that the tasks share.
        tasks (Sequence[DecodingTask]): The tasks, of any lengths.
        RETURNS (list[DecodingResult]): The results, in the order of the tasks.
        """
        sequences = [self._sequence(engine, task) for task in tasks]
        # Sequences of similar length share a batch.
        waiting = sorted(
            (sequence for sequence in sequences if not sequence.finished),
            key=lambda sequence: -len(sequence.task),
        )
        batcher = ContinuousBatcher(engine, self.batch_tokens, self.opening_bias)
        batcher.run(deque(waiting))
        return [sequence.result() for sequence in sequences]

    def _sequence(self, engine: "Engine", task: DecodingTask) -> ActiveSequence:
        return ActiveSequence(task, weighs_head=_weighs_head(engine, task))


def _weighs_head(engine: "Engine", task: DecodingTask) -> bool:
    """Whether the draft head's scores are added to the choices of an output."""
    has_head = engine.draft_head is not None and bool(task.word_ends)
    is_inline = isinstance(task.grammar, InlineGrammar)
    return has_head and is_inline and engine.head_weight > 0


class DraftDecoder(StepDecoder):
    """Speculative decoding: the rest of the output is drafted and verified in one
    forward pass, with the same result as `StepDecoder`.

    Each pass accepts the draft up to the first token that differs from the model's
    choice, and that choice. The draft depends on the format: the source with the markup
    of the expected spans, or the list of these spans. Drafting from the input follows
    Sun et al., "Instantaneous Grammatical Error Correction with Shallow Aggressive
    Decoding", 2021. Registered as `spacy-genner.DraftDecoder.v1`.

    batch_tokens (int): The maximum number of tokens (prompts and copies) of a batch.
    drafter (Drafter | None): Names the spans of the first draft. One of
        `spacy-genner.HeadDrafter.v1` (the default), `spacy-genner.CopyDrafter.v1` and
        `spacy-genner.DocSpansDrafter.v1`.
    opening_bias (float): See `StepDecoder`.
    RAISES (ValueError): See `StepDecoder`.
    """

    def __init__(
        self,
        batch_tokens: int = 2048,
        drafter: Any = None,
        opening_bias: float = 0.0,
    ):
        super().__init__(batch_tokens, opening_bias)
        if drafter is not None:
            name = "spacy-genner.HeadDrafter.v1"
            check_made("decoder.drafter", drafter, "expected", name)
        self.drafter: Drafter = HeadDrafter() if drafter is None else drafter

    def _sequence(self, engine: "Engine", task: DecodingTask) -> ActiveSequence:
        draft = make_draft(task.grammar)
        drafts = self.drafter.uses_head and engine.draft_head is not None
        drafts = drafts and bool(task.word_ends)
        return ActiveSequence(task, draft, drafts, _weighs_head(engine, task))
