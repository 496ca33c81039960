"""Split a corpus into parts for training, development and test.

Documents are assigned by iterative stratification (Sechidis, Tsoumakas and Vlahavas
2011, "On the Stratification of Multi-Label Data"), so that each part has its share of
the documents with each label. Documents that belong together stay together.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import spacy
from spacy.tokens import Doc, DocBin

from ..errors import Errors
from ..io import replaced_file
from .convert import DocMaker
from .docbin import all_spans, check_annotated, load_docbin
from .documents import ConversionCounts, ConvertOptions, doc_id_of, read_chosen
from .forms import get_converter
from .forms.files import rereadable

PARTS = ("train", "dev", "test")
NATIVE = ("docbin", "spacy")


@dataclass
class SplitCounts:
    """The result of a split.

    documents (dict[str, int]): The number of documents of each part.
    spans (dict[str, dict[str, int]]): The number of spans of each label, by part.
    together (int): The number of documents that stay with others, because they have the
        same ID or text.
    lacking (dict[str, list[str]]): The parts that have no span of a label, by label.
    conversion (ConversionCounts | None): The counts of the conversion, if the corpus
        was converted.
    """

    documents: dict[str, int] = field(default_factory=dict)
    spans: dict[str, dict[str, int]] = field(default_factory=dict)
    together: int = 0
    lacking: dict[str, list[str]] = field(default_factory=dict)
    conversion: ConversionCounts | None = None


def split_corpus(
    source: Path,
    folder: Path,
    *,
    dev: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    name: str = "spacy",
    options: ConvertOptions | None = None,
    tokenizer: str = "blank",
) -> SplitCounts:
    """Split a corpus by document, and write `train.spacy`, `dev.spacy` and
    `test.spacy`. The files are written atomically, after the last is complete.

    source (Path): The corpus.
    folder (Path): The folder for the files. Other files in it are kept.
    dev (float): The share of the documents for development. 0 for no such part.
    test (float): The share of the documents for the test. 0 for no such part.
    seed (int): The seed. The same seed splits the same corpus alike.
    name (str): The corpus format. The Docs of a `.spacy` file stay unchanged.
    options (ConvertOptions | None): Options for reading, such as the group of spans.
    tokenizer (str): "blank" or "fine", for other corpus formats.
    RETURNS (SplitCounts): The counts.
    RAISES (ValueError): A share is invalid, the corpus has too few documents, or a file
        of the folder would be overwritten or be left from an earlier split.
    """
    options = options or ConvertOptions()
    shares = _shares(dev, test)
    _check_folder(source, folder, shares)
    counts = SplitCounts()
    if name in NATIVE:
        docbin = load_docbin(source)
        docs = list(docbin.get_docs(spacy.blank(options.lang).vocab))
        attrs, keeps_data = docbin.attrs, bool(docbin.user_data)
        check_annotated(docs, options.spans_key)
    else:
        maker = DocMaker(options.lang, options.spans_key, tokenizer)
        # The content of a pipe can be read only once.
        with rereadable(source) as path:
            docs = list(maker(read_chosen(get_converter(name), path, options)))
        attrs, keeps_data = DocBin().attrs, True
        counts.conversion = maker.counts
    if not docs:
        raise ValueError(Errors.G504.format(path=source, name=name))
    labels = [
        Counter(span.label for span in set(all_spans(doc, options.spans_key)))
        for doc in docs
    ]
    groups = group_documents(docs)
    if len(groups) < len(shares):
        raise ValueError(
            Errors.G570.format(
                path=source, found=len(groups), total=len(docs), parts=len(shares)
            )
        )
    counts.together = sum(len(group) for group in groups if len(group) > 1)
    parts = assign_groups(groups, labels, shares, seed)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for part, indices in parts.items():
            docbin = DocBin(attrs=attrs, store_user_data=keeps_data)
            for index in indices:
                docbin.add(docs[index])
            fresh = stack.enter_context(replaced_file(folder / f"{part}.spacy"))
            fresh.write_bytes(docbin.to_bytes())
            counts.documents[part] = len(indices)
            total = sum((labels[index] for index in indices), Counter())
            counts.spans[part] = dict(sorted(total.items()))
    for label in sorted(set().union(*labels)):
        lacking = [part for part in parts if label not in counts.spans[part]]
        if lacking:
            counts.lacking[label] = lacking
    return counts


def _shares(dev: float, test: float) -> dict[str, float]:
    """The shares of the parts that are not empty."""
    if not (0 <= dev < 1 and 0 <= test < 1 and 0 < dev + test < 1):
        raise ValueError(Errors.G569.format(dev=dev, test=test))
    shares = {"train": 1 - dev - test, "dev": dev, "test": test}
    return {part: share for part, share in shares.items() if share > 0}


def _check_folder(source: Path, folder: Path, shares: Mapping[str, float]) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(Errors.G572.format(path=folder))
    for part in PARTS:
        path = folder / f"{part}.spacy"
        if path.exists() and source.exists() and path.samefile(source):
            raise ValueError(Errors.G573.format(path=path))
        if path.exists() and part not in shares:
            raise ValueError(Errors.G571.format(path=path, part=part))


def group_documents(docs: Sequence[Doc]) -> list[list[int]]:
    """Find the documents that belong together: those with the same `doc_id` in
    `doc.user_data`, and those with the same text, except for white space at the edges.

    docs (Sequence[Doc]): The documents.
    RETURNS (list[list[int]]): The indices of the documents of each group, in order.
    """
    groups = list(range(len(docs)))

    def find(index: int) -> int:
        while groups[index] != index:
            groups[index] = groups[groups[index]]
            index = groups[index]
        return index

    seen: dict[tuple[str, str], int] = {}
    for index, doc in enumerate(docs):
        for key in (("id", doc_id_of(doc)), ("text", doc.text.strip())):
            if key[1]:
                first, second = sorted((find(seen.setdefault(key, index)), find(index)))
                groups[second] = first
    members: dict[int, list[int]] = {}
    for index in range(len(docs)):
        members.setdefault(find(index), []).append(index)
    return list(members.values())


def assign_groups(
    groups: Sequence[Sequence[int]],
    labels: Sequence[Mapping[str, int]],
    shares: Mapping[str, float],
    seed: int,
) -> dict[str, list[int]]:
    """Assign groups of documents to parts by iterative stratification.

    The label with the fewest remaining groups comes first. Each of its groups goes to
    the part that lacks most of its share of the label; of several, to the one that
    lacks most documents. While a label has just enough groups for the parts without it,
    they get one each.

    groups (Sequence[Sequence[int]]): The groups.
    labels (Sequence[Mapping[str, int]]): The labels of each document.
    shares (Mapping[str, float]): The share of each part. They add up to 1.
    seed (int): The seed for the order of groups, which decides between equal ones.
    RETURNS (dict[str, list[int]]): The indices of the documents of each part, in order.
    """
    found = [{label for index in group for label in labels[index]} for group in groups]
    order = list(range(len(groups)))
    random.Random(seed).shuffle(order)
    stratification = _Stratification(groups, found, shares)
    remaining = dict.fromkeys(order)
    with_label: dict[str, dict[int, None]] = {}
    for number in order:
        for label in sorted(found[number]):
            with_label.setdefault(label, {})[number] = None
    while with_label:
        label = min(with_label, key=lambda each: (len(with_label[each]), each))
        members = list(with_label.pop(label))
        for place, number in enumerate(members):
            stratification.assign(number, label, len(members) - place)
            del remaining[number]
            for other in found[number] & with_label.keys():
                del with_label[other][number]
                if not with_label[other]:
                    del with_label[other]
    for number in remaining:
        stratification.assign(number)
    stratification.fill(order)
    assigned: dict[str, list[int]] = {part: [] for part in shares}
    for number, part in stratification.parts.items():
        assigned[part] += groups[number]
    return {part: sorted(indices) for part, indices in assigned.items()}


class _Stratification:
    """The parts of groups, and what the parts lack of their shares."""

    def __init__(
        self,
        groups: Sequence[Sequence[int]],
        labels: Sequence[set[str]],
        shares: Mapping[str, float],
    ):
        self.groups = groups
        self.labels = labels
        self.shares = shares
        self.parts: dict[int, str] = {}
        total = sum(map(len, groups))
        self.wanted = {part: share * total for part, share in shares.items()}
        # Both by part and label: how many groups are missing, and how many there are.
        counts = Counter(label for found in labels for label in found)
        self.wanted_labels = {
            (part, label): share * count
            for part, share in shares.items()
            for label, count in counts.items()
        }
        self.present: Counter[tuple[str, str]] = Counter()

    def assign(self, number: int, label: str | None = None, left: int = 0) -> None:
        """Assign a group because of a label, of which so many groups are left."""
        parts = list(self.shares)
        if label is not None:
            without = [part for part in parts if not self.present[part, label]]
            if len(without) >= left:
                parts = without or parts
        self._move(number, max(parts, key=lambda part: self._need(part, label)))

    def _need(self, part: str, label: str | None) -> tuple[float, float]:
        of_label = self.wanted_labels[part, label] if label is not None else 0.0
        # Rounding makes equal needs equal.
        return round(of_label, 9), round(self.wanted[part], 9)

    def _move(self, number: int, part: str) -> None:
        before = self.parts.get(number)
        for place, change in ((before, -1), (part, 1)):
            if place is None:
                continue
            self.wanted[place] -= change * len(self.groups[number])
            for label in self.labels[number]:
                self.wanted_labels[place, label] -= change
                self.present[place, label] += change
        self.parts[number] = part

    def fill(self, order: Sequence[int]) -> None:
        """Move single groups, so that no part is empty, and no part lacks a label of
        which other parts have more than one group."""
        for part in self.shares:
            if part not in self.parts.values():
                self._fetch(part, order)
        counts = Counter(label for found in self.labels for label in found)
        for label in sorted(counts, key=lambda each: (counts[each], each)):
            for part in self.shares:
                if not self.present[part, label]:
                    self._fetch(part, [n for n in order if label in self.labels[n]])

    def _fetch(self, part: str, order: Iterable[int]) -> None:
        """Move the smallest group to a part whose own part loses no label and does not
        become empty, if there is one."""
        sizes = Counter(self.parts.values())

        def is_spare(number: int) -> bool:
            own = self.parts[number]
            return (
                own != part
                and sizes[own] > 1
                and all(self.present[own, label] > 1 for label in self.labels[number])
            )

        def cost(number: int) -> tuple[int, float]:
            return len(self.groups[number]), round(self.wanted[self.parts[number]], 9)

        numbers = list(order)
        spare = [number for number in numbers if is_spare(number)]
        if not spare and not sizes[part]:
            # A part that would be empty gets a group even if another loses a label.
            spare = [n for n in numbers if sizes[self.parts[n]] > 1]
        if spare:
            self._move(min(spare, key=cost), part)
