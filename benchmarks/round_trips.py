"""Whether each format says what it is given and is read back, on whole corpora.

Every sentence is rendered with its spans, but for those that the format can't say, and
parsed again; the spans have to be the same. Inline formats leave crossing spans out.
Prints a Markdown table, and ends with 1 where a round trip fails.

    python benchmarks/round_trips.py genia/train.jsonl:jsonl \
        litbank/tsv/emma.tsv:conll-nested
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.formats import FORMATS, CharSpan, drop_crossing, get_format

Sentence = tuple[str, list[CharSpan]]


@dataclass
class Trips:
    """What came of a format's round trips."""

    sentences: int = 0
    spans: int = 0
    crossing: int = 0
    unsayable: int = 0
    said_to_be_open: int = 0
    failed: int = 0

    def add(self, name: str, text: str, spans: list[CharSpan]) -> None:
        fmt = get_format(name)
        labels = sorted({span.label for span in spans})
        kept, dropped = list(dict.fromkeys(spans)), []
        self.sentences += 1
        self.spans += len(kept)
        if not fmt.allows_crossing:
            kept, dropped = drop_crossing(kept)
        lost = fmt.unsayable(text, kept)
        kept = [span for span in kept if span not in lost]
        output = fmt.render(text, kept, labels)
        parsed = fmt.parse(output, text, labels)
        self.crossing += len(dropped)
        self.unsayable += len(lost)
        codes = {issue.code for issue in parsed.issues}
        self.said_to_be_open += codes == {"ambiguous_place"}
        fine = codes <= ({"ambiguous_place"} if name == "grouped_json" else set())
        self.failed += not fine or set(parsed.spans) != set(kept)


def sentences(path: Path, form: str) -> Iterator[Sentence]:
    for annotated in get_converter(form)(path, ConvertOptions()):
        yield annotated.text, annotated.spans


def round_trips(stream: Iterable[Sentence]) -> dict[str, Trips]:
    trips = {name: Trips() for name in FORMATS}
    for text, spans in stream:
        for name, trip in trips.items():
            trip.add(name, text, spans)
    return trips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", nargs="+", metavar="FILE:FORM")
    args = parser.parse_args()

    def every() -> Iterator[Sentence]:
        for corpus in args.corpora:
            path, _, form = corpus.rpartition(":")
            yield from sentences(Path(path), form)

    heads = ("format", "sentences", "spans", "crossing", "unsayable", "open", "failed")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    trips = round_trips(every())
    for name, trip in trips.items():
        values = (
            trip.sentences,
            trip.spans,
            trip.crossing,
            trip.unsayable,
            trip.said_to_be_open,
            trip.failed,
        )
        print(f"| `{name}` | " + " | ".join(f"{value:,}" for value in values) + " |")
    sys.exit(any(trip.failed for trip in trips.values()))


if __name__ == "__main__":
    main()
