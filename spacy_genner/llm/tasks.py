"""The spacy-llm tasks `spacy-genner.NER.v1` and `spacy-genner.SpanCat.v1`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import (  # noqa: UP035
    Annotated,
    Any,
    ClassVar,
    Dict,
    Iterable,
    List,
    Literal,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

import srsly
from pydantic import BeforeValidator, Field, StrictStr
from spacy import util
from spacy.language import Language
from spacy.scorer import get_ner_prf
from spacy.tokens import Doc
from spacy.training import Example

from ..config.base import ErrorCode, Settings
from ..config.settings import Flag, SetEnts
from ..corpora.docbin import aligned_spans
from ..corpora.labels import read_labels
from ..errors import Errors, Warnings, warn
from ..evaluation.scores import make_span_scorer
from ..formats import CharSpan, Format, get_format
from ..formats.json import Occurrence, occurrences, stands_alone
from ..pipeline.results import FAILED, Prediction, failed_prediction, write_prediction
from ..prompts import Demonstration, PromptLayout
from ..prompts.layout import TEMPLATES, read_template
from ..prompts.windows import Window
from .alignment import aligned
from .messages import Completion, make_prompt
from .sharding import Shards, merge_shards, shards_of


class TaskSettings(Settings):
    """Settings of a task: the prompt, and the groups that the spans are written to.

    RAISES (ValueError): A setting can't be used.
    """

    section: ClassVar[str] = "task"

    format: Annotated[str, BeforeValidator(lambda name: get_format(name).name)] = Field(
        "inline_bracketed", description="The output format."
    )
    spans_key: Annotated[
        StrictStr,
        Field(min_length=1),
        ErrorCode("G732", "the name of a group of spans"),
    ] = Field(
        "sc", description="The group of `doc.spans` that the spans are written to."
    )
    template: Annotated[str, ErrorCode("G732", "the source of a template")] = Field(
        "study",
        description="The source of a jinja template, or the name of a template of the "
        'project: "study" or "compact".',
    )
    readings: Annotated[Literal[1, 2], ErrorCode("G104")] = Field(
        1,
        description="How many times the project's own templates hold the text: 1 or 2.",
    )
    set_ents: SetEnts = Field(
        "none",
        description='The spans that are also written to `doc.ents`: "outer", "inner" '
        'or "none".',
    )
    overwrite_ents: Flag = Field(
        False, description="Whether to replace entities that the document has already."
    )
    keep_raw: Flag = Field(
        False, description='Whether the group keeps the completion, `attrs["answer"]`.'
    )

    @property
    def source(self) -> str:
        """RETURNS (str): The source of the template."""
        named = self.template in TEMPLATES
        return read_template(self.template) if named else self.template


def split_labels(labels: Any, definitions: Any) -> dict[str, str]:
    """Read labels as spacy-llm's tasks are given them.

    labels (Union[List[str], str]): The labels, or one string with commas between them;
        empty for those that have a definition.
    definitions (Optional[Dict[str, str]]): What labels stand for.
    RETURNS (Dict[str, str]): Label to definition, which may be empty.
    RAISES (ValueError): They are something else, a label occurs twice, or a label has
        a definition and is not among the labels.
    """
    given = labels.split(",") if isinstance(labels, str) else labels or []
    expected = "a list of labels, or a string with commas between them"
    if not isinstance(given, (list, tuple)):
        raise _unusable("labels", labels, expected)
    if not all(isinstance(label, str) for label in given):
        raise _unusable("labels", labels, expected)
    names = [label.strip() for label in given if label.strip()]
    if len(set(names)) < len(names):
        raise ValueError(Errors.G421.format(found=names))
    meanings = definitions or {}
    if not isinstance(meanings, dict):
        raise _unusable("label_definitions", definitions, "label to definition")
    for label in meanings:
        if names and label not in names:
            raise ValueError(Errors.G731.format(found=label, labels=names))
    return {label: meanings.get(label, "") for label in names or meanings}


def _unusable(key: str, found: Any, expected: str) -> ValueError:
    return ValueError(Errors.G732.format(key=key, found=found, expected=expected))


class TaskExample(NamedTuple):
    """An annotated text, in no format yet.

    text (str): The text.
    spans (Tuple[CharSpan, ...]): Its spans.
    """

    text: str
    spans: tuple[CharSpan, ...]

    def to_json(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The example as JSON holds it."""
        spans = [span._asdict() for span in self.spans]
        return {"text": self.text, "spans": spans}


