"""Measure how the time to parse a damaged answer or a long document grows.

Each kind of answer is parsed at n, 2n, 4n and 8n, and documents of twenty times as many
words are read, created, written, scored and reported. One row of JSON a kind holds the
seconds of CPU time and the growth from each size to the next: 2 is linear, 4 quadratic.
The exit status is 1 if the time grows by more than `--limit` per doubling, on average
over the three doublings. Objects of imported packages are kept from the garbage
collector, because a pass over all of them adds a constant time from some size on.

    python benchmarks/repair_growth.py --size 1000
"""

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from spacy_genner.corpora.convert import TOKENIZERS, DocMaker
from spacy_genner.corpora.documents import (
    Annotated,
    ConversionCounts,
    ConvertOptions,
    WriteOptions,
)
from spacy_genner.corpora.forms import WRITERS, get_converter, get_writer
from spacy_genner.evaluation.evaluate import evaluate
from spacy_genner.evaluation.records import Annotation, write_evaluation
from spacy_genner.evaluation.report import write_report
from spacy_genner.formats import CharSpan, get_format
from spacy_genner.llm.alignment import copied_share
from spacy_genner.pipeline.results import Prediction, TokenSpan, resolve_crossing

# Makes the work of one measurement, given a size.
Case = Callable[[int], Callable[[], object]]
LABELS = ["A", "B"]
# Long documents have this many words for each unit of the size, about 120 characters:
# the constant time of a report would hide the growth of shorter ones.
WORDS = 20


def parse(name: str, output: str, text: str) -> Callable[[], object]:
    """The work of parsing an output.

    name (str): The name of the format.
    output (str): The output.
    text (str): The source text.
    RETURNS (Callable[[], object]): Parses the output.
    """
    return lambda: get_format(name).parse(output, text, LABELS)


def repeated_word(size: int) -> Callable[[], object]:
    return parse("inline_bracketed", "x " + "a " * size, "a " * size + "y")


def random_words(size: int) -> Callable[[], object]:
    choose = random.Random(0)
    output, text = (" ".join(choose.choices("abc", k=size)) for _ in range(2))
    return parse("inline_bracketed", output, text)


def every_other_word(size: int) -> Callable[[], object]:
    output, text = (" ".join(f"w{i} {x}{i}" for i in range(size)) for x in "xy")
    return parse("inline_bracketed", output, text)


def missing_word(size: int) -> Callable[[], object]:
    output = " ".join(["[Ann | A] met [Bob | B]"] * size).replace("met ", "", 1)
    return parse("inline_bracketed", output, "Ann met Bob " * size)


def other_comma(size: int) -> Callable[[], object]:
    output = "我在[北京 | A],他在[上海 | B]。" * size
    return parse("inline_bracketed", output, "我在北京、他在上海。" * size)


def unbalanced_tags(size: int) -> Callable[[], object]:
    output = "<A>a " * size + "b</B> " * size
    return parse("inline_xml", output, "a " * size + "b " * size)


def nested_spans(size: int) -> Callable[[], object]:
    text = " ".join(["w"] * size)
    spans = [CharSpan(2 * start, len(text), "A") for start in range(size)]
    output = get_format("inline_bracketed").render(text, spans)
    return parse("inline_bracketed", output, text)


def nested_spans_damaged(size: int) -> Callable[[], object]:
    output = "".join(f"[w{i} " for i in range(size)) + "x" + " | A]" * size
    return parse("inline_bracketed", output, " ".join(f"w{i}" for i in range(size)))


def json_quote(name: str) -> Case:
    def make(size: int) -> Callable[[], object]:
        quote = "ab " * size + "End"
        value: object = [{"text": quote, "label": "A", "start": 1, "end": 2}]
        if name == "grouped_json":
            value = {"A": [quote]}
        return parse(name, json.dumps(value), "ab " * size + "end")

    return make


