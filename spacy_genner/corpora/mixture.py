"""A training corpus of many corpora with different labels, and its held-out part.

Each group of examples comes from one corpus and has a label set of its own: some of the
labels of the corpus, named and defined in different ways, in random order. Spans with
other labels are left out. A model that is trained on such a stream has to read the
labels of its prompt ("GoLLIE", Sainz et al., 2024; "GNER", Ding et al., 2024).

A corpus is a folder with `train.jsonl` (one passage per line: `text`, and `spans` with
`start`, `end` in characters, end exclusive, and `label`) and `labels.json` (label to
`name` and `definition`).
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import index
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional  # noqa: UP035

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..errors import Errors
from ..formats import CharSpan, crossings, drop_crossing
from ..io import has_lone_surrogate, numbered_lines, parse_json
from .label_sets import set_label_set

TRAIN_FILE, TEST_FILE, LABELS_FILE = "train.jsonl", "test.jsonl", "labels.json"
# The probabilities of the ways to name labels, and that labels come with definitions.
P_NATURAL, P_CAPITALS, P_CODE = 0.75, 0.10, 0.15
P_DEFINED = 0.5
P_REWORDED = 0.5
# The probability that a group uses the alternative names, where there are any.
P_ALTERNATIVE = 0.6
# The probability that some labels which occur in the group are left out with their
# spans, and that none of the labels occurs.
P_DROPPED = 0.1
P_NONE = 0.01
MAX_LABELS = 30
# The share of the passages without a span of the labels that is left out. Users ask
# for labels that they expect. A model that has seen many in vain marks too little.
P_EMPTY_LEFT_OUT = 0.7
# Characters that no format can have in a label.
_NOT_IN_NAMES = "[]|\n"
# After so many groups without an example in a row there will be none.
_MAX_EMPTY_GROUPS = 1000


class Passage(NamedTuple):
    """A text with its spans.

    text (str): The text.
    spans (tuple[CharSpan, ...]): The spans, without any that cross.
    """

    text: str
    spans: tuple[CharSpan, ...]


class LabelName(NamedTuple):
    """The name and the definition of a label of a corpus.

    name (str): The natural name.
    definition (str): The definition, or an empty string.
    other_names (tuple[str, ...]): Alternative names of the same entities.
    other_definitions (tuple[str, ...]): The definition in other words.
    """

    name: str
    definition: str
    other_names: tuple[str, ...] = ()
    other_definitions: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledCorpus:
    """One corpus of a mixture, read at first use.

    folder (Path): The folder.
    file (str): The file of the passages.
    alternatives (Mapping[str, Any]): For each label, lists of alternative `names` and
        `definitions`.
    """

    folder: Path
    file: str = TRAIN_FILE
    alternatives: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def labels(self) -> dict[str, LabelName]:
        """RETURNS (dict[str, LabelName]): The labels, with natural names and
        definitions.
        RAISES (ValueError): The file is missing or damaged."""
        path = self.folder / LABELS_FILE
        try:
            content = parse_json(path.read_text(encoding="utf-8-sig"), unique=True)
            labels = {
                label: LabelName(
                    _to_name(each["name"]),
                    _to_definition(each.get("definition") or ""),
                    *_read_alternatives(self.alternatives.get(label, {})),
                )
                for label, each in content.items()
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(Errors.G590.format(path=path, reason=error)) from error
        if not labels:
            raise ValueError(Errors.G590.format(path=path, reason="there is no label"))
        return labels

    @cached_property
    def passages(self) -> list[Passage]:
        """RETURNS (list[Passage]): The passages.
        RAISES (ValueError): The file is missing or damaged, or a span is outside its
            text."""
        path = self.folder / self.file
        passages = []
        try:
            for number, line in numbered_lines(path):
                if line.strip():
                    passages.append(self._passage(line, f"line {number}"))
        except OSError as error:
            raise ValueError(Errors.G590.format(path=path, reason=error)) from error
        if not passages:
            reason = "there is no passage"
            raise ValueError(Errors.G590.format(path=path, reason=reason))
        return passages

    def _passage(self, line: str, place: str) -> Passage:
        path = self.folder / self.file
        try:
            content = parse_json(line)
            text = content["text"]
            spans = [
                CharSpan(index(each["start"]), index(each["end"]), each["label"])
                for each in content["spans"]
            ]
            if not isinstance(text, str) or has_lone_surrogate(text):
                raise ValueError(f"the text {text!r}")
        except (TypeError, KeyError, ValueError) as error:
            reason = f"{place}: {error!r}"
            raise ValueError(Errors.G590.format(path=path, reason=reason)) from error
        for span in spans:
            if not 0 <= span.start < span.end <= len(text):
                reason = f"{place}: {tuple(span)} is outside the text"
            elif not isinstance(span.label, str) or span.label not in self.labels:
                reason = f"{place}: {LABELS_FILE} lacks the label {span.label!r}"
            else:
                continue
            raise ValueError(Errors.G590.format(path=path, reason=reason))
        if crossings(spans):
            spans, _ = drop_crossing(spans)
        return Passage(text, tuple(dict.fromkeys(spans)))


def _read_alternatives(
    content: Mapping[str, Any],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The alternative names and definitions of a label.

    RAISES (ValueError | TypeError | AttributeError): The content is something else.
    """
    unknown = sorted(set(content) - {"names", "definitions"})
    if unknown:
        raise ValueError(f"the key {unknown[0]!r}")
    found = []
    for key, read in (("names", _to_name), ("definitions", _to_definition)):
        listed = content.get(key, [])
        if not isinstance(listed, list):
            raise ValueError(f"{key!r} is {listed!r}, and no list")
        found.append(tuple(map(read, listed)))
    return found[0], found[1]


