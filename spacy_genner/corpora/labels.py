"""Entity labels: reading them from a user, checking them, and collecting them."""

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Config

from ..errors import Errors, Warnings, warn
from ..io import has_lone_surrogate, parse_json
from .docbin import unaligned_spans
from .label_sets import get_label_set


def read_labels(labels: Any, fmt: Any) -> dict[str, str]:
    """Check labels as a user gives them.

    labels (list[str] | dict[str, str] | None): Labels, or labels and their definitions.
    fmt (Format): The format that has to represent the labels.
    RETURNS (dict[str, str]): Labels and their definitions, which may be empty.
    RAISES (ValueError): A label occurs twice or is not legal, or a definition is not
        one line of valid Unicode.
    """
    if labels is None:
        return {}
    if isinstance(labels, dict):
        pairs = list(labels.items())
    elif isinstance(labels, (list, tuple)):
        pairs = [(label, "") for label in labels]
    else:
        raise ValueError(Errors.G419.format(found=labels))
    if not all(isinstance(a, str) and isinstance(b, str) for a, b in pairs):
        raise ValueError(Errors.G419.format(found=labels))
    for label, definition in pairs:
        fmt.check_label(label)
        if "\n" in definition:
            raise ValueError(Errors.G420.format(label=label))
        if has_lone_surrogate(label + definition):
            raise ValueError(Errors.G991.format(label=label, definition=definition))
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError(Errors.G421.format(found=labels))
    return made


def labels_in_file(path: Path) -> Any:
    """Read labels in the format of `spacy.read_labels.v1`.

    path (Path): A JSON file.
    RETURNS (list[Any] | dict[str, Any]): The content: for most components a list, or an
        object of labels and their definitions.
    RAISES (ValueError): The file contains no labels.
    RAISES (OSError): The file can't be read.
    """
    content = parse_json(path.read_text(encoding="utf-8-sig"), unique=True)
    if not isinstance(content, (list, dict)) or not content:
        raise ValueError(f"found {content!r}")
    return content


def check_carried(labels: Any, name: str) -> None:
    """Check that a config file preserves labels with definitions.

    A config file stores a dict as sections and keys of an INI file, which corrupts some
    characters.

    labels (Any): The labels of a config.
    name (str): The name of the component, for the message.
    RAISES (ValueError): The config file would change the labels.
    """
    if not isinstance(labels, dict):
        return
    try:
        text = Config({"labels": labels}).to_str()
        again = Config().from_str(text)["labels"]
    except Exception:
        # Any error of confection means that the file could not be read again.
        again = None
    if again != labels or list(again) != list(labels):
        raise ValueError(Errors.G422.format(found=labels, name=name))


def collect_labels(
    get_examples: Callable[[], Iterable[Example]],
    key: str,
    allowed: dict[str, str] | None,
    required: bool = True,
) -> list[str]:
    """Collect the labels of examples, apart from those with a label set of their own.

    get_examples (Callable[[], Iterable[Example]]): Returns the examples.
    key (str): The group of `doc.spans` that contains the spans.
    allowed (dict[str, str] | None): The allowed labels, or None for any.
    required (bool): Whether the examples are the only source of labels.
    RETURNS (list[str]): The labels, sorted.
    RAISES (ValueError): There are no examples, no example has the group (with another
        message if there are entities), or a label is not allowed. If labels are not
        required, the single placeholder example that spaCy creates without data may
        lack the group.
    """
    found: set[str] = set()
    count = without = placeholders = entities = with_label_set = 0
    for example in get_examples():
        reference = example.reference
        if get_label_set(reference) is not None:
            with_label_set += 1
            continue
        count += 1
        if key not in reference.spans:
            without += 1
            entities += bool(reference.ents)
            placeholders += _is_placeholder(reference)
            continue
        if allowed is not None:
            check_labels(reference, key, allowed)
        found.update(label for _, label in _labelled(reference, key))
    if not count and with_label_set:
        return []
    if not count:
        raise ValueError(Errors.G306.format())
    no_data = placeholders == count == 1 and not required
    if without == count and entities:
        raise ValueError(Errors.G346.format(place="The training corpus", key=key))
    if without == count and not no_data:
        raise ValueError(Errors.G307.format(key=key))
    if without < count and not found and not required:
        warn(Warnings.W303.format(all=count, key=key))
    # With a closed set of labels and no data, the examples need not provide anything.
    elif without and not (no_data and allowed is not None):
        warn(Warnings.W301.format(count=without, all=count, key=key))
    return sorted(found)


def check_labels(
    reference: Doc,
    key: str,
    allowed: Collection[str],
    message: Callable[..., str] = Errors.G303.format,
) -> None:
    """Check the labels of all gold spans of a Doc, aligned and unaligned.

    reference (Doc): The Doc.
    key (str): The group of `doc.spans` that contains the spans.
    allowed (Collection[str]): The allowed labels.
    message (Callable[..., str]): Formats the message of the error.
    RAISES (ValueError): A label is not allowed.
    """
    for text, label in _labelled(reference, key):
        if label not in allowed:
            raise ValueError(message(label=label, span=text, labels=list(allowed)))


def _labelled(reference: Doc, key: str) -> Iterator[tuple[str, str]]:
    """Yield the text and label of each gold span, if the Doc has the group."""
    if key in reference.spans:
        for span in reference.spans[key]:
            yield span.text, span.label_
        for lost in unaligned_spans(reference):
            yield reference.text[lost.start : lost.end], lost.label


def _is_placeholder(reference: Doc) -> bool:
    """Return whether a Doc is the one that spaCy creates without examples, for instance
    in `nlp.initialize()` and `spacy assemble`."""
    return reference.text.split() == ["x", "y", "z"] and not reference.spans
