"""Writers that keep every span, and the common behavior of all writers."""

import errno
import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from writer_cases import NESTED, OFF_GRID, PLAIN, SPANS, TEXT, make_docs, read, write

from spacy_genner.corpora.convert import convert_file
from spacy_genner.corpora.documents import Annotated, ConvertOptions
from spacy_genner.corpora.forms import CONVERTERS, WRITERS, get_writer
from spacy_genner.formats import CharSpan


def test_every_written_format_can_be_read():
    assert set(WRITERS) - set(CONVERTERS) == {"spacy"}
    with pytest.raises(ValueError, match=r"\[G550\].*'nothing'.*alpaca"):
        get_writer("nothing")


def test_jsonl_has_the_tokens_of_prodigy(tmp_path):
    write(make_docs(NESTED, OFF_GRID), tmp_path / "o.jsonl", "jsonl")
    lines = (tmp_path / "o.jsonl").read_text("utf-8").splitlines()
    first, second = map(json.loads, lines)
    assert first["tokens"][:2] == [
        {"text": "Mara", "start": 0, "end": 4, "id": 0, "ws": True},
        {"text": "Quist", "start": 5, "end": 10, "id": 1, "ws": True},
    ]
    for token in first["tokens"]:
        assert TEXT[token["start"] : token["end"]] == token["text"]
    person = first["spans"][0]
    assert (person["token_start"], person["token_end"]) == (0, 1)
    assert (first["doc_id"], first["sentence_starts"]) == ("letters/1", [0, 40])
    # Prodigy treats a span without token numbers as a character span.
    assert second["spans"] == [{"start": 4, "end": 8, "label": "GPE"}]
    assert "sentence_starts" not in second


def test_jsonl_is_read_back(tmp_path):
    write(make_docs(NESTED, OFF_GRID, PLAIN), tmp_path / "o.jsonl", "jsonl")
    found = read(tmp_path / "o.jsonl", "jsonl")
    assert [(a.text, set(a.spans), a.doc_id, a.sentence_starts) for a in found] == [
        (a.text, set(a.spans), a.doc_id, a.sentence_starts)
        for a in (NESTED, OFF_GRID, PLAIN)
    ]


def test_a_spacy_file_is_read_back(tmp_path):
    write(make_docs(NESTED, OFF_GRID), tmp_path / "o.spacy", "spacy")
    first, second = read(tmp_path / "o.spacy", "docbin")
    assert set(first.spans) == set(SPANS)
    assert second.spans == OFF_GRID.spans
    assert first.sentence_starts == [0, 40]


def test_bracketed_lines(tmp_path):
    docs = make_docs(NESTED, PLAIN, PLAIN._replace(text="More of it."))
    counts = write(docs, tmp_path / "o.txt", "bracketed")
    assert (tmp_path / "o.txt").read_text("utf-8") == (
        "[Mara Quist | PERSON] left the "
        "[University of [[Oslo | GPE] | LOC] | ORG].\n"
        "She now works in [Bergen | GPE].\n"
        "\n"
        "Nothing here.\n"
        "More of it.\n"
    )
    assert counts.left_out == counts.changed == {}
    first, second = read(tmp_path / "o.txt", "bracketed")
    assert (first.text, set(first.spans)) == (TEXT, set(SPANS))
    assert second.text == "Nothing here.\nMore of it."


def test_bracketed_has_line_breaks_between_sentences(tmp_path):
    joined = Annotated("In Oslo.  To Bergen.", [CharSpan(3, 7, "X")], "d", [0, 10])
    counts = write(make_docs(joined), tmp_path / "o.txt", "bracketed")
    assert (tmp_path / "o.txt").read_text("utf-8") == "In [Oslo | X].\nTo Bergen.\n"
    assert counts.changed == {"texts whose white space is not kept": 1}