def _to_name(value: Any) -> str:
    """Check the natural name of a label, which takes the place of a name that can't be
    written."""
    name = _to_definition(value)
    if not name or any(char in name for char in _NOT_IN_NAMES):
        raise ValueError(f"the name {value!r}")
    return name


def _to_definition(value: Any) -> str:
    if not isinstance(value, str) or "\n" in value.strip() or has_lone_surrogate(value):
        raise ValueError(f"the text {value!r}")
    return value.strip()


def make_mixture_corpus(
    path: Optional[str],  # noqa: UP045
    weights: Optional[Dict[str, float]] = None,  # noqa: UP006, UP045
    words: int = 160,
    seed: int = 0,
    spans_key: str = "sc",
    names: Optional[str] = None,  # noqa: UP045
) -> Callable[[Language], Iterable[Example]]:
    """Registered as `spacy-genner.MixtureCorpus.v1`. A stream of examples without end,
    for `max_epochs = -1`. Consecutive examples form groups. Each group has one corpus
    and one label set.

    path (str | None): A folder whose subfolders are the corpora.
    weights (dict[str, float] | None): The weight of each corpus, by the name of its
        folder: the share of groups. 0 leaves a corpus out. Without it, the weight is
        the square root of the number of passages.
    words (int): The number of words of a group, roughly. A batch of several groups has
        the gradient of several corpora.
    seed (int): The seed of the order and of the label sets.
    spans_key (str): The group of `doc.spans` to write the spans to.
    names (str | None): A JSON file with alternative names and definitions:
        `{corpus: {label: {"names": [...], "definitions": [...]}}}`.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus.
    RAISES (ValueError): The path is missing, a weight is negative or names no corpus,
        the number of words is below 1, or the file of names can't be read.
    """
    return MixtureCorpus(
        path, weights or {}, words=words, seed=seed, key=spans_key, names=names
    )


