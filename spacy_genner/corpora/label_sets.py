"""Label sets: the labels that one document is annotated with.

A document can carry labels of its own, with definitions, in the extension attribute
`doc._.genner_labels`. Without it, the labels of the component apply. A model that is
trained on documents with many label sets follows the labels that its prompt lists, and
not those that it has learned ("GoLLIE", Sainz et al., 2024).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from spacy.tokens import Doc

from ..errors import Errors

ATTRIBUTE = "genner_labels"

# Labels and their definitions, which may be empty, in order.
LabelSet = tuple[tuple[str, str], ...]

if not Doc.has_extension(ATTRIBUTE):
    Doc.set_extension(ATTRIBUTE, default=None)


def set_label_set(doc: Doc, labels: Mapping[str, str] | Sequence[str] | None) -> None:
    """Set the labels of a document.

    doc (Doc): The document.
    labels (Mapping[str, str] | Sequence[str] | None): Labels, or labels and their
        definitions. None for the labels of the component.
    """
    doc._.set(ATTRIBUTE, labels)


def get_label_set(doc: Doc) -> LabelSet | None:
    """Get the labels of a document.

    doc (Doc): The document.
    RETURNS (LabelSet | None): The labels and their definitions. None if the labels of
        the component apply.
    RAISES (ValueError): The attribute holds no labels.
    """
    found = doc._.get(ATTRIBUTE)
    return None if found is None else to_label_set(found)


def copy_label_set(source: Doc, target: Doc) -> None:
    """Give a document the labels of another one.

    source (Doc): The document with the labels, if it has any.
    target (Doc): The other document.
    """
    labels = source._.get(ATTRIBUTE)
    if labels is not None:
        target._.set(ATTRIBUTE, labels)


def to_label_set(labels: Any) -> LabelSet:
    """Check labels as a user gives them, apart from the output format.

    labels (list[str] | dict[str, str]): Labels, or labels and their definitions.
    RETURNS (LabelSet): The labels and their definitions.
    RAISES (ValueError): The value is neither, is empty, or contains a label twice.
    """
    if isinstance(labels, Mapping):
        pairs = list(labels.items())
    elif isinstance(labels, (list, tuple)):
        pairs = [(label, "") for label in labels]
    else:
        raise ValueError(Errors.G419.format(found=labels))
    if not pairs or not all(
        isinstance(label, str) and isinstance(definition, str)
        for label, definition in pairs
    ):
        raise ValueError(Errors.G419.format(found=labels))
    if len(dict(pairs)) < len(pairs):
        raise ValueError(Errors.G421.format(found=labels))
    return tuple(pairs)


def group_by_label_set(docs: Iterable[Doc]) -> dict[LabelSet | None, list[int]]:
    """Group documents by their label sets.

    docs (Iterable[Doc]): The documents.
    RETURNS (dict[LabelSet | None, list[int]]): The indices of the documents with each
        label set. None are those that the labels of the component apply to.
    """
    groups: dict[LabelSet | None, list[int]] = {}
    for index, doc in enumerate(docs):
        groups.setdefault(get_label_set(doc), []).append(index)
    return groups


def batch_by_label_set(
    size: int, max_docs: int = 0
) -> Callable[[Iterable[Any]], Iterator[list[Any]]]:
    """Batch consecutive examples with equal label sets. Registered as the batcher
    `spacy-genner.batch_by_label_set.v1`.

    A batch shares its instruction, which the model processes once.

    size (int): The maximum number of words in a batch. A longer example is a batch of
        its own.
    max_docs (int): The maximum number of examples in a batch, or 0 for no limit.
    RETURNS (Callable[[Iterable[Example]], Iterator[list[Example]]]): The batcher.
    """

    def batches(examples: Iterable[Any]) -> Iterator[list[Any]]:
        batch: list[Any] = []
        words, labels = 0, None
        for example in examples:
            own = get_label_set(example.reference)
            length = len(example.reference)
            full = words + length > size or (max_docs and len(batch) >= max_docs)
            if batch and (own != labels or full):
                yield batch
                batch, words = [], 0
            labels = own
            batch.append(example)
            words += length
        if batch:
            yield batch

    return batches