def json_overlapping(name: str) -> Case:
    def make(size: int) -> Callable[[], object]:
        quote = "a" * (size // 2)
        value: object = [{"text": quote, "label": "A", "start": 1, "end": 2}]
        if name == "grouped_json":
            value = {"A": [quote]}
        return parse(name, json.dumps(value), "a" * size)

    return make


def json_entries(name: str, distinct: bool) -> Case:
    def make(size: int) -> Callable[[], object]:
        words = [f"w{index}" if distinct else "w" for index in range(size)]
        text, spans, start = " ".join(words), [], 0
        for word in words:
            spans.append(CharSpan(start, start + len(word), "A"))
            start += len(word) + 1
        return parse(name, get_format(name).render(text, spans, LABELS), text)

    return make


def json_labels(name: str) -> Case:
    def make(size: int) -> Callable[[], object]:
        labels = [f"L{index}" for index in range(size)]
        text, fmt = "w " * size, get_format(name)
        output = fmt.render(text, [CharSpan(0, 1, label) for label in labels], labels)
        return lambda: fmt.parse(output, text, labels)

    return make


def json_long_entries(name: str) -> Case:
    """Many different strings of more characters than positions are sorted by."""

    def make(size: int) -> Callable[[], object]:
        choose = random.Random(0)
        text = "".join(choose.choices("abcdefgh ", k=20 * size))
        entries = [text[at : at + 60].strip() for at in range(0, len(text) - 60, 20)]
        value: object = [
            {"text": entry, "label": "A", "start": 1, "end": 2} for entry in entries
        ]
        if name == "grouped_json":
            value = {"A": entries}
        return parse(name, json.dumps(value), text)

    return make


def words_with_spans(size: int) -> Annotated:
    """RETURNS (Annotated): A sentence of WORDS * size made-up words with spans."""
    choose = random.Random(0)
    words, spans, at = [], [], 0
    for _ in range(WORDS * size):
        word = "".join(choose.choices("abcdefgh-2", k=choose.randint(2, 9)))
        if choose.random() < 0.2:
            spans.append(CharSpan(at, at + len(word), "A"))
        words.append(word)
        at += len(word) + 1
    return Annotated(" ".join(words), spans, "1", [0])


def genia_sentence(size: int) -> Callable[[], object]:
    """One sentence in GENIA's XML."""
    text, spans, _, _, _ = words_with_spans(size)
    parts, last = [], 0
    for start, end, _ in spans:
        parts += [text[last:start], '<cons sem="G#DNA_x">', text[start:end], "</cons>"]
        last = end
    content = "".join([*parts, text[last:]])
    file = tempfile.NamedTemporaryFile(suffix=".xml")
    file.write(
        "<set><article><bibliomisc>M:1</bibliomisc><sentence>"
        f"{content}</sentence></article></set>".encode()
    )
    file.flush()

    def read() -> object:
        with file:
            return list(get_converter("genia-xml")(Path(file.name), ConvertOptions()))

    return read


@cache
def doc_maker(tokenizer: str) -> DocMaker:
    return DocMaker(tokenizer=tokenizer)


def document(tokenizer: str) -> Case:
    """The Doc of a long text, with its spans."""

    def make(size: int) -> Callable[[], object]:
        annotated, maker = words_with_spans(size), doc_maker(tokenizer)
        return lambda: list(maker([annotated]))

    return make


def written(form: str) -> Case:
    """A long document in a corpus format."""

    def make(size: int) -> Callable[[], object]:
        docs = list(doc_maker("fine")([words_with_spans(size)]))
        folder = tempfile.TemporaryDirectory()

        def write() -> object:
            with folder:
                path = Path(folder.name) / "out"
                return get_writer(form)(docs, path, WriteOptions(), ConversionCounts())

        return write

    return make


def predicted_rows(size: int) -> list[Annotation]:
    """A long document with predictions."""
    text, gold, _, starts, _ = words_with_spans(size)
    predicted = gold[1:]
    own = [0.5] * len(predicted)
    return [Annotation(text, gold, predicted, own, "ok", sentences=starts)]


def scores(size: int) -> Callable[[], object]:
    """The evaluation of a long document."""
    rows = predicted_rows(size)
    return lambda: evaluate(rows)


def report(size: int) -> Callable[[], object]:
    """The HTML report on a long document."""
    rows = predicted_rows(size)
    folder = tempfile.TemporaryDirectory()
    write_evaluation(evaluate(rows), rows, Path(folder.name) / "long.json")

    def write() -> object:
        with folder:
            return write_report(Path(folder.name), Path(folder.name) / "report.html")

    return write


def crossing_spans(size: int) -> Callable[[], object]:
    choose = random.Random(0)
    spans = []
    for start in range(size):
        end = start + choose.randint(1, 50)
        spans.append(TokenSpan(start, end, "A", choose.random()))
    return lambda: resolve_crossing(Prediction(list(spans)))


def share(size: int) -> Callable[[], object]:
    return lambda: copied_share("a b " * size, "b a " * size + "c")


CASES: dict[str, Case] = {
    case.__name__: case
    for case in (
        repeated_word,
        random_words,
        every_other_word,
        missing_word,
        other_comma,
        unbalanced_tags,
        nested_spans,
        nested_spans_damaged,
        crossing_spans,
        share,
        genia_sentence,
        scores,
        report,
    )
}
for _name in ("grouped_json", "occurrence_json", "offset_json"):
    CASES |= {
        f"{_name}: quote": json_quote(_name),
        f"{_name}: overlapping": json_overlapping(_name),
        f"{_name}: entries": json_entries(_name, True),
        f"{_name}: equal entries": json_entries(_name, False),
        f"{_name}: labels": json_labels(_name),
        f"{_name}: long entries": json_long_entries(_name),
    }
CASES |= {f"document: {name}": document(name) for name in TOKENIZERS}
CASES |= {
    f"written: {name}": written(name) for name in sorted(set(WRITERS) - {"spacy"})
}


@cache
def _freeze_imports() -> None:
    gc.collect()
    gc.freeze()


def seconds(case: Case, size: int, repeats: int) -> float:
    """Measure the shortest CPU time of a case.

    case (Case): The case.
    size (int): Its size.
    repeats (int): The number of runs.
    RETURNS (float): The time in seconds.
    """
    best = float("inf")
    _freeze_imports()
    for _ in range(repeats):
        work = case(size)
        gc.collect()
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1000, help="n")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each size")
    parser.add_argument("--limit", type=float, default=3.4, help="growth per doubling")
    parser.add_argument("--cases", nargs="*", help="names, by default all")
    args = parser.parse_args()
    exceeded = False
    for name, case in CASES.items():
        if args.cases and name not in args.cases:
            continue
        times = [seconds(case, args.size * 2**k, args.repeats) for k in range(4)]
        growth = [b / max(a, 1e-9) for a, b in zip(times, times[1:], strict=False)]
        mean = (times[-1] / max(times[0], 1e-9)) ** (1 / 3)
        row = {
            "case": name,
            "n": args.size,
            "seconds": [round(t, 4) for t in times],
            "growth": [round(g, 2) for g in growth],
            "mean_growth": round(mean, 2),
        }
        print(json.dumps(row), flush=True)
        exceeded |= mean > args.limit
    sys.exit(int(exceeded))


if __name__ == "__main__":
    main()
