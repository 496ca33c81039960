"""Check on whole corpora that each format parses what it renders.

The spans of every sentence are rendered and parsed again, and the result must be the
same. Spans that a format cannot represent are left out and counted; the inline formats
also leave out crossing spans. Prints a Markdown table. The exit code is 1 if a round
trip fails.

    python benchmarks/round_trips.py genia/train.jsonl:jsonl \\
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
class Counts:
    """The results of a format.

    sentences (int): Sentences.
    spans (int): Spans, without duplicates.
    crossing (int): Spans left out because they cross another one.
    not_representable (int): Spans left out because the format cannot represent them.
    ambiguous (int): Sentences in which a string has several possible places.
    failed (int): Sentences whose round trip failed.
    """

    sentences: int = 0
    spans: int = 0
    crossing: int = 0
    not_representable: int = 0
    ambiguous: int = 0
    failed: int = 0

    def add(self, name: str, text: str, spans: list[CharSpan]) -> None:
        """Make the round trip of a sentence and count the result.

        name (str): The format.
        text (str): The sentence.
        spans (list[CharSpan]): Its spans.
        """
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
        self.not_representable += len(lost)
        codes = {issue.code for issue in parsed.issues}
        self.ambiguous += codes == {"ambiguous_place"}
        allowed = {"ambiguous_place"} if name == "grouped_json" else set()
        self.failed += not codes <= allowed or set(parsed.spans) != set(kept)


def sentences(path: Path, corpus_format: str) -> Iterator[Sentence]:
    """YIELDS (tuple[str, list[CharSpan]]): The text and the spans of each sentence."""
    for annotated in get_converter(corpus_format)(path, ConvertOptions()):
        yield annotated.text, annotated.spans


def round_trips(stream: Iterable[Sentence]) -> dict[str, Counts]:
    """Make the round trips of all sentences in all formats.

    stream (Iterable[tuple[str, list[CharSpan]]]): The sentences.
    RETURNS (dict[str, Counts]): The results by format.
    """
    results = {name: Counts() for name in FORMATS}
    for text, spans in stream:
        for name, counts in results.items():
            counts.add(name, text, spans)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "corpora",
        nargs="+",
        metavar="FILE:FORM",
        help="files, each with its corpus format as in `genner convert --from`",
    )
    args = parser.parse_args()

    def all_sentences() -> Iterator[Sentence]:
        for corpus in args.corpora:
            path, _, corpus_format = corpus.rpartition(":")
            yield from sentences(Path(path), corpus_format)

    titles = (
        "format",
        "sentences",
        "spans",
        "crossing",
        "not representable",
        "ambiguous",
        "failed",
    )
    print("| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|")
    results = round_trips(all_sentences())
    for name, counts in results.items():
        values = (
            counts.sentences,
            counts.spans,
            counts.crossing,
            counts.not_representable,
            counts.ambiguous,
            counts.failed,
        )
        print(f"| `{name}` | " + " | ".join(f"{value:,}" for value in values) + " |")
    sys.exit(any(counts.failed for counts in results.values()))


if __name__ == "__main__":
    main()
