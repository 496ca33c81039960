"""The BRAT reader: offsets, discontinuous spans, triggers and missing files."""

from pathlib import Path

import pytest

from spacy_genner.corpora.convert import convert_file
from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter

TEXT = "🧬 Mara met\nUlf Berg and Eva in Oslo.\n"
NOTES = "T1\tPER 2 6\tMara\nT2\tPER 11 19\tUlf Berg\nT3\tGPE 31 35\tOslo\n"


def write(folder: Path, name: str, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in files.items():
        (folder / f"{name}.{ending}").write_bytes(content.encode("utf-8"))
    return folder


def read(path: Path, **options):
    return list(get_converter("brat")(path, ConvertOptions(**options)))


def texts(doc):
    return [(doc.text[s.start : s.end], s.label) for s in doc.spans]


GOLD = [("Mara", "PER"), ("Ulf Berg", "PER"), ("Oslo", "GPE")]


def test_a_folder_is_read_in_sorted_order(tmp_path):
    write(tmp_path, "b", txt=TEXT, ann=NOTES)
    write(tmp_path, "a", txt="Nothing.", ann="")
    write(tmp_path / "more", "a.b", txt=TEXT, a1=NOTES)
    docs = read(tmp_path)
    assert [doc.doc_id for doc in docs] == ["a", "b", "more/a.b"]
    assert (docs[1].text, docs[1].sentence_starts) == (TEXT, None)
    assert [texts(doc) for doc in docs] == [[], GOLD, GOLD]
    chosen = read(tmp_path, documents=frozenset({"b"}))
    assert [doc.doc_id for doc in chosen] == ["b"]


@pytest.mark.parametrize("ending", ["txt", "ann"])
def test_a_single_document_is_read(tmp_path, ending):
    write(tmp_path, "a", txt=TEXT, ann=NOTES)
    [doc] = read(tmp_path / f"a.{ending}")
    assert (doc.doc_id, texts(doc)) == ("a", GOLD)


def test_other_annotations_are_skipped(tmp_path):
    more = (
        "R1\tLives Arg1:T1 Arg2:T3\nA1\tOld T1\nM1\tSure T1\n#1\tAnnotatorNotes T1\tx\n"
        "N1\tReference T3 Wiki:1\tOslo\n*\tEquiv T1 T2\n\n"
    )
    [doc] = read(write(tmp_path, "a", txt=TEXT, ann=NOTES + more))
    assert texts(doc) == GOLD


def test_triggers_are_read_on_request(tmp_path):
    trigger = "T4\tMeet 7 10\tmet\n"
    event = "E1\tMeet:T4 Who:T1 Whom:T2\n"
    one = write(tmp_path / "one", "a", txt=TEXT, ann=NOTES + event + trigger)
    two = write(tmp_path / "two", "a", txt=TEXT, a1=NOTES, a2=trigger + event)
    for folder in (one, two):
        with pytest.warns(UserWarning, match=r"\[W516\].*: 1 spans.*--triggers"):
            [doc] = read(folder)
        assert texts(doc) == GOLD
        [doc] = read(folder, triggers=True)
        assert texts(doc) == [*GOLD, ("met", "Meet")]


SPLIT = "T1\tPER 11 14;24 27\tUlf Eva\n"


def test_a_discontinuous_span_is_refused(tmp_path):
    folder = write(tmp_path, "a", txt=TEXT, ann=f"\n{SPLIT}")
    message = r"\[G545\].*a.ann, line 2: .*Ulf Eva.*--discontinuous join.*split"
    with pytest.raises(ValueError, match=message):
        read(folder)


@pytest.mark.parametrize(
    "way, spans",
    [
        ("join", [("Ulf Berg and Eva", "PER")]),
        ("split", [("Ulf", "PER"), ("Eva", "PER")]),
    ],
)
def test_a_discontinuous_span_is_joined_or_split(tmp_path, way, spans):
    folder = write(tmp_path, "a", txt=TEXT, ann=SPLIT)
    [doc] = read(folder, discontinuous=way)
    assert texts(doc) == spans


def test_a_span_across_a_line_break_is_one_span(tmp_path):
    whole = "T1\tX 7 14\tmet Ulf\n"
    parts = "T2\tX 7 10;11 14\tmet Ulf\n"
    folder = write(tmp_path, "a", txt=TEXT, ann=whole + parts)
    [doc] = read(folder)
    assert texts(doc) == [("met\nUlf", "X")] * 2


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("counts_both", [False, True])
def test_windows_line_ends_and_a_byte_order_mark(tmp_path, bom, counts_both):
    """Offsets may or may not count them."""
    text = bom + TEXT.replace("\n", "\r\n")
    as_counted = text if counts_both else TEXT
    start = as_counted.index("Ulf")
    notes = f"T1\tPER {start} {start + 8}\tUlf Berg\r\n"
    [doc] = read(write(tmp_path, "a", txt=text, ann=bom + notes))
    assert texts(doc) == [("Ulf Berg", "PER")]
    assert doc.text == (text.removeprefix(bom) if counts_both else TEXT)


def test_windows_line_ends_stay_without_offsets(tmp_path):
    [doc] = read(write(tmp_path, "a", txt="One.\r\nTwo.\r\n", ann=""))
    assert doc.text == "One.\r\nTwo.\r\n"


@pytest.mark.parametrize(
    "line, annotated, found",
    [
        ("T2\tPER 3 7\tMara", "'Mara' from 3 to 7", "'ara '"),
        ("T2\tGPE 34 60\tOslo.", "from 34 to 60", "'o.\\\\n'"),
        ("T2\tGPE 6 6\t", "'' from 6 to 6", "''"),
    ],
)
def test_offsets_that_do_not_fit_are_an_error(tmp_path, line, annotated, found):
    folder = write(tmp_path, "a", txt=TEXT, ann=f"T1\tPER 2 6\tMara\n{line}\n")
    place = rf"{found} is at this position in .*a.txt"
    message = rf"\[G542\].*a.ann, line 2: .*{annotated}, but {place}"
    with pytest.raises(ValueError, match=message):
        read(folder)


@pytest.mark.parametrize(
    "line",
    [
        "T1\tPER 2 6",
        "T1 PER 2 6 Mara",
        "T1\tPER 2 6;\tMara",
        "T1\tPER x 6\tMara",
        "cut",
    ],
)
def test_a_malformed_line_is_named(tmp_path, line):
    folder = write(tmp_path, "a", txt=TEXT, ann=f"\n\n{line}\n")
    with pytest.raises(ValueError, match=r"\[G544\].*a.ann, line 3: ") as error:
        read(folder)
    assert repr(line) in str(error.value)


def test_invalid_utf8_names_file_and_line(tmp_path):
    write(tmp_path, "a", ann="")
    (tmp_path / "a.txt").write_bytes("One.\nÅse.\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"\[G510\].*a.txt, line 2: .*UTF-8"):
        read(tmp_path)


def test_texts_without_annotation_are_counted(tmp_path):
    write(tmp_path, "a", txt=TEXT, ann=NOTES)
    write(tmp_path, "README", txt="About it.")
    with pytest.warns(UserWarning, match=r"\[W515\].*: 1 .txt files.*README.txt"):
        assert [doc.doc_id for doc in read(tmp_path)] == ["a"]
    with pytest.raises(ValueError, match=r"\[G546\] There is no .ann.*README.txt"):
        read(tmp_path / "README.txt")


@pytest.mark.parametrize("files", [{"txt": TEXT}, {"ann": NOTES}, {"a1": NOTES}])
def test_a_missing_file_is_an_error(tmp_path, files):
    with pytest.raises(ValueError, match=r"\[G546\] There is no .* beside"):
        read(write(tmp_path, "a", **files))


def test_an_empty_text_is_counted(tmp_path):
    write(tmp_path, "a", txt=TEXT, ann=NOTES)
    write(tmp_path, "b", txt="", ann="")
    counts = convert_file(tmp_path, tmp_path / "c.spacy", "brat")
    assert (counts.documents, counts.empty, counts.spans) == (1, 1, 3)


@pytest.mark.parametrize(
    "part, documents, spans, triggers",
    [("train", 300, 10935, 7469), ("devel", 100, 3634, 2451), ("test", 200, 6955, 0)],
)
@pytest.mark.filterwarnings("ignore:.*W516")
def test_the_cancer_genetics_corpus(data_dir, part, documents, spans, triggers):
    folder = data_dir("bionlp13cg_brat", part)
    docs = read(folder)
    assert len(docs) == documents
    assert sum(len(set(doc.spans)) for doc in docs) == spans
    with_triggers = sum(len(doc.spans) for doc in read(folder, triggers=True))
    assert with_triggers == spans + triggers


def test_the_labels_of_the_cancer_genetics_corpus(data_dir):
    docs = read(data_dir("bionlp13cg_brat", "test"))
    assert len({span.label for doc in docs for span in doc.spans}) == 16


def test_litbank(data_dir):
    docs = read(data_dir("litbank", "entities", "brat"))
    assert len(docs) == 100
    assert sum(len(set(doc.spans)) for doc in docs) == 13912