def read_examples(examples: Any) -> list[TaskExample]:
    """Read the examples of a config.

    examples (Optional[Union[Iterable[Dict[str, Any]], Callable]]): Entries, or what
        gives them. An entry has `text` and `spans`: each with `start`, `end` and
        `label`, or, as spacy-llm's NER.v3 has them, with `text`, `is_entity` and
        `label`, in the order of the text.
    RETURNS (List[TaskExample]): The examples.
    RAISES (ValueError): One can't be used.
    """
    entries = examples() if callable(examples) else examples
    if entries is None:
        return []
    if isinstance(entries, (str, dict)) or not isinstance(entries, Iterable):
        expected = 'a list of examples, or a reader such as "spacy.FewShotReader.v1"'
        raise ValueError(
            Errors.G732.format(key="examples", found=entries, expected=expected)
        )
    return [_read_entry(number, entry) for number, entry in enumerate(entries, 1)]


def shown_example(example: Example, key: str) -> TaskExample:
    """An annotated document of training data as an example.

    example (Example): Its reference has the spans: those of the group, else the
        entities.
    key (str): The group of `doc.spans`.
    RETURNS (TaskExample): The example.
    """
    spans = aligned_spans(example.reference, key)
    said = (CharSpan(s.start_char, s.end_char, s.label_) for s in spans)
    return TaskExample(example.reference[:].text, tuple(said))


def demonstrations(
    examples: Sequence[TaskExample], fmt: Format, labels: Sequence[str]
) -> tuple[Demonstration, ...]:
    """Examples as a prompt shows them.

    examples (Sequence[TaskExample]): The examples.
    fmt (Format): The format that is asked for.
    labels (Sequence[str]): The labels, in their order.
    RETURNS (Tuple[Demonstration, ...]): Texts with their outputs.
    RAISES (ValueError): A label is not among the labels, or the format can't say the
        spans.
    """
    made = []
    for number, (text, spans) in enumerate(examples, 1):
        for span in spans:
            if span.label not in labels:
                reason = f"{span.label!r} is not among the labels {list(labels)}"
                raise _unusable_example(number, reason)
        lost = fmt.unsayable(text, spans)
        if lost:
            said = text[lost[0].start : lost[0].end]
            raise _unusable_example(number, f"{fmt.name} can't say where {said!r} is")
        try:
            output = fmt.render(text, spans, labels)
        except ValueError as error:
            raise _unusable_example(number, error) from error
        made.append(Demonstration(text, output))
    return tuple(made)


def _unusable_example(number: int, reason: Any) -> ValueError:
    return ValueError(Errors.G733.format(number=number, reason=reason))


def _read_entry(number: int, entry: Any) -> TaskExample:
    try:
        text, listed = entry["text"], entry["spans"]
        if not isinstance(text, str):
            raise TypeError(f"its text is {text!r}")
        spans: list[CharSpan] = []
        for said in listed:
            label = said["label"]
            if not isinstance(label, str):
                raise TypeError(f"a label is {label!r}")
            if "start" in said:
                spans.append(CharSpan(int(said["start"]), int(said["end"]), label))
            elif said.get("is_entity", True):
                spans.append(_found(text, said["text"], label, spans))
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise _unusable_example(number, reason) from error
    return TaskExample(text, tuple(spans))


def _found(text: str, string: str, label: str, earlier: Sequence[CharSpan]) -> CharSpan:
    """The place of a span that is named by its string alone: as a word of its own,
    and at or after the one before it in the list, where there is a choice."""
    last = earlier[-1].start if earlier else 0
    taken = {
        Occurrence(span.start, span.end) for span in earlier if span.label == label
    }
    places = [] if not string else occurrences(text, string)
    places = [place for place in places if place not in taken]
    if not places:
        raise ValueError(f"{string!r} is not in the text")
    place = min(
        places, key=lambda p: (not stands_alone(text, p), p.start < last, p.start)
    )
    return CharSpan(*place, label)