class MixtureCorpus:
    """A stream of groups of examples from many corpora.

    path (str | Path | None): A folder whose subfolders are the corpora.
    weights (Mapping[str, float]): The weight of each corpus by its name.
    words (int): The number of words of a group, roughly.
    seed (int): The seed.
    key (str): The group of `doc.spans` to write the spans to.
    names (str | Path | None): A JSON file with alternative names and definitions.
    RAISES (ValueError): See `make_mixture_corpus`.
    """

    def __init__(
        self,
        path: str | Path | None,
        weights: Mapping[str, float],
        *,
        words: int = 160,
        seed: int = 0,
        key: str = "sc",
        names: str | Path | None = None,
    ):
        if path is None:
            raise ValueError(Errors.G505)
        if words < 1:
            raise ValueError(Errors.G592.format(found=words))
        folder = Path(path)
        found = _find_corpora(folder, TRAIN_FILE, weights)
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(Errors.G594.format(name=name, found=weight))
        self.names = [name for name in found if weights.get(name, 1.0) > 0]
        if not self.names:
            raise ValueError(Errors.G591.format(path=folder, file=TRAIN_FILE))
        alternatives = _read_names(Path(names)) if names else {}
        self.corpora = {
            name: LabelledCorpus(folder / name, alternatives=alternatives.get(name, {}))
            for name in self.names
        }
        self.weights = dict(weights)
        self.words = words
        self.seed = seed
        self.key = key

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Stream examples. Each call starts the same stream again.

        nlp (Language): The pipeline, whose tokenizer makes the Docs.
        YIELDS (Example): Examples without end. Those of a group follow each other and
            have the same label set.
        RAISES (ValueError): A corpus is damaged, or no passage gives an example.
        """
        generator = random.Random(self.seed)
        order = {name: _Cycle(generator) for name in self.names}
        weights = [
            self.weights.get(name, len(self.corpora[name].passages) ** 0.5)
            for name in self.names
        ]
        empty = 0
        while empty < _MAX_EMPTY_GROUPS:
            (name,) = generator.choices(self.names, weights)
            corpus = self.corpora[name]
            passages: list[Passage] = []
            words = 0
            while words < self.words:
                passage = order[name].next(corpus.passages)
                words += 1 + passage.text.count(" ")
                passages.append(passage)
            empty += 1
            for example in self._group(nlp, corpus, passages, generator):
                empty = 0
                yield example
        reason = "no passage has spans that begin and end with tokens"
        raise ValueError(Errors.G590.format(path=corpus.folder, reason=reason))

    def _group(
        self,
        nlp: Language,
        corpus: LabelledCorpus,
        passages: list[Passage],
        generator: random.Random,
    ) -> Iterator[Example]:
        counts = Counter(span.label for each in passages for span in each.spans)
        labels = choose_labels(list(corpus.labels), counts, generator)
        names = name_labels(
            {label: corpus.labels[label] for label in labels}, generator
        )
        for passage in passages:
            is_empty = not any(span.label in names for span in passage.spans)
            if is_empty and generator.random() < P_EMPTY_LEFT_OUT:
                continue
            example = make_example(nlp, passage, names, self.key)
            if example is not None:
                yield example


def make_held_out_corpus(
    path: Optional[str],  # noqa: UP045
    names: Optional[List[str]] = None,  # noqa: UP006, UP045
    limit: int = 0,
    definitions: bool = True,
    seed: int = 0,
    spans_key: str = "sc",
) -> Callable[[Language], Iterable[Example]]:
    """Registered as `spacy-genner.HeldOutCorpus.v1`. The test passages of corpora whose
    labels are not trained on, each with all labels of its corpus.

    path (str | None): A folder whose subfolders are the corpora.
    names (list[str] | None): The names of the corpora. None for all.
    limit (int): The maximum number of passages of a corpus, or 0 for all.
    definitions (bool): Whether the labels have definitions.
    seed (int): The seed of the sample.
    spans_key (str): The group of `doc.spans` to write the spans to.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus.
    RAISES (ValueError): The path is missing, or a name is no corpus.
    """
    if path is None:
        raise ValueError(Errors.G505)
    if limit < 0:
        raise ValueError(Errors.G506.format(found=limit))
    folder = Path(path)
    found = _find_corpora(folder, TEST_FILE, names or ())
    corpora = [LabelledCorpus(folder / name, TEST_FILE) for name in names or found]

    def read(nlp: Language) -> Iterator[Example]:
        for corpus in corpora:
            shown = {
                label: LabelName(each.name, each.definition if definitions else "")
                for label, each in corpus.labels.items()
            }
            size = min(limit or len(corpus.passages), len(corpus.passages))
            for passage in random.Random(seed).sample(corpus.passages, size):
                example = make_example(nlp, passage, shown, spans_key)
                if example is not None:
                    yield example

    return read


def make_example(
    nlp: Language, passage: Passage, names: Mapping[str, LabelName], key: str
) -> Example | None:
    """Make the example of a passage. Spans whose label has no name are left out.

    nlp (Language): The pipeline, whose tokenizer makes the Docs.
    passage (Passage): The passage.
    names (Mapping[str, LabelName]): The shown names and definitions of the labels.
    key (str): The group of `doc.spans` to write the spans to.
    RETURNS (Example | None): The example. None if a span fits no token boundary, as the
        passage would teach the model to leave out an entity.
    """
    reference = nlp.make_doc(passage.text)
    spans = [
        reference.char_span(start, end, names[label].name)
        for start, end, label in passage.spans
        if label in names
    ]
    if any(span is None for span in spans):
        return None
    reference.spans[key] = [span for span in spans if span is not None]
    predicted = Doc(
        nlp.vocab,
        words=[token.text for token in reference],
        spaces=[bool(token.whitespace_) for token in reference],
    )
    for doc in (reference, predicted):
        set_label_set(doc, {each.name: each.definition for each in names.values()})
    return Example(predicted, reference)


def _read_names(path: Path) -> dict[str, Any]:
    """The alternative names and definitions of the labels of each corpus."""
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"), unique=True)
        for corpus in content.values():
            for each in corpus.values():
                _read_alternatives(each)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(Errors.G590.format(path=path, reason=error)) from error
    return dict(content)


def _find_corpora(folder: Path, file: str, names: Iterable[str]) -> list[str]:
    """The names of the subfolders that have a file. The given names have to be among
    them."""
    paths = folder.glob(f"*/{file}") if folder.is_dir() else ()
    found = sorted(path.parent.name for path in paths)
    if not found:
        raise ValueError(Errors.G591.format(path=folder, file=file))
    for name in names:
        if name not in found:
            raise ValueError(Errors.G593.format(name=name, found=found))
    return found


class _Cycle:
    """Draws items in random order, each once before any is drawn again."""

    def __init__(self, generator: random.Random):
        self.generator = generator
        self.rest: list[int] = []

    def next(self, items: list[Passage]) -> Passage:
        if not self.rest:
            self.rest = self.generator.sample(range(len(items)), len(items))
        return items[self.rest.pop()]


def choose_labels(
    labels: list[str], counts: Mapping[str, int], generator: random.Random
) -> list[str]:
    """Choose the labels of a group, in random order.

    labels (list[str]): All labels of the corpus.
    counts (Mapping[str, int]): The number of spans of each label in the group.
    generator (random.Random): The source of randomness.
    RETURNS (list[str]): The labels, at least 1 and at most `MAX_LABELS`.
    """
    present = [label for label in labels if counts.get(label)]
    absent = [label for label in labels if not counts.get(label)]
    generator.shuffle(present)
    generator.shuffle(absent)
    if absent and (not present or generator.random() < P_NONE):
        return absent[: generator.randint(1, min(len(absent), 8))]
    if len(present) > 1 and generator.random() < P_DROPPED:
        present = present[: generator.randint(1, len(present) - 1)]
    present = present[: min(MAX_LABELS, len(present))]
    room = min(len(absent), MAX_LABELS - len(present))
    # A few labels in vain keep the model from looking for each label at all costs.
    room = min(room, len(present) // 2 + 2)
    chosen = [*present, *absent[: generator.randint(0, room)]]
    generator.shuffle(chosen)
    return chosen


def name_labels(
    labels: Mapping[str, LabelName], generator: random.Random
) -> dict[str, LabelName]:
    """Choose the names and definitions that the prompt shows.

    labels (Mapping[str, LabelName]): Labels of a corpus.
    generator (random.Random): The source of randomness.
    RETURNS (dict[str, LabelName]): For each label its shown name, which no other label
        has, and its shown definition, which may be empty. Codes always have a
        definition.
    """
    (style,) = generator.choices(
        ("natural", "capitals", "code"), (P_NATURAL, P_CAPITALS, P_CODE)
    )
    if style == "code" and not all(each.definition for each in labels.values()):
        style = "natural"
    defined = style == "code" or generator.random() < P_DEFINED
    reworded = generator.random() < P_REWORDED
    alternative = generator.random() < P_ALTERNATIVE
    shown: dict[str, LabelName] = {}
    used: set[str] = set()
    for label, known in labels.items():
        natural, definition = known.name, known.definition
        if alternative:
            natural = generator.choice((natural, *known.other_names))
            definition = generator.choice((definition, *known.other_definitions))
        name = natural
        if style == "capitals":
            name = natural.upper().replace(" ", "_")
        elif style == "code":
            name = label
        if not name or any(char in name for char in _NOT_IN_NAMES):
            name = natural
        number = 1
        while name in used:
            number += 1
            name = f"{natural} {number}"
        used.add(name)
        text = definition if defined else ""
        if text and reworded:
            text = _reword(text)
        shown[label] = LabelName(name, text)
    return shown


def _reword(definition: str) -> str:
    """A definition as somebody else might type it: without article and full stop."""
    text = definition.rstrip(".")
    for article in ("A ", "An ", "The "):
        if text.startswith(article):
            text = text[len(article) :]
            break
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
