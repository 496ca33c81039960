"""Greedy decoding of many tasks at once, one token or one draft a pass.

The decoders are registered as they stand, and every pipeline with the component makes
one when it is built: importing this module loads neither torch nor transformers.
"""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..drafting.drafters import Drafter, HeadDrafter
from ..drafting.drafts import make_draft
from ..settings import check_count
from .pool import Pool
from .row import Row
from .tasks import Decoded, Task

if TYPE_CHECKING:
    from .rows import Engine


class StepDecoder:
    """The reference: one token a pass, the most probable of the legal ones. Registered
    as `spacy-genner.StepDecoder.v1`.

    batch_tokens (int): The most tokens (prompts and copies) of one batch.
    """

    def __init__(self, batch_tokens: int = 2048):
        self.batch_tokens = check_count("decoder.batch_tokens", batch_tokens)

    def decode(self, engine: "Engine", tasks: Sequence[Task]) -> list[Decoded]:
        """Decode some tasks.

        engine (Engine): The model behind the prefix that the tasks share.
        tasks (Sequence[Task]): The tasks, of any lengths.
        RETURNS (List[Decoded]): One result for each task, in their order.
        """
        rows = [self._row(engine, task) for task in tasks]
        # Long ones together with long ones.
        waiting = sorted(
            (row for row in rows if not row.finished), key=lambda row: -len(row.task)
        )
        Pool(engine, self.batch_tokens).run(deque(waiting))
        return [row.result() for row in rows]

    def _row(self, engine: "Engine", task: Task) -> Row:
        return Row(task)


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

    def _row(self, engine: "Engine", task: Task) -> Row:
        draft = make_draft(task.grammar)
        asks = self.drafter.asks_head and engine.draft_head is not None
        return Row(task, draft, asks and bool(task.unit_ends))
