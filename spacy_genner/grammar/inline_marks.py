"""The marks of an inline format as tries over token ids."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..errors import Errors
from ..formats import InlineFormat
from .source import Encode


@dataclass
class Node:
    """A place in a trie of marks.

    children (Dict[int, Node]): The next ids, in the order of the labels.
    below (Set[int]): The labels that can still be reached, as indices.
    label (int): The label whose mark ends here, -1 where none does.
    """

    children: dict[int, "Node"] = field(default_factory=dict)
    below: set[int] = field(default_factory=set)
    label: int = -1


@dataclass(frozen=True)
class Marks:
    """The marks of one format for one set of labels under one tokenizer.

    labels (Tuple[str, ...]): The labels; marks name them by index.
    open_texts (Tuple[str, ...]): The opening mark of each label.
    close_texts (Tuple[str, ...]): The closing mark of each label.
    open_ids (Tuple[Tuple[int, ...], ...]): The ids of the opening marks.
    close_ids (Tuple[Tuple[int, ...], ...]): The ids of the closing marks.
    opening (Node): Trie of the opening marks. Where an opening mark names no
        label, it holds one mark, that of label 0.
    closing (Node): Trie of the closing marks.
    open_names_label (bool): Whether the opening mark says the label.
    """

    labels: tuple[str, ...]
    open_texts: tuple[str, ...]
    close_texts: tuple[str, ...]
    open_ids: tuple[tuple[int, ...], ...]
    close_ids: tuple[tuple[int, ...], ...]
    opening: Node
    closing: Node
    open_names_label: bool


def make_marks(fmt: InlineFormat, labels: Sequence[str], encode: Encode) -> Marks:
    """Encode a format's marks.

    fmt (InlineFormat): The format.
    labels (Sequence[str]): The labels, in their order.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    RETURNS (Marks): The marks.
    RAISES (ValueError): Two marks can't be told apart under the tokenizer.
    """
    open_texts = tuple(fmt.open_mark(label) for label in labels)
    close_texts = tuple(fmt.close_mark(label) for label in labels)
    open_ids = tuple(tuple(encode(text)) for text in open_texts)
    close_ids = tuple(tuple(encode(text)) for text in close_texts)
    opened = range(len(labels)) if fmt.open_names_label else range(min(1, len(labels)))
    return Marks(
        labels=tuple(labels),
        open_texts=open_texts,
        close_texts=close_texts,
        open_ids=open_ids,
        close_ids=close_ids,
        opening=_trie(((open_ids[i], i) for i in opened), open_texts),
        closing=_trie(((ids, i) for i, ids in enumerate(close_ids)), close_texts),
        open_names_label=fmt.open_names_label,
    )


def marks_by_boundary(
    spans: Iterable[tuple[int, int, int]], size: int
) -> list[tuple[list[int], list[int]]]:
    """The marks at each boundary between units, in the order of the output.

    spans (Iterable[Tuple[int, int, int]]): First unit, unit after the last, and label
        index of each; none crosses another.
    size (int): The number of units.
    RETURNS (List[Tuple[List[int], List[int]]]): For each boundary, one more than there
        are units, the labels of the spans that close there and of those that open.
    """
    marks: list[tuple[list[int], list[int]]] = [([], []) for _ in range(size + 1)]
    for start, end, label in sorted(set(spans), key=lambda s: (s[0], -s[1], -s[2])):
        marks[start][1].append(label)
        # What opened last closes first.
        marks[end][0].insert(0, label)
    return marks


def _trie(entries: Iterable[tuple[tuple[int, ...], int]], texts: Sequence[str]) -> Node:
    root = Node()
    for ids, label in entries:
        node = root
        node.below.add(label)
        for id_ in ids:
            if node.label >= 0:
                break
            node = node.children.setdefault(id_, Node())
            node.below.add(label)
        if node is root or node.label >= 0 or node.children:
            others = [texts[other] for other in node.below if other != label]
            raise ValueError(
                Errors.G101.format(mark=texts[label], ids=list(ids), others=others)
            )
        node.label = label
    return root
