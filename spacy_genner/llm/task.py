"""What the tasks for spacy-llm do: prompts out, answers in."""

from collections.abc import Callable, Sequence
from typing import Any, Iterable, Optional, Tuple  # noqa: UP035

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..annotations import write_outcome
from ..corpora.docbin import aligned_spans
from ..errors import Errors, Warnings, warn
from ..labels import read_labels
from ..outcomes import FAILED, Outcome, failed
from ..windows import Window
from .alignment import aligned
from .examples import Shown, shown_example
from .exchange import Answer, ask_about
from .settings import TaskSettings
from .sharding import Shards, joined_outcome, shards_of
from .task_state import TaskState

Scorer = Callable[..., dict[str, Any]]


class MarkingTask(TaskState):
    """Has a model mark the entities of Docs, and brings what it writes onto tokens.

    The names of its methods, and the types in their signatures, are what spacy-llm
    asks for.

    labels (Dict[str, str]): Label to definition, which may be empty.
    examples (Sequence[Shown]): Annotated texts for the prompt.
    settings (TaskSettings): All else that the config says.
    scorer (Callable): Scores examples; gets them and `spans_key`.
    RAISES (ValueError): A label is not legal, the template is broken, or an example
        can't be shown.
    """

    def __init__(
        self,
        labels: dict[str, str],
        examples: Sequence[Shown],
        settings: TaskSettings,
        scorer: Scorer,
    ):
        super().__init__(labels, examples, settings)
        self._scorer = scorer

    def generate_prompts(
        self,
        docs: Iterable[Doc],
        context_length: Optional[int] = None,  # noqa: UP045
    ) -> Iterable[Tuple[Iterable[Any], Iterable[Any]]]:  # noqa: UP006
        """Write the prompts of some documents.

        docs (Iterable[Doc]): The documents.
        context_length (Optional[int]): The most tokens of prompt and answer; a
            `ContextLength` where the model counts.
        YIELDS (Tuple[Iterable[Question], Shards]): For each document its prompts, none
            for a blank one, and the document with its windows.
        RAISES (ValueError): There are no labels, or no room for text.
        """
        layout = self.layout
        first, *rest = layout.around()
        around = [layout.prefix + first, *rest]
        for doc in docs:
            shards = shards_of(doc, around, context_length)
            questions = [ask_about(span, layout) for span in shards]
            yield questions, shards

    def parse_responses(
        self,
        shards: Iterable[Iterable[Any]],
        responses: Iterable[Iterable[Any]],
    ) -> Iterable[Doc]:
        """Annotate documents with what a model wrote about them.

        A document whose answer is missing, or no attempt at the task, gets an empty
        group with the status "failed"; the others of the batch are not touched by it.

        shards (Iterable[Iterable[Any]]): What `generate_prompts` gave for each
            document, or the one document itself.
        responses (Iterable[Iterable[str]]): The answers about each.
        RETURNS (Iterable[Doc]): The documents themselves, annotated.
        """
        docs = []
        reasons: list[str] = []
        answers = iter(responses)
        for each in shards:
            asked = _as_shards(each)
            given = [_as_answer(answer) for answer in next(answers, ())]
            outcome = self._outcome(asked, given)
            if outcome.status == FAILED:
                causes = (i for i in outcome.issues if i["code"] == FAILED)
                reasons.append(next(causes)["message"])
            self._write(asked.doc, outcome, given)
            docs.append(asked.doc)
        if reasons:
            key = self.settings.spans_key
            message = Warnings.W730.format(
                count=len(reasons), all=len(docs), reason=reasons[0], key=key
            )
            warn(message)
        return iter(docs)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        nlp: Language,
        labels: Any = None,
        n_prompt_examples: int = 0,
    ) -> None:
        """Take labels and examples from training data.

        get_examples (Callable[[], Iterable[Example]]): Gives the data.
        nlp (Language): The pipeline.
        labels (Optional[Union[List[str], Dict[str, str]]]): The labels, or label to
            definition; else those of the config, else those of the data.
        n_prompt_examples (int): How many examples the prompt shows, those of the
            config among them; -1 for all of the data.
        RAISES (ValueError): A label is not legal, or an example can't be shown.
        """
        key = self.settings.spans_key
        own = self._labels
        given = read_labels(labels or own, self.format)
        chosen = {label: text or own.get(label, "") for label, text in given.items()}
        found: set[str] = set()
        shown = list(self._examples)
        for example in get_examples():
            if not chosen:
                spans = aligned_spans(example.reference, key)
                found.update(span.label_ for span in spans)
            if n_prompt_examples < 0 or len(shown) < n_prompt_examples:
                shown.append(shown_example(example, key))
        self.set_examples(shown)
        self.set_labels(chosen or sorted(found))
        if self._labels:
            self.layout.around()

    def scorer(self, examples: Iterable[Example]) -> dict[str, Any]:
        """Score predictions.

        examples (Iterable[Example]): Predicted documents with their references.
        RETURNS (Dict[str, Any]): The scores.
        """
        return self._scorer(examples, spans_key=self.settings.spans_key)

    def _outcome(self, shards: Shards, answers: Sequence[Answer]) -> Outcome:
        if not shards.windows:
            return Outcome()
        if len(answers) != len(shards.windows):
            found, expected = len(answers), len(shards.windows)
            error = ValueError(Errors.G735.format(found=found, expected=expected))
            return failed(shards.doc, error)
        labels = self.labels
        outcomes = [
            aligned(span, answer, self.format, labels)
            for span, answer in zip(shards, answers, strict=True)
        ]
        return joined_outcome(shards, outcomes, labels, self.format.allows_crossing)

    def _write(self, doc: Doc, outcome: Outcome, answers: Sequence[Answer]) -> None:
        settings = {
            "spans_key": self.settings.spans_key,
            "min_score": 0.0,
            "set_ents": self.settings.set_ents,
            "overwrite_ents": self.settings.overwrite_ents,
        }
        if self.settings.keep_raw:
            outcome.answers = [str(answer) for answer in answers]
        write_outcome(doc, outcome, settings)


def _as_shards(each: Any) -> Shards:
    if isinstance(each, Shards):
        return each
    docs = list(each)
    if len(docs) != 1:
        raise ValueError(Errors.G738.format(found=len(docs)))
    doc = docs[0]
    return Shards(doc, (Window(0, len(doc)),) if len(doc) else ())


def _as_answer(answer: Any) -> Answer:
    if isinstance(answer, Answer):
        return answer
    if isinstance(answer, str):
        return Answer(answer)
    return Answer(error=TypeError(Errors.G736.format(found=repr(answer)[:80])))
