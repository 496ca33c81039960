"""The GENIA corpus 3.02 in its own XML, as nested NER uses it.

Five types are read: an element's `sem`, such as `G#DNA_domain_or_region`, counts as
the one that it begins with; all others (`other_name`, `virus`, ...) are none. An
element with a single type is a span, nested or not, to the character.

A coordination, `(AND G#cell_type G#cell_type)`, says several terms that share words
(`B and T cells`), and gives no span; its parts, such as `B`, have no type. Whatever
has a type of its own inside it is read. An article that is there more than once, as
MEDLINE:97218353 is, is read from its last copy. With these rules, and the documents
in their order (1,601 train, 199 dev, 199 test), the spans are those of the split that
most papers on nested NER use since 2022.
"""

import gzip
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


def read_genia(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read GENIA 3.02.

    path (Path): The XML file, or the archive that it comes in.
    options (ConvertOptions): Sentences of one article are joined only where it says
        so.
    YIELDS (Annotated): The documents, with their MEDLINE ids.
    RAISES (ValueError): The file is damaged, or no GENIA.
    """
    yield from group_sentences(_sentences(path, options), bool(options.join_sentences))


def genia_type(sem: str) -> str | None:
    """The type of an element with a single type.

    sem (str): The attribute, such as `G#protein_molecule`.
    RETURNS (Optional[str]): One of `GENIA_TYPES`, or None.
    """
    name = sem.rpartition("#")[2]
    for kind in GENIA_TYPES:
        if name == kind or name.startswith(f"{kind}_"):
            return kind
    return None


def _sentences(path: Path, options: ConvertOptions) -> Iterator[Sentence]:
    with _opened(path) as file:
        copies = Counter(_article_ids(file, path))
    several = [
        name for name, count in copies.items() if count > 1 and is_chosen(name, options)
    ]
    if several:
        warn(Warnings.W512.format(path=path, count=len(several), first=several[0]))
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
    """Makes sentences of XML events.

    path (Path): The file, for messages.
    options (ConvertOptions): Says which documents are read.
    copies (Counter[str]): How often each article is there; counted down.
    """

    def __init__(self, path: Path, options: ConvertOptions, copies: Counter[str]):
        self.path = path
        self.options = options
        self.copies = copies
        # Coordinations of the five types, which give no span.
        self.coordinated = 0
        self._inside: list[str] = []
        self._name = ""
        self._is_read = False
        self._text = ""
        self._spans: list[CharSpan] = []
        # For each open term, where it starts, and what it is.
        self._terms: list[tuple[int, str]] = []

    def take(self, event: XmlEvent) -> Sentence | None:
        """Take the next event.

        event (XmlEvent): The event.
        RETURNS (Optional[Sentence]): A sentence that ends with it and is to be read.
        RAISES (ValueError): It can't stand here.
        """
        if event.kind == "start":
            self._start(event)
        elif event.kind == "text":
            self._take_text(event)
        else:
            self._inside.pop()
            return self._end(event)
        return None

    def _start(self, event: XmlEvent) -> None:
        name = event.value
        if name in ("article", "bibliomisc"):
            self._name = ""
        elif name == "sentence":
            if not self._name:
                raise self._error(event, "the sentence is in no article with an id")
            if "sentence" in self._inside:
                raise self._error(event, "a sentence is inside another")
            self._text, self._spans, self._terms = "", [], []
        elif name == "cons":
            if "sentence" not in self._inside:
                raise self._error(event, "the term is in no sentence")
            self._terms.append((len(self._text), event.attributes.get("sem", "")))
        self._inside.append(name)

    def _take_text(self, event: XmlEvent) -> None:
        if "sentence" in self._inside:
            self._text += event.value
        elif "bibliomisc" in self._inside:
            self._name += event.value
        elif event.value.strip():
            found = event.value.strip()
            raise self._error(event, f"the text {found!r} is in no sentence")

    def _end(self, event: XmlEvent) -> Sentence | None:
        if event.value == "bibliomisc":
            self._name = self._name.strip()
            self.copies[self._name] -= 1
            last = self.copies[self._name] == 0
            self._is_read = last and is_chosen(self._name, self.options)
        elif event.value == "cons":
            self._end_term(event)
        elif event.value == "sentence" and self._is_read:
            # By start, then the longer first: as they are nested.
            self._spans.sort(key=lambda span: (span.start, -span.end))
            return Sentence(self._text, self._spans, self._name)
        return None

    def _end_term(self, event: XmlEvent) -> None:
        start, sem = self._terms.pop()
        if start == len(self._text):
            raise self._error(event, f"the term with sem={sem!r} has no text")
        if sem.startswith("("):
            kinds = map(genia_type, sem.replace("(", " ").replace(")", " ").split())
            self.coordinated += self._is_read and any(kinds)
            return
        kind = genia_type(sem)
        if kind is not None:
            self._spans.append(CharSpan(start, len(self._text), kind))

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
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(Errors.G537.format(path=path, reason=error)) from error
