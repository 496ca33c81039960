"""Cut long documents of a `.spacy` file into stretches of so many words.

Whole novels take minutes to run where a benchmark needs seconds. No span is cut: a
stretch ends where none crosses, earlier than asked for, or later where that is
nowhere. Spans that no token boundary fits are left out, and counted.

    python benchmarks/stretches.py corpus/litbank-train.spacy \
        corpus/litbank-train-200.spacy --words 200
"""

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_genner.corpora.docbin import aligned_spans, load_docs, unaligned_spans


def stretches(doc: Doc, words: int, key: str) -> Iterator[Doc]:
    """All stretches of a document, the last of which may be shorter."""
    spans = aligned_spans(doc, key)
    crossed = {place for span in spans for place in range(span.start + 1, span.end)}
    start = 0
    while start < len(doc):
        end = min(start + words, len(doc))
        places = chain(range(end, start, -1), range(end + 1, len(doc) + 1))
        end = next(place for place in places if place not in crossed)
        yield stretch(doc, start, end, key, spans)
        start = end


def stretch(doc: Doc, start: int, end: int, key: str, spans: list[Span]) -> Doc:
    """The tokens from `start` to `end` as a Doc of its own, with their spans."""
    piece = doc[start:end].as_doc()
    piece.user_data["doc_id"] = f"{doc.user_data.get('doc_id', '')}:{start}"
    piece.spans[key] = [
        Span(piece, span.start - start, span.end - start, label=span.label)
        for span in spans
        if start <= span.start and span.end <= end
    ]
    return piece


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--first", action="store_true", help="only each one's first")
    parser.add_argument("--spans-key", default="sc")
    args = parser.parse_args()
    if args.words < 1:
        parser.error("--words: at least 1")
    pieces: list[Doc] = []
    unaligned = 0
    for doc in load_docs(args.data, Vocab()):
        unaligned += len(unaligned_spans(doc))
        found = list(stretches(doc, args.words, args.spans_key))
        pieces += found[:1] if args.first else found
    DocBin(docs=pieces, store_user_data=True).to_disk(args.output)
    spans = sum(len(piece.spans[args.spans_key]) for piece in pieces)
    counts = f"{len(pieces)} stretches, {sum(map(len, pieces))} words, {spans} spans"
    print(f"{counts}; {unaligned} spans between tokens left out")


if __name__ == "__main__":
    main()
