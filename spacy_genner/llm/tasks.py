"""The spacy-llm tasks `spacy-genner.NER.v1` and `spacy-genner.SpanCat.v1`.

A task makes the prompts of documents and parses the responses of a model. Both tasks
are a `MarkingTask`: they differ in whether the spans also become entities.
"""

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
from ..formats.occurrences import Occurrence, occurrences, stands_alone
from ..pipeline.results import FAILED, Prediction, failed_prediction, write_prediction
from ..prompts import Demonstration, PromptLayout
from ..prompts.layout import TEMPLATES, read_template
from ..prompts.windows import Window
from .alignment import aligned
from .messages import Completion, make_prompt
from .sharding import Shards, merge_shards, shards_of

# The types of the examples in a config: a list or a reader.
Examples = Union[Iterable[Dict[str, Any]], Callable[[], Any], None]  # noqa: UP006, UP007
Scorer = Callable[..., dict[str, Any]]


class TaskSettings(Settings):
    """The settings of a task: its prompt, and the groups of spans to write to.

    RAISES (ValueError): A setting is invalid.
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
    """Read labels in the form that spacy-llm's tasks take.

    labels (list[str] | str): The labels, or a comma-separated string. Empty for the
        labels that have a definition.
    definitions (dict[str, str] | None): Label to definition.
    RETURNS (dict[str, str]): Label to definition, which may be empty.
    RAISES (ValueError): The labels have another type, a label occurs twice, or a label
        with a definition is not among the labels.
    """
    items = labels.split(",") if isinstance(labels, str) else labels or []
    expected = "a list of labels, or a comma-separated string"
    if not isinstance(items, (list, tuple)):
        raise _unusable("labels", labels, expected)
    if not all(isinstance(label, str) for label in items):
        raise _unusable("labels", labels, expected)
    names = [label.strip() for label in items if label.strip()]
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
    """An annotated text, independent of the output format.

    text (str): The text.
    spans (tuple[CharSpan, ...]): Its spans.
    """

    text: str
    spans: tuple[CharSpan, ...]

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The example as JSON."""
        spans = [span._asdict() for span in self.spans]
        return {"text": self.text, "spans": spans}


def read_examples(examples: Any) -> list[TaskExample]:
    """Read the examples of a config.

    examples (Iterable[dict[str, Any]] | Callable | None): The entries, or a function
        that returns them. An entry has `text` and `spans`. Each span has `start`, `end`
        and `label`, or `text`, `is_entity` and `label` in the order of the text, as in
        spacy-llm's NER.v3.
    RETURNS (list[TaskExample]): The examples.
    RAISES (ValueError): An entry is invalid.
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
    """Turn an annotated document into an example for the prompt.

    example (Example): The spans are those of the group in its reference, or else its
        entities.
    key (str): The group of `doc.spans`.
    RETURNS (TaskExample): The example.
    """
    spans = aligned_spans(example.reference, key)
    char_spans = (CharSpan(s.start_char, s.end_char, s.label_) for s in spans)
    return TaskExample(example.reference[:].text, tuple(char_spans))


def demonstrations(
    examples: Sequence[TaskExample], fmt: Format, labels: Sequence[str]
) -> tuple[Demonstration, ...]:
    """Render examples as demonstrations.

    examples (Sequence[TaskExample]): The examples.
    fmt (Format): The output format.
    labels (Sequence[str]): The labels, in order.
    RETURNS (tuple[Demonstration, ...]): The texts with their outputs.
    RAISES (ValueError): A span has an unknown label, or the format cannot represent the
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
            span_text = text[lost[0].start : lost[0].end]
            reason = f"{fmt.name} cannot represent {span_text!r}"
            raise _unusable_example(number, reason)
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
        for item in listed:
            label = item["label"]
            if not isinstance(label, str):
                raise TypeError(f"a label is {label!r}")
            if "start" in item:
                spans.append(CharSpan(int(item["start"]), int(item["end"]), label))
            elif item.get("is_entity", True):
                spans.append(_find_span(text, item["text"], label, spans))
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise _unusable_example(number, reason) from error
    return TaskExample(text, tuple(spans))