class TaskState:
    """Labels and examples of a task, with the prompt that is made of them.

    labels (Dict[str, str]): Label to definition, which may be empty.
    examples (Sequence[TaskExample]): Annotated texts for the prompt.
    settings (TaskSettings): All else that the config says.
    RAISES (ValueError): A label is not legal, the template is broken, or an example
        can't be shown.
    """

    def __init__(
        self,
        labels: dict[str, str],
        examples: Sequence[TaskExample],
        settings: TaskSettings,
    ):
        self.settings = settings
        self.format = get_format(settings.format)
        self._labels = read_labels(labels, self.format)
        self._examples = list(examples)
        self._made: PromptLayout | None = None
        # Says what is wrong while the user still looks at it.
        (self.layout if self._labels else self._with(())).around()

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels, in their order."""
        return tuple(self._labels)

    @property
    def label_definitions(self) -> dict[str, str]:
        """RETURNS (Dict[str, str]): The definitions of those labels that have one."""
        return {label: text for label, text in self._labels.items() if text}

    @property
    def layout(self) -> PromptLayout:
        """RETURNS (PromptLayout): The prompt as labels and examples are now.
        RAISES (ValueError): There are no labels, or an example can't be shown."""
        if not self._labels:
            raise ValueError(Errors.G730)
        if self._made is None:
            shown = demonstrations(self._examples, self.format, self.labels)
            self._made = self._with(shown)
        return self._made

    @property
    def prompt_template(self) -> str:
        """RETURNS (str): The prompt with `{{ text }}` for the text, by which
        spacy-llm's cache knows whether its documents are still of use."""
        layout = self.layout if self._labels else self._with(())
        return layout.written("{{ text }}")

    def add_label(self, label: str, label_definition: str | None = None) -> int:
        """Add a label.

        label (str): The label.
        label_definition (Optional[str]): What it stands for.
        RETURNS (int): 0 if it was there already, else 1.
        RAISES (ValueError): The format can't carry the label.
        """
        if label in self._labels:
            return 0
        self.set_labels({**self._labels, label: label_definition or ""})
        return 1

    def clear(self) -> None:
        """Take out all labels."""
        self.set_labels({})

    def set_labels(self, labels: Any) -> None:
        """Take other labels.

        labels (Union[List[str], Dict[str, str]]): The labels, or label to definition.
        RAISES (ValueError): A label is not legal.
        """
        self._labels = read_labels(labels, self.format)
        self._made = None

    def set_examples(self, examples: Sequence[TaskExample]) -> None:
        """Take other examples.

        examples (Sequence[TaskExample]): The examples.
        """
        self._examples = list(examples)
        self._made = None

    def get_cfg(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The labels with their definitions, in their order;
        all else is the config's."""
        return {"labels": [[label, text] for label, text in self._labels.items()]}

    def set_cfg(self, cfg: dict[str, Any]) -> None:
        """Take what `get_cfg` gave.

        cfg (Dict[str, Any]): The labels.
        RAISES (ValueError): It is something else.
        """
        try:
            labels = {str(label): str(text) for label, text in cfg["labels"]}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(Errors.G737.format(reason=repr(error))) from error
        self.set_labels(labels)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): Labels and examples."""
        return util.to_bytes(
            {
                "cfg": lambda: srsly.json_dumps(self.get_cfg()),
                "prompt_examples": lambda: srsly.json_dumps(self._saved()),
            },
            exclude,
        )

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> "TaskState":
        """Take what `to_bytes` gave.

        bytes_data (bytes): The data.
        RETURNS (TaskState): Itself.
        RAISES (ValueError): It is something else.
        """
        util.from_bytes(
            bytes_data,
            {
                "cfg": lambda b: self.set_cfg(srsly.json_loads(b)),
                "prompt_examples": lambda b: self._restore(srsly.json_loads(b)),
            },
            exclude,
        )
        return self

    def to_disk(self, path: Path, *, exclude: Iterable[str] = ()) -> None:
        """Save labels and examples.

        path (Path): The folder.
        """
        util.to_disk(
            path,
            {
                "cfg": lambda p: srsly.write_json(p, self.get_cfg()),
                "prompt_examples": lambda p: srsly.write_json(p, self._saved()),
            },
            exclude,
        )

    def from_disk(self, path: Path, *, exclude: Iterable[str] = ()) -> "TaskState":
        """Load what `to_disk` saved.

        path (Path): The folder.
        RETURNS (TaskState): Itself.
        RAISES (ValueError): It is something else.
        """
        util.from_disk(
            path,
            {
                "cfg": lambda p: self.set_cfg(srsly.read_json(p)),
                "prompt_examples": lambda p: self._restore(srsly.read_json(p)),
            },
            exclude,
        )
        return self

    def _saved(self) -> list[dict[str, Any]]:
        return [shown.to_json() for shown in self._examples]

    def _restore(self, examples: Any) -> None:
        self.set_examples(read_examples(examples))

    def _with(self, shown: Sequence[Demonstration]) -> PromptLayout:
        return PromptLayout(
            self.labels,
            self._labels,
            format=self.format.name,
            readings=self.settings.readings,
            demonstrations=tuple(shown),
            template=self.settings.source,
        )


Scorer = Callable[..., dict[str, Any]]


class MarkingTask(TaskState):
    """Has a model mark the entities of Docs, and brings what it writes onto tokens.

    The names of its methods, and the types in their signatures, are what spacy-llm
    asks for.

    labels (Dict[str, str]): Label to definition, which may be empty.
    examples (Sequence[TaskExample]): Annotated texts for the prompt.
    settings (TaskSettings): All else that the config says.
    scorer (Callable): Scores examples; gets them and `spans_key`.
    RAISES (ValueError): A label is not legal, the template is broken, or an example
        can't be shown.
    """

    def __init__(
        self,
        labels: dict[str, str],
        examples: Sequence[TaskExample],
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
            questions = [make_prompt(span, layout) for span in shards]
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

    def _outcome(self, shards: Shards, answers: Sequence[Completion]) -> Prediction:
        if not shards.windows:
            return Prediction()
        if len(answers) != len(shards.windows):
            found, expected = len(answers), len(shards.windows)
            error = ValueError(Errors.G735.format(found=found, expected=expected))
            return failed_prediction(shards.doc, error)
        labels = self.labels
        outcomes = [
            aligned(span, answer, self.format, labels)
            for span, answer in zip(shards, answers, strict=True)
        ]
        return merge_shards(shards, outcomes, labels, self.format.allows_crossing)

    def _write(
        self, doc: Doc, outcome: Prediction, answers: Sequence[Completion]
    ) -> None:
        settings = {
            "spans_key": self.settings.spans_key,
            "min_score": 0.0,
            "set_ents": self.settings.set_ents,
            "overwrite_ents": self.settings.overwrite_ents,
        }
        if self.settings.keep_raw:
            outcome.answers = [str(answer) for answer in answers]
        write_prediction(doc, outcome, settings)


def _as_shards(each: Any) -> Shards:
    if isinstance(each, Shards):
        return each
    docs = list(each)
    if len(docs) != 1:
        raise ValueError(Errors.G738.format(found=len(docs)))
    doc = docs[0]
    return Shards(doc, (Window(0, len(doc)),) if len(doc) else ())


def _as_answer(answer: Any) -> Completion:
    if isinstance(answer, Completion):
        return answer
    if isinstance(answer, str):
        return Completion(answer)
    return Completion(error=TypeError(Errors.G736.format(found=repr(answer)[:80])))


# What confection takes for the examples: a list, or a reader.
Examples = Union[Iterable[Dict[str, Any]], Callable[[], Any], None]  # noqa: UP006, UP007


def make_ner_task(
    labels: Union[List[str], str] = "",  # noqa: UP006, UP007
    label_definitions: Optional[Dict[str, str]] = None,  # noqa: UP006, UP045
    examples: Examples = None,
    template: Optional[str] = None,  # noqa: UP045
    format: str = "inline_bracketed",
    spans_key: str = "sc",
    readings: int = 1,
    set_ents: str = "outer",
    overwrite_ents: bool = False,
    keep_raw: bool = False,
    scorer: Optional[Callable] = None,  # noqa: UP045
) -> MarkingTask:
    """`spacy-genner.NER.v1`: entities to `doc.ents`, and all spans, with status and
    issues, to `doc.spans[spans_key]`.

    labels (Union[List[str], str]): The labels, or a string with commas between them;
        empty to take them from the examples at `nlp.initialize`.
    label_definitions (Optional[Dict[str, str]]): What labels stand for.
    examples (Optional[Union[Iterable[Dict[str, Any]], Callable]]): Annotated texts for
        the prompt, or what reads them, such as `spacy.FewShotReader.v1`.
    template (Optional[str]): The source of a jinja template, or "study" or "compact".
    format (str): The output format.
    spans_key (str): The group of `doc.spans`.
    readings (int): How often the project's templates hold the text: 1 or 2.
    set_ents (str): Which spans are entities: "outer", "inner" or "none".
    overwrite_ents (bool): Whether entities that are in the Doc give way.
    keep_raw (bool): Whether the group keeps the answer, `attrs["answer"]`.
    scorer (Optional[Callable]): Scores examples; by default as spaCy's `ner` and as
        `spacy-genner.span_scorer.v1`.
    RETURNS (MarkingTask): The task.
    RAISES (ValueError): A setting can't be used.
    """
    return MarkingTask(
        split_labels(labels, label_definitions),
        read_examples(examples),
        TaskSettings(
            format=format,
            spans_key=spans_key,
            template=template or "study",
            readings=readings,
            set_ents=set_ents,
            overwrite_ents=overwrite_ents,
            keep_raw=keep_raw,
        ),
        scorer or score_entities,
    )


def make_spancat_task(
    labels: Union[List[str], str] = "",  # noqa: UP006, UP007
    label_definitions: Optional[Dict[str, str]] = None,  # noqa: UP006, UP045
    examples: Examples = None,
    template: Optional[str] = None,  # noqa: UP045
    format: str = "inline_bracketed",
    spans_key: str = "sc",
    readings: int = 1,
    keep_raw: bool = False,
    scorer: Optional[Callable] = None,  # noqa: UP045
) -> MarkingTask:
    """`spacy-genner.SpanCat.v1`: spans, nested ones too, to `doc.spans[spans_key]`.

    labels (Union[List[str], str]): The labels, or a string with commas between them;
        empty to take them from the examples at `nlp.initialize`.
    label_definitions (Optional[Dict[str, str]]): What labels stand for.
    examples (Optional[Union[Iterable[Dict[str, Any]], Callable]]): Annotated texts for
        the prompt, or what reads them, such as `spacy.FewShotReader.v1`.
    template (Optional[str]): The source of a jinja template, or "study" or "compact".
    format (str): The output format.
    spans_key (str): The group of `doc.spans`.
    readings (int): How often the project's templates hold the text: 1 or 2.
    keep_raw (bool): Whether the group keeps the answer, `attrs["answer"]`.
    scorer (Optional[Callable]): Scores examples; by default
        `spacy-genner.span_scorer.v1`.
    RETURNS (MarkingTask): The task.
    RAISES (ValueError): A setting can't be used.
    """
    return MarkingTask(
        split_labels(labels, label_definitions),
        read_examples(examples),
        TaskSettings(
            format=format,
            spans_key=spans_key,
            template=template or "study",
            readings=readings,
            keep_raw=keep_raw,
        ),
        scorer or make_span_scorer(),
    )


def score_entities(
    examples: Iterable[Example], *, spans_key: str = "sc", **kwargs: Any
) -> dict[str, Any]:
    """Score entities, and the spans beside them.

    examples (Iterable[Example]): Predicted documents with their references.
    spans_key (str): The group of `doc.spans`.
    RETURNS (Dict[str, Any]): spaCy's `ents_p`, `ents_r`, `ents_f` and `ents_per_type`,
        and what `spacy-genner.span_scorer.v1` gives.
    """
    examples = list(examples)
    spans = make_span_scorer()(examples, spans_key=spans_key)
    return {**get_ner_prf(examples), **spans}
