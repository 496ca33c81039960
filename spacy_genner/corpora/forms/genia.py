"""The GENIA corpus 3.02 in its XML format, with the five types of nested NER.

The `sem` attribute of an element, such as `G#DNA_domain_or_region`, counts as the type
that it begins with. Other types (`other_name`, `virus`, ...) are not read. An element
with a single type becomes a span with exactly its characters, nested or not.

A coordination, `(AND G#cell_type G#cell_type)`, denotes several terms that share words
(`B and T cells`). It becomes no span, and its parts, such as `B`, have no type.
Elements inside it that have their own type are read. An article that occurs several
times, such as MEDLINE:97218353, is read from its last copy. With these rules and the
order of the documents (1,601 train, 199 dev, 199 test), the spans are those of the
split that most papers on nested NER use since 2022.
"""

import gzip
import lzma
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ..documents import Annotated, ConvertOptions, Sentence, group_sentences, is_chosen
from .files import XmlEvent, xml_events

GENIA_TYPES = ("DNA", "RNA", "protein", "cell_line", "cell_type")
_ARCHIVES = (".tgz", ".tar.gz", ".tar")

# What reading a damaged archive raises.
_DAMAGED = (
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    EOFError,
    zlib.error,
)


def read_genia(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read GENIA 3.02.

    path (Path): The XML file, or the archive that contains it.
    options (ConvertOptions): Whether to join the sentences of an article (by default
        not).
    YIELDS (Annotated): The documents, with their MEDLINE IDs.
    RAISES (ValueError): The file is damaged, or is not GENIA.
    """
    yield from group_sentences(_sentences(path, options), bool(options.join_sentences))


def genia_type(sem: str) -> str | None:
    """Return the coarse type of an element.

    sem (str): Its `sem` attribute, such as `G#protein_molecule`.
    RETURNS (str | None): One of `GENIA_TYPES`, or None for other types.
    """
    name = sem.rpartition("#")[2]
    for kind in GENIA_TYPES:
        if name == kind or name.startswith(f"{kind}_"):
            return kind
    return None


def _sentences(path: Path, options: ConvertOptions) -> Iterator[Sentence]:
    with _opened(path) as file:
        copies = Counter(_article_ids(file, path))
    repeated = [
        name for name, count in copies.items() if count > 1 and is_chosen(name, options)
    ]
    if repeated:
        warn(Warnings.W512.format(path=path, count=len(repeated), first=repeated[0]))
    reader = _ArticleReader(path, options, copies)
    with _opened(path) as file:
        for event in xml_events(file, path):
            sentence = reader.take(event)
            if sentence is not None:
                yield sentence
    if reader.coordinated:
        warn(Warnings.W511.format(path=path, count=reader.coordinated))


def _article_ids(file: IO[bytes], path: Path) -> Iterator[str]:
    name: str | None = None
    for event in xml_events(file, path):
        if event.value == "bibliomisc" and event.kind == "start":
            name = ""
        elif event.value == "bibliomisc" and event.kind == "end" and name is not None:
            yield name.strip()
            name = None
        elif event.kind == "text" and name is not None:
            name += event.value


class _ArticleReader:
    """Builds sentences from XML events.

    path (Path): The file, for messages.
    options (ConvertOptions): The documents to read.
    copies (Counter[str]): The number of copies of each article, which is counted down.
    """

    def __init__(self, path: Path, options: ConvertOptions, copies: Counter[str]):
        self.path = path
        self.options = options
        self.copies = copies
        # The number of coordinations of the five types, which become no spans.
        self.coordinated = 0
        # The number of open elements of each name.
        self._inside: Counter[str] = Counter()
        self._name = ""
        self._is_read = False
        self._parts: list[str] = []
        self._length = 0
        self._spans: list[CharSpan] = []
        # The start and the `sem` attribute of each open term.
        self._terms: list[tuple[int, str]] = []

    def take(self, event: XmlEvent) -> Sentence | None:
        """Process the next event.

        event (XmlEvent): The event.
        RETURNS (Sentence | None): A sentence to read that ends with this event.
        RAISES (ValueError): The event is not allowed here.
        """
        if event.kind == "start":
            self._start(event)
        elif event.kind == "text":
            self._take_text(event)
        else:
            self._inside[event.value] -= 1
            return self._end(event)
        return None

    def _start(self, event: XmlEvent) -> None:
        name = event.value
        if name in ("article", "bibliomisc"):
            self._name = ""
        elif name == "sentence":
            if not self._name:
                reason = "the sentence is outside an article with an ID"
                raise self._error(event, reason)
            if self._inside["sentence"]:
                raise self._error(event, "a sentence is inside another sentence")
            self._parts, self._length = [], 0
            self._spans, self._terms = [], []
        elif name == "cons":
            if not self._inside["sentence"]:
                raise self._error(event, "the term is outside a sentence")
            self._terms.append((self._length, event.attributes.get("sem", "")))
        self._inside[name] += 1

    def _take_text(self, event: XmlEvent) -> None:
        if self._inside["sentence"]:
            self._parts.append(event.value)
            self._length += len(event.value)
        elif self._inside["bibliomisc"]:
            self._name += event.value
        elif event.value.strip():
            found = event.value.strip()
            raise self._error(event, f"the text {found!r} is outside a sentence")

    def _end(self, event: XmlEvent) -> Sentence | None:
        if event.value == "bibliomisc":
            self._name = self._name.strip()
            self.copies[self._name] -= 1
            last = self.copies[self._name] == 0
            self._is_read = last and is_chosen(self._name, self.options)
        elif event.value == "cons":
            self._end_term(event)
        elif event.value == "sentence" and self._is_read:
            # Outer spans come before the spans inside them.
            self._spans.sort(key=lambda span: (span.start, -span.end))
            return Sentence("".join(self._parts), self._spans, self._name)
        return None

    def _end_term(self, event: XmlEvent) -> None:
        start, sem = self._terms.pop()
        if start == self._length:
            raise self._error(event, f"the term with sem={sem!r} has no text")
        if sem.startswith("("):
            kinds = map(genia_type, sem.replace("(", " ").replace(")", " ").split())
            self.coordinated += self._is_read and any(kinds)
            return
        kind = genia_type(sem)
        if kind is not None:
            self._spans.append(CharSpan(start, self._length, kind))

    def _error(self, event: XmlEvent, reason: str) -> ValueError:
        return ValueError(
            Errors.G538.format(path=self.path, line=event.line, reason=reason)
        )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if not path.name.endswith(_ARCHIVES):
        with path.open("rb") as file:
            yield file
        return
    try:
        with tarfile.open(path) as archive:
            members = [
                member
                for member in archive
                if member.isfile() and member.name.endswith(".xml")
            ]
            if len(members) != 1:
                names = ", ".join(member.name for member in members) or "none"
                raise ValueError(
                    Errors.G537.format(path=path, reason=f"its XML files: {names}")
                )
            member_file = archive.extractfile(members[0])
            assert member_file is not None
            with member_file:
                yield member_file
    except _DAMAGED as error:
        raise ValueError(Errors.G537.format(path=path, reason=error)) from error