def _find_span(
    text: str, string: str, label: str, earlier: Sequence[CharSpan]
) -> CharSpan:
    """Find a span by its string, preferably as a whole word and not before the previous
    span of the list."""
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


class MarkingTask:
    """Prompts a model to mark the entities of Docs, and aligns its completions to
    tokens.

    spacy-llm calls the methods by these names, and checks the types in their
    signatures.

    labels (dict[str, str]): Label to definition, which may be empty.
    examples (Sequence[TaskExample]): Annotated texts to show in the prompt.
    settings (TaskSettings): The other settings.
    scorer (Callable): Scores examples, given the examples and `spans_key`.
    RAISES (ValueError): A label is invalid, the template is broken, or an example
        cannot be shown.
    """

    def __init__(
        self,
        labels: dict[str, str],
        examples: Sequence[TaskExample],
        settings: TaskSettings,
        scorer: Scorer,
    ):
        self.settings = settings
        self.format = get_format(settings.format)
        self._scorer = scorer
        self._labels = read_labels(labels, self.format)
        self._examples = list(examples)
        self._layout: PromptLayout | None = None
        # Report a broken template now, and not at the first document.
        (self.layout if self._labels else self._make_layout(())).around()

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels, in order."""
        return tuple(self._labels)

    @property
    def label_definitions(self) -> dict[str, str]:
        """RETURNS (dict[str, str]): Label to definition, for labels that have one."""
        return {label: text for label, text in self._labels.items() if text}

    @property
    def layout(self) -> PromptLayout:
        """RETURNS (PromptLayout): The layout for the present labels and examples.
        RAISES (ValueError): There are no labels, or an example cannot be shown."""
        if not self._labels:
            raise ValueError(Errors.G730)
        if self._layout is None:
            shown = demonstrations(self._examples, self.format, self.labels)
            self._layout = self._make_layout(shown)
        return self._layout

    @property
    def prompt_template(self) -> str:
        """RETURNS (str): The prompt with `{{ text }}` in the place of the text. The
        cache of spacy-llm compares it to decide whether its documents are still
        valid."""
        layout = self.layout if self._labels else self._make_layout(())
        return layout.render("{{ text }}")

    def add_label(self, label: str, label_definition: str | None = None) -> int:
        """Add a label.

        label (str): The label.
        label_definition (str | None): Its definition.
        RETURNS (int): 0 if the task has the label already, otherwise 1.
        RAISES (ValueError): The format cannot represent the label.
        """
        if label in self._labels:
            return 0
        self.set_labels({**self._labels, label: label_definition or ""})
        return 1

    def clear(self) -> None:
        """Remove all labels."""
        self.set_labels({})

    def set_labels(self, labels: Any) -> None:
        """Replace the labels.

        labels (list[str] | dict[str, str]): The labels, or label to definition.
        RAISES (ValueError): A label is invalid.
        """
        self._labels = read_labels(labels, self.format)
        self._layout = None

    def set_examples(self, examples: Sequence[TaskExample]) -> None:
        """Replace the examples.

        examples (Sequence[TaskExample]): The examples.
        """
        self._examples = list(examples)
        self._layout = None

    def generate_prompts(
        self,
        docs: Iterable[Doc],
        context_length: Optional[int] = None,  # noqa: UP045
    ) -> Iterable[Tuple[Iterable[Any], Iterable[Any]]]:  # noqa: UP006
        """Make the prompts of documents.

        docs (Iterable[Doc]): The documents.
        context_length (int | None): The maximum number of tokens of prompt and
            completion. A `ContextLength` counts them with the model's tokenizer.
        YIELDS (tuple[Iterable[Prompt], Shards]): The prompts of each document, and the
            document with its windows. A blank document has no prompt.
        RAISES (ValueError): There are no labels, or no room for text.
        """
        layout = self.layout
        first, *rest = layout.around()
        around = [layout.prefix + first, *rest]
        for doc in docs:
            shards = shards_of(doc, around, context_length)
            yield [make_prompt(span, layout) for span in shards], shards

    def parse_responses(
        self,
        shards: Iterable[Iterable[Any]],
        responses: Iterable[Iterable[Any]],
    ) -> Iterable[Doc]:
        """Annotate documents with the responses of a model.

        A document whose response is missing, or no attempt at the task, gets an empty
        group with the status "failed". The other documents are not affected.

        shards (Iterable[Iterable[Any]]): The shards of each document from
            `generate_prompts`, or a list of the document alone.
        responses (Iterable[Iterable[str]]): The responses for each document.
        RETURNS (Iterable[Doc]): The same documents, annotated.
        """
        docs = []
        reasons: list[str] = []
        answers = iter(responses)
        for each in shards:
            parts = _as_shards(each)
            completions = [_as_completion(answer) for answer in next(answers, ())]
            prediction = self._predict(parts, completions)
            if prediction.status == FAILED:
                failures = (i for i in prediction.issues if i["code"] == FAILED)
                reasons.append(next(failures)["message"])
            self._write(parts.doc, prediction, completions)
            docs.append(parts.doc)
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
        """Set labels and examples from training data.

        get_examples (Callable[[], Iterable[Example]]): Returns the data.
        nlp (Language): The pipeline.
        labels (list[str] | dict[str, str] | None): The labels, or label to definition.
            By default those of the config, or else those of the data.
        n_prompt_examples (int): The number of examples in the prompt, including those
            of the config. -1 for all of the data.
        RAISES (ValueError): A label is invalid, or an example cannot be shown.
        """
        key = self.settings.spans_key
        present = self._labels
        names = read_labels(labels or present, self.format)
        chosen = {name: text or present.get(name, "") for name, text in names.items()}
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
        """Score examples.

        examples (Iterable[Example]): Predicted documents with their references.
        RETURNS (dict[str, Any]): The scores.
        """
        return self._scorer(examples, spans_key=self.settings.spans_key)

    def _predict(self, shards: Shards, completions: Sequence[Completion]) -> Prediction:
        if not shards.windows:
            return Prediction()
        if len(completions) != len(shards.windows):
            found, expected = len(completions), len(shards.windows)
            error = ValueError(Errors.G735.format(found=found, expected=expected))
            return failed_prediction(shards.doc, error)
        labels = self.labels
        predictions = [
            aligned(span, completion, self.format, labels)
            for span, completion in zip(shards, completions, strict=True)
        ]
        return merge_shards(shards, predictions, labels, self.format.allows_crossing)

    def _write(
        self, doc: Doc, prediction: Prediction, completions: Sequence[Completion]
    ) -> None:
        settings = {
            "spans_key": self.settings.spans_key,
            "min_score": 0.0,
            "set_ents": self.settings.set_ents,
            "overwrite_ents": self.settings.overwrite_ents,
        }
        if self.settings.keep_raw:
            prediction.answers = [str(completion) for completion in completions]
        write_prediction(doc, prediction, settings)

    def get_cfg(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The labels with their definitions, in order. All
        other settings come from the config."""
        return {"labels": [[label, text] for label, text in self._labels.items()]}

    def set_cfg(self, cfg: dict[str, Any]) -> None:
        """Load the result of `get_cfg`.

        cfg (dict[str, Any]): The labels.
        RAISES (ValueError): The data is invalid.
        """
        try:
            labels = {str(label): str(text) for label, text in cfg["labels"]}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(Errors.G737.format(reason=repr(error))) from error
        self.set_labels(labels)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): The labels and examples."""
        return util.to_bytes(
            {
                "cfg": lambda: srsly.json_dumps(self.get_cfg()),
                "prompt_examples": lambda: srsly.json_dumps(self._example_data()),
            },
            exclude,
        )

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> "MarkingTask":
        """Load the result of `to_bytes`.

        bytes_data (bytes): The data.
        RETURNS (MarkingTask): The task itself.
        RAISES (ValueError): The data is invalid.
        """
        util.from_bytes(
            bytes_data,
            {
                "cfg": lambda b: self.set_cfg(srsly.json_loads(b)),
                "prompt_examples": lambda b: self._load_examples(srsly.json_loads(b)),
            },
            exclude,
        )
        return self

    def to_disk(self, path: Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the labels and examples.

        path (Path): The folder.
        """
        util.to_disk(
            path,
            {
                "cfg": lambda p: srsly.write_json(p, self.get_cfg()),
                "prompt_examples": lambda p: srsly.write_json(p, self._example_data()),
            },
            exclude,
        )

    def from_disk(self, path: Path, *, exclude: Iterable[str] = ()) -> "MarkingTask":
        """Load the result of `to_disk`.

        path (Path): The folder.
        RETURNS (MarkingTask): The task itself.
        RAISES (ValueError): The data is invalid.
        """
        util.from_disk(
            path,
            {
                "cfg": lambda p: self.set_cfg(srsly.read_json(p)),
                "prompt_examples": lambda p: self._load_examples(srsly.read_json(p)),
            },
            exclude,
        )
        return self

    def _example_data(self) -> list[dict[str, Any]]:
        return [shown.to_json() for shown in self._examples]

    def _load_examples(self, examples: Any) -> None:
        self.set_examples(read_examples(examples))

    def _make_layout(self, shown: Sequence[Demonstration]) -> PromptLayout:
        return PromptLayout(
            self.labels,
            self._labels,
            format=self.format.name,
            readings=self.settings.readings,
            demonstrations=tuple(shown),
            template=self.settings.source,
        )


