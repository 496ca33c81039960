"""The registered decoders and drafters."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from spacy.tokens import Doc, Span

from ..config.settings import check_count
from ..errors import Errors
from .batcher import ActiveSequence, ContinuousBatcher, DecodingResult, DecodingTask
from .drafts import make_draft

if TYPE_CHECKING:
    from .engine import Engine


class Drafter(Protocol):
    """Says what is known of a document's spans before it is decoded.

    asks_head (bool): Whether the draft head is asked, where there is one and nothing
        else is known.
    """

    asks_head: bool

    def expected(self, doc: Doc) -> list[Span] | None:
        """Spans that a document probably has.

        doc (Doc): The document.
        RETURNS (Optional[List[Span]]): The spans; None where nothing is known.
        """


class CopyDrafter:
    """Drafts the plain copy: nothing is known. Registered as
    `spacy-genner.CopyDrafter.v1`."""

    asks_head = False

    def expected(self, doc: Doc) -> list[Span] | None:
        return None


class HeadDrafter(CopyDrafter):
    """Drafts what the component's draft head says, where it has one: it is trained
    with the adapter unless `model.draft_head` is false. Registered as
    `spacy-genner.HeadDrafter.v1`."""

    asks_head = True


class DocSpansDrafter(HeadDrafter):
    """Drafts the spans that an earlier component left in the Doc: a small model drafts,
    the language model decides. Registered as `spacy-genner.DocSpansDrafter.v1`.

    Documents without the group are drafted as by `HeadDrafter`. Spans with labels that
    the component lacks are passed over.

    spans_key (Optional[str]): The group of `doc.spans`; None for `doc.ents`.
    RAISES (ValueError): It is neither a string nor None.
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


class StepDecoder:
    """The reference: one token a pass, the most probable of the legal ones. Registered
    as `spacy-genner.StepDecoder.v1`.

    batch_tokens (int): The most tokens (prompts and copies) of one batch.
    """

    def __init__(self, batch_tokens: int = 2048):
        self.batch_tokens = check_count("decoder.batch_tokens", batch_tokens)

    def decode(
        self, engine: "Engine", tasks: Sequence[DecodingTask]
    ) -> list[DecodingResult]:
        """Decode some tasks.

        engine (Engine): The model behind the prefix that the tasks share.
        tasks (Sequence[DecodingTask]): The tasks, of any lengths.
        RETURNS (List[DecodingResult]): One result for each task, in their order.
        """
        rows = [self._row(engine, task) for task in tasks]
        # Long ones together with long ones.
        waiting = sorted(
            (row for row in rows if not row.finished), key=lambda row: -len(row.task)
        )
        ContinuousBatcher(engine, self.batch_tokens).run(deque(waiting))
        return [row.result() for row in rows]

    def _row(self, engine: "Engine", task: DecodingTask) -> ActiveSequence:
        return ActiveSequence(task)


class DraftDecoder(StepDecoder):
    """The same outputs in a few passes: guess the rest, check it in one, go on.
    Registered as `spacy-genner.DraftDecoder.v1`.

    Each pass accepts a draft up to the first place where the model prefers another
    token, and takes that token. What is drafted depends on the format: the source with
    the marks of the spans that are expected, or the list of these. Greedy decoding with
    drafts from the input: Sun et al., "Instantaneous Grammatical Error Correction with
    Shallow Aggressive Decoding", 2021.

    batch_tokens (int): The most tokens (prompts and copies) of one batch.
    drafter (Optional[Drafter]): Where the first draft comes from, what one of
        `spacy-genner.HeadDrafter.v1` (None is the same), `spacy-genner.CopyDrafter.v1`
        and `spacy-genner.DocSpansDrafter.v1` makes.
    """

    def __init__(self, batch_tokens: int = 2048, drafter: Any = None):
        super().__init__(batch_tokens)
        self.drafter: Drafter = HeadDrafter() if drafter is None else drafter

    def _row(self, engine: "Engine", task: DecodingTask) -> ActiveSequence:
        draft = make_draft(task.grammar)
        asks = self.drafter.asks_head and engine.draft_head is not None
        return ActiveSequence(task, draft, asks and bool(task.unit_ends))
