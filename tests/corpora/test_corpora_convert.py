"""Conversion to Docs: alignment, sentence starts, counts and atomic output."""

import errno
import io
import os
import sys
from pathlib import Path
from threading import Thread

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_genner import corpora
from spacy_genner.corpora.convert import DocMaker, convert_file
from spacy_genner.corpora.docbin import UNALIGNED, unaligned_spans
from spacy_genner.corpora.documents import Annotated, ConvertOptions
from spacy_genner.corpora.forms import get_converter
from spacy_genner.formats import CharSpan

TEXT = "Mara saw (IL-2)-induced growth. Then nothing."
GOLD = [
    CharSpan(10, 14, "protein"),
    CharSpan(0, 4, "PERSON"),
    CharSpan(9, 23, "x"),
    CharSpan(0, 4, "PERSON"),
]


def test_public_names_are_imported_at_first_use():
    for name in corpora.__all__:
        assert getattr(corpora, name) is not None
    assert corpora.convert_file is convert_file
    assert dir(corpora) == sorted(corpora.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        corpora.nothing  # noqa: B018


def docs_of(path: Path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


@pytest.fixture
def corpus(tmp_path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(
        "[Mara | PERSON] met [NF-kappa B | protein].\nSecond one.\n\nThird.\n",
        encoding="utf-8",
    )
    return path


def test_unaligned_spans_are_kept_and_counted():
    maker = DocMaker()
    [doc] = maker([Annotated(TEXT, GOLD, "d1", [0, 32])])
    assert [(s.text, s.label_) for s in doc.spans["sc"]] == [
        ("Mara", "PERSON"),
        ("(IL-2)-induced", "x"),
    ]
    assert doc.user_data[UNALIGNED] == [[10, 14, "protein"]]
    assert [sentence.start_char for sentence in doc.sents] == [0, 32]
    counts = maker.counts
    assert (counts.spans, counts.unaligned, counts.duplicates) == (3, 1, 1)
    assert counts.labels == {"PERSON": 1, "protein": 1, "x": 1}
    assert "'IL-2' (protein)" in counts.examples[0]
    assert "d1" in counts.examples[0]


def test_the_fine_tokenizer_aligns_them():
    maker = DocMaker(tokenizer="fine")
    [doc] = maker([Annotated(TEXT, GOLD, "d1", None)])
    assert maker.counts.unaligned == 0
    # Spans are sorted by start, and the longer span comes first.
    assert [s.text for s in doc.spans["sc"]] == ["Mara", "(IL-2)-induced", "IL-2"]
    assert not doc.has_annotation("SENT_START")


@pytest.mark.parametrize(
    "text, starts, found, inside",
    [
        ("a.b.c d e", [0, 2, 4], [0, 6], 2),
        ("a.b.c d e", [0, 2, 8], [0, 6, 8], 1),
        ("a.b.c d e", [0, 2, 6, 8], [0, 6, 8], 1),
        ("a b.c", [0, 4], [0], 1),
        # White space between tokens is not inside a token.
        ("a b  c", [0, 1, 3], [0, 2, 4], 0),
        ("  a b", [0, 4], [0, 4], 0),
        ("a b ", [0, 3], [0], 0),
    ],
)
def test_a_sentence_start_inside_a_token_moves_no_other(text, starts, found, inside):
    maker = DocMaker()
    [doc] = maker([Annotated(text, [], "d1", starts)])
    assert [sentence.start_char for sentence in doc.sents] == found
    diagnostics = {"sentence_start_inside_token": inside} if inside else {}
    assert maker.counts.diagnostics == diagnostics
    for listed in maker.counts.listed.values():
        assert listed[0].endswith(", document d1")


def test_a_spacy_file_keeps_everything(tmp_path, corpus):
    output = tmp_path / "made" / "corpus.spacy"
    counts = convert_file(corpus, output, "bracketed")
    first, second = docs_of(output)
    assert first.text == "Mara met NF-kappa B.\nSecond one."
    assert [sentence.text.strip() for sentence in first.sents] == [
        "Mara met NF-kappa B.",
        "Second one.",
    ]
    assert unaligned_spans(first) == [CharSpan(9, 19, "protein")]
    assert [s.text for s in first.spans["sc"]] == ["Mara"]
    assert list(second.spans["sc"]) == [] and unaligned_spans(second) == []
    assert (counts.documents, counts.sentences, counts.spans) == (2, 3, 2)
    assert [path.name for path in output.parent.iterdir()] == ["corpus.spacy"]


def test_a_spacy_file_is_tokenized_again(tmp_path, corpus):
    coarse, fine = tmp_path / "coarse.spacy", tmp_path / "fine.spacy"
    assert convert_file(corpus, coarse, "bracketed").unaligned == 1
    assert convert_file(coarse, fine, "docbin", tokenizer="fine").unaligned == 0
    first, _ = docs_of(fine)
    assert [s.text for s in first.spans["sc"]] == ["Mara", "NF-kappa B"]
    assert len(list(first.sents)) == 2


def test_entities_are_read_without_the_group(tmp_path):
    nlp = spacy.blank("en")
    doc = nlp("Mara met Ann.")
    doc.set_ents([doc.char_span(0, 4, "PERSON")])
    path = tmp_path / "ents.spacy"
    DocBin(docs=[doc]).to_disk(path)
    [found] = get_converter("docbin")(path, ConvertOptions())
    assert found.spans == [CharSpan(0, 4, "PERSON")]


def test_a_full_disk_leaves_the_old_file(tmp_path, corpus, monkeypatch):
    output = tmp_path / "out" / "corpus.spacy"
    convert_file(corpus, output, "bracketed")
    before = output.read_bytes()

    def full(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError):
        convert_file(corpus, output, "bracketed", tokenizer="fine")
    assert output.read_bytes() == before
    assert [path.name for path in output.parent.iterdir()] == ["corpus.spacy"]


@pytest.mark.parametrize(
    "name, code",
    [("nothing", "G501"), ("docbin", "G515")],
)
def test_a_wrong_corpus_format_is_an_error(tmp_path, corpus, name, code):
    with pytest.raises(ValueError, match=code):
        convert_file(corpus, tmp_path / "x.spacy", name)
    assert not (tmp_path / "x.spacy").exists()


def test_invalid_settings_are_errors(tmp_path, corpus):
    with pytest.raises(ValueError, match="G502"):
        DocMaker(tokenizer="coarse")
    with pytest.raises(ValueError, match="G503"):
        DocMaker(lang="qqq")
    corpus.write_text("\n\n")
    with pytest.raises(ValueError, match="G504"):
        convert_file(corpus, tmp_path / "x.spacy", "bracketed")


PIPED = {
    "conll": "Oslo\tB-GPE\n.\tO\n" * 3,
    "conll-nested": "Oslo\tB-GPE\tO\n",
    "jsonl": '{"text": "Oslo.", "spans": [[0, 4, "GPE"]]}\n',
    "alpaca": '[{"instruction": "x", "input": "Oslo.", "output": "[Oslo | GPE]."}]',
    "bracketed": "[Oslo | GPE].\n",
    "pubtator": "1|t|Oslo.\n1|a|\n1\t0\t4\tOslo\tGPE\n",
    "genia-xml": (
        "<set><article><bibliomisc>M:1</bibliomisc><sentence>"
        '<cons sem="G#DNA_x">Oslo</cons>.</sentence></article></set>'
    ),
}


@pytest.mark.parametrize("name", PIPED)
@pytest.mark.parametrize("is_standard", [True, False])
def test_a_pipe_is_read_as_a_file(tmp_path, monkeypatch, name, is_standard):
    content = PIPED[name].encode()
    if is_standard:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        source = Path("-")
    else:
        source = tmp_path / "pipe"
        os.mkfifo(source)
        Thread(target=source.write_bytes, args=[content], daemon=True).start()
    (tmp_path / "file").write_bytes(content)
    results = []
    for place in (source, tmp_path / "file"):
        counts = convert_file(place, tmp_path / "o.jsonl", name, to="jsonl")
        assert counts.spans > 0
        results.append((tmp_path / "o.jsonl").read_bytes())
    assert results[0] == results[1]


def test_messages_name_the_pipe(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Oslo X\n")))
    with pytest.raises(ValueError, match=r"\[G514\] standard input, line 1"):
        convert_file(Path("-"), tmp_path / "o.spacy", "conll")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(ValueError, match=r"\[G504\] standard input contains no"):
        convert_file(Path("-"), tmp_path / "o.spacy", "conll")
    assert not (tmp_path / "o.spacy").exists()