def _as_shards(each: Any) -> Shards:
    if isinstance(each, Shards):
        return each
    docs = list(each)
    if len(docs) != 1:
        raise ValueError(Errors.G738.format(found=len(docs)))
    doc = docs[0]
    return Shards(doc, (Window(0, len(doc)),) if len(doc) else ())


def _as_completion(answer: Any) -> Completion:
    if isinstance(answer, Completion):
        return answer
    if isinstance(answer, str):
        return Completion(answer)
    return Completion(error=TypeError(Errors.G736.format(found=repr(answer)[:80])))


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
    """Make the task `spacy-genner.NER.v1`. It writes entities to `doc.ents`, and all
    spans, with status and issues, to `doc.spans[spans_key]`.

    labels (list[str] | str): The labels, or a comma-separated string. Empty to collect
        them from the examples in `nlp.initialize`.
    label_definitions (dict[str, str] | None): Label to definition.
    examples (Iterable[dict[str, Any]] | Callable | None): Annotated texts for the
        prompt, or a reader of them such as `spacy.FewShotReader.v1`.
    template (str | None): The source of a jinja template, or "study" or "compact".
    format (str): The output format.
    spans_key (str): The group of `doc.spans`.
    readings (int): How many times the built-in templates hold the text: 1 or 2.
    set_ents (str): The spans to write to `doc.ents`: "outer", "inner" or "none".
    overwrite_ents (bool): Whether to overwrite existing entities of the Doc.
    keep_raw (bool): Whether the group keeps the completion as `attrs["answer"]`.
    scorer (Callable | None): Scores examples. By default as spaCy's `ner` and as
        `spacy-genner.span_scorer.v1`.
    RETURNS (MarkingTask): The task.
    RAISES (ValueError): A setting is invalid.
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
    """Make the task `spacy-genner.SpanCat.v1`. It writes spans, including nested ones,
    to `doc.spans[spans_key]`.

    labels (list[str] | str): The labels, or a comma-separated string. Empty to collect
        them from the examples in `nlp.initialize`.
    label_definitions (dict[str, str] | None): Label to definition.
    examples (Iterable[dict[str, Any]] | Callable | None): Annotated texts for the
        prompt, or a reader of them such as `spacy.FewShotReader.v1`.
    template (str | None): The source of a jinja template, or "study" or "compact".
    format (str): The output format.
    spans_key (str): The group of `doc.spans`.
    readings (int): How many times the built-in templates hold the text: 1 or 2.
    keep_raw (bool): Whether the group keeps the completion as `attrs["answer"]`.
    scorer (Callable | None): Scores examples. By default
        `spacy-genner.span_scorer.v1`.
    RETURNS (MarkingTask): The task.
    RAISES (ValueError): A setting is invalid.
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
    """Score the entities and the spans.

    examples (Iterable[Example]): Predicted documents with their references.
    spans_key (str): The group of `doc.spans`.
    RETURNS (dict[str, Any]): spaCy's `ents_p`, `ents_r`, `ents_f` and `ents_per_type`,
        and the scores of `spacy-genner.span_scorer.v1`.
    """
    examples = list(examples)
    spans = make_span_scorer()(examples, spans_key=spans_key)
    return {**get_ner_prf(examples), **spans}
