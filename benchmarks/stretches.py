"""Cut long documents of a `.spacy` file into stretches of so many words.

Whole novels take minutes to run where a benchmark needs seconds. A stretch ends before
a span that would cross its end. Spans that no token boundary fits are left out. Prints
how much was written.

    python benchmarks/stretches.py corpus/litbank-train.spacy \
        corpus/litbank-train-200.spacy --words 200
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_genner.corpora.docbin import aligned_spans, load_docs


def stretch(doc: Doc, start: int, end: int, key: str) -> Doc:
    """The tokens from `start` to `end` as a Doc of its own, with their spans."""
    piece = doc[start:end].as_doc()
    piece.user_data["doc_id"] = f"{doc.user_data.get('doc_id', '')}:{start}"
    piece.spans[key] = [
        Span(piece, span.start - start, span.end - start, label=span.label)
        for span in aligned_spans(doc, key)
        if start <= span.start and span.end <= end
    ]
    return piece


def stretches(doc: Doc, words: int, key: str) -> Iterator[Doc]:
    """All stretches of a document, the last of which may be shorter."""
    start = 0
    while start < len(doc):
        end = min(start + words, len(doc))
        spans = aligned_spans(doc, key)
        while crossing := [s.start for s in spans if s.start < end < s.end]:
            end = min(crossing)
        # A span longer than a stretch is a stretch.
        if end <= start:
            end = max(span.end for span in spans if span.start <= start < span.end)
        yield stretch(doc, start, end, key)
        start = end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--first", action="store_true", help="only each one's first")
    parser.add_argument("--spans-key", default="sc")
    args = parser.parse_args()
    pieces: list[Doc] = []
    for doc in load_docs(args.data, Vocab()):
        found = list(stretches(doc, args.words, args.spans_key))
        pieces += found[:1] if args.first else found
    DocBin(docs=pieces, store_user_data=True).to_disk(args.output)
    spans = sum(len(piece.spans[args.spans_key]) for piece in pieces)
    print(f"{len(pieces)} stretches, {sum(map(len, pieces))} words, {spans} spans")


if __name__ == "__main__":
    main()