def test_spans_that_brackets_can_not_represent_are_counted(tmp_path):
    text = "the new\nOslo train and tram"
    spans = [
        CharSpan(4, 12, "LINES"),
        CharSpan(8, 18, "LONG"),
        CharSpan(13, 27, "LONGER"),
        CharSpan(18, 27, "EDGE"),
    ]
    document = Annotated(text, spans, "d", None)
    counts = write(make_docs(document), tmp_path / "o.txt", "bracketed")
    assert counts.left_out == {
        "has white space at its edge": 1,
        "crosses a longer one": 1,
        "goes over the end of a line": 1,
    }
    assert counts.listed["crosses a longer one"] == ["'Oslo train' (LONG), document d"]
    written = (tmp_path / "o.txt").read_text("utf-8")
    assert written == "the new\nOslo [train and tram | LONGER]\n"


def test_a_text_with_brackets_needs_another_format(tmp_path):
    document = Annotated("see [3]", [], "d7", None)
    (tmp_path / "o.txt").write_text("what was there")
    with pytest.raises(ValueError, match=r"\[G553\] Document d7 .*'\['.*'jsonl'"):
        write(make_docs(PLAIN, document), tmp_path / "o.txt", "bracketed")
    assert (tmp_path / "o.txt").read_text() == "what was there"
    assert [path.name for path in tmp_path.iterdir()] == ["o.txt"]


def test_a_text_of_white_space_is_not_written(tmp_path):
    docs = make_docs(PLAIN, Annotated(" \n ", [], "blank", None))
    counts = write(docs, tmp_path / "o.txt", "bracketed")
    assert counts.changed == {"texts of white space alone, not written": 1}
    assert (tmp_path / "o.txt").read_text() == "Nothing here.\n"


@pytest.mark.parametrize("corpus_format", sorted(WRITERS))
def test_a_full_disk_leaves_the_old_files(tmp_path, monkeypatch, corpus_format):
    output = tmp_path / "o"
    write(make_docs(PLAIN), output, corpus_format)

    def files():
        found = (path for path in tmp_path.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in found}

    before = files()

    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError) as error:
        write(make_docs(NESTED), output, corpus_format)
    monkeypatch.undo()
    assert Path(error.value.filename).is_relative_to(output)
    assert files() == before


def test_any_format_can_be_converted_to_any_other(tmp_path):
    source = tmp_path / "c.txt"
    source.write_text("[Mara | PERSON] is in [Oslo | GPE].\n", encoding="utf-8")
    before, corpus_format = source, "bracketed"
    for number, to in enumerate(sorted(set(WRITERS) - {"spacy"})):
        output = tmp_path / f"{number}"
        counts = convert_file(before, output, corpus_format, to=to)
        assert (counts.documents, counts.spans, counts.left_out) == (1, 2, {})
        before, corpus_format = output, to
    [last] = read(before, corpus_format)
    assert last.text == "Mara is in Oslo ."
    assert [last.text[s.start : s.end] for s in last.spans] == ["Mara", "Oslo"]


def test_the_options_select_the_group(tmp_path):
    doc = spacy.blank("en")("Mara met Bo.")
    doc.spans["a"] = [doc.char_span(0, 4, "X")]
    doc.spans["b"] = [doc.char_span(9, 11, "Y")]
    DocBin(docs=[doc]).to_disk(tmp_path / "in.spacy")
    options = ConvertOptions(spans_key="b")
    convert_file(
        tmp_path / "in.spacy",
        tmp_path / "o.jsonl",
        "docbin",
        options=options,
        to="jsonl",
    )
    [found] = read(tmp_path / "o.jsonl", "jsonl")
    assert found.spans == [CharSpan(9, 11, "Y")]


def test_an_empty_source_writes_nothing(tmp_path):
    (tmp_path / "c.txt").write_text("\n")
    for corpus_format in WRITERS:
        with pytest.raises(ValueError, match="G504"):
            convert_file(
                tmp_path / "c.txt", tmp_path / "o", "bracketed", to=corpus_format
            )
    assert [path.name for path in tmp_path.iterdir()] == ["c.txt"]
