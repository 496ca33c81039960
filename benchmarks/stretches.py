"""Split long documents of a `.spacy` file into documents of a given number of words.

A benchmark needs documents that run in seconds, and a whole novel takes minutes. No
span is split: a document ends at the last position within the limit that no span
crosses, or at the first one after it. Spans that fit no token boundaries are left out
and counted.

    python benchmarks/stretches.py corpus/litbank-train.spacy \\
        corpus/litbank-train-200.spacy --words 200
"""

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_genner.corpora.docbin import aligned_spans, load_docs, unaligned_spans


def split(doc: Doc, words: int, key: str) -> Iterator[Doc]:
    """Split a document between its spans.

    doc (Doc): The document.
    words (int): The most words of a part, unless a span crosses the limit.
    key (str): The span group.
    YIELDS (Doc): The parts. The last one may be shorter.
    """
    spans = aligned_spans(doc, key)
    crossed = {place for span in spans for place in range(span.start + 1, span.end)}
    start = 0
    while start < len(doc):
        end = min(start + words, len(doc))
        places = chain(range(end, start, -1), range(end + 1, len(doc) + 1))
        end = next(place for place in places if place not in crossed)
        yield copy_part(doc, start, end, key, spans)
        start = end


def copy_part(doc: Doc, start: int, end: int, key: str, spans: list[Span]) -> Doc:
    """Copy a part of a document with its spans.

    doc (Doc): The document.
    start (int): The first token.
    end (int): The token after the last.
    key (str): The span group.
    spans (list[Span]): The spans of the document.
    RETURNS (Doc): The part as a new Doc.
    """
    part = doc[start:end].as_doc()
    part.user_data["doc_id"] = f"{doc.user_data.get('doc_id', '')}:{start}"
    part.spans[key] = [
        Span(part, span.start - start, span.end - start, label=span.label)
        for span in spans
        if start <= span.start and span.end <= end
    ]
    return part


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", type=Path, help="annotated documents (.spacy)")
    add("output", type=Path, help="file to write (.spacy)")
    add("--words", type=int, default=200, help="words of a part")
    add("--first", action="store_true", help="keep the first part of each document")
    add("--spans-key", default="sc", help="span group")
    args = parser.parse_args()
    if args.words < 1:
        parser.error("--words: at least 1")
    parts: list[Doc] = []
    unaligned = 0
    for doc in load_docs(args.data, Vocab()):
        unaligned += len(unaligned_spans(doc))
        found = list(split(doc, args.words, args.spans_key))
        parts += found[:1] if args.first else found
    DocBin(docs=parts, store_user_data=True).to_disk(args.output)
    spans = sum(len(part.spans[args.spans_key]) for part in parts)
    counts = f"{len(parts)} documents, {sum(map(len, parts))} words, {spans} spans"
    print(f"{counts}; {unaligned} unaligned spans left out")


if __name__ == "__main__":
    main()
