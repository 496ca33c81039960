"""The Alpaca reader and writer: format detection, the text of a record, and issues."""

import json
from pathlib import Path

import pytest
from writer_cases import NESTED, OFF_GRID, PLAIN, SPANS, TEXT, make_docs, read, write

from spacy_genner.corpora.convert import DocMaker
from spacy_genner.corpora.documents import Annotated
from spacy_genner.formats import FORMATS, CharSpan
from spacy_genner.prompts.layout import INSTRUCTIONS

SENTENCE = "Oslo hosts the University of Oslo ."
ORG = CharSpan(15, 33, "ORG")
OUTPUTS = {
    "inline_bracketed": "Oslo hosts the [University of [Oslo | GPE] | ORG] .",
    "inline_xml": "Oslo hosts the <ORG>University of <GPE>Oslo</GPE></ORG> .",
    "occurrence_json": '[{"text": "University of Oslo", "label": "ORG", '
    '"occurrence_index": 1}, {"text": "Oslo", "label": "GPE", "occurrence_index": 2}]',
    "offset_json": '[{"text": "University of Oslo", "label": "ORG", "start": 15, '
    '"end": 33}, {"text": "Oslo", "label": "GPE", "start": 29, "end": 33}]',
    "grouped_json": '{"ORG": ["University of Oslo"], "LOC": []}',
}
EMPTY = {
    "inline_bracketed": "Nothing .",
    "inline_xml": "Nothing .",
    "occurrence_json": "[]",
    "offset_json": "[]",
    "grouped_json": '{"ORG": [], "LOC": []}',
}


def record(output: str, text: str = SENTENCE, instruction: str = "Mark them."):
    return {"instruction": instruction, "input": text, "output": output}


def save(path: Path, *records, indent: int | None = 2) -> Path:
    content = json.dumps(records, ensure_ascii=False, indent=indent)
    path.write_text(content, encoding="utf-8")
    return path


def lines(path: Path, *records) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("layout", [save, lines])
def test_every_format_is_detected_and_read(tmp_path, name, layout):
    records = [record(EMPTY[name], "Nothing ."), record(OUTPUTS[name])]
    path = layout(tmp_path / "c.json", *records)
    first, second = read(path, "alpaca")
    assert (first.text, first.spans, first.diagnostics) == ("Nothing .", [], ())
    assert second.spans[0] == ORG
    assert second.spans[1:] == (
        [] if name == "grouped_json" else [CharSpan(29, 33, "GPE")]
    )
    assert (second.text, second.doc_id, second.diagnostics) == (SENTENCE, "2", ())
    assert read(path, "alpaca", format=name) == [first, second]


@pytest.mark.parametrize("name", FORMATS)
def test_no_span_in_any_output(tmp_path, name):
    path = save(tmp_path / "c.json", *[record(EMPTY[name], "Nothing .")] * 3)
    assert [a.spans for a in read(path, "alpaca")] == [[], [], []]


@pytest.mark.parametrize(
    "output",
    [
        "Something else entirely",
        '{"a": 1} and more',
        '[{"text": "Oslo", "label": "GPE"}]',
    ],
)
def test_an_ambiguous_format_is_an_error(tmp_path, output):
    path = save(tmp_path / "c.json", record(output))
    with pytest.raises(ValueError, match=r"\[G560\].*line 2.*--format"):
        read(path, "alpaca")


def test_outputs_of_different_formats_are_an_error(tmp_path):
    path = save(tmp_path / "c.json", record("[]"), record(OUTPUTS["inline_xml"]))
    with pytest.raises(ValueError, match=r"\[G560\].*line 7"):
        read(path, "alpaca")


def test_a_thousand_texts_without_a_span_are_ambiguous(tmp_path):
    path = lines(tmp_path / "c", *[record("Nothing .", "Nothing .")] * 1001)
    with pytest.raises(ValueError, match="G560"):
        read(path, "alpaca")
    assert len(read(path, "alpaca", format="inline_xml")) == 1001


def test_issues_of_an_output_become_diagnostics(tmp_path):
    outputs = [
        "Oslo hosts the [University of Bergen | ORG] .",
        "Oslo hosts the [University of Oslo | ORG",
        OUTPUTS["inline_bracketed"],
    ]
    path = save(tmp_path / "c.json", *map(record, outputs))
    first, second, third = read(path, "alpaca")
    assert {diagnostic.kind for diagnostic in first.diagnostics} == {"copy_differs"}
    assert first.diagnostics[0].message.startswith(f"{path}, line 2: ")
    assert {diagnostic.kind for diagnostic in second.diagnostics} >= {"unbalanced"}
    assert third.diagnostics == ()


@pytest.mark.parametrize(
    "name, count, output",
    [
        (
            "offset_json",
            2,
            '[{"text":"Oslo","label":"GPE","start":29,"end":33},'
            ' {"text":"University of Oslo","label":"ORG","start":15,"end":33}]',
        ),
        (
            "offset_json",
            1,
            '[{"label": "ORG", "text": "University of Oslo", "start": 15, "end": 33}]',
        ),
        ("grouped_json", 3, '{"LOC": ["hosts", "Oslo", "Oslo"]}'),
        ("inline_xml", 2, "Oslo <B><A>hosts</A></B> the University of Oslo ."),
        ("inline_xml", 2, "Oslo <A><B>hosts</B></A> the University of Oslo ."),
    ],
)
def test_another_order_loses_no_span(tmp_path, name, count, output):
    [found] = read(save(tmp_path / "c", record(output)), "alpaca", format=name)
    assert {diagnostic.kind for diagnostic in found.diagnostics} <= {"other_order"}
    assert len(found.spans) == count


def test_diagnostics_are_counted(tmp_path):
    path = save(tmp_path / "c", record("Oslo hosts a [University of Oslo | ORG] ."))
    maker = DocMaker()
    list(maker(read(path, "alpaca", format="inline_bracketed")))
    assert maker.counts.diagnostics == {"copy_differs": 1}
    assert "line 2" in maker.counts.listed["copy_differs"][0]


def test_tokens_are_put_together(tmp_path):
    path = save(tmp_path / "c.json", record(OUTPUTS["inline_bracketed"]))
    [found] = read(path, "alpaca", detokenize=True)
    assert found.text == "Oslo hosts the University of Oslo."
    assert found.spans == [ORG, CharSpan(29, 33, "GPE")]


@pytest.mark.parametrize(
    "instruction",
    [
        f"Mark the entities of the text.\nLabels: ORG, GPE\nText:\n{SENTENCE}",
        f"Mark them.\nNow process the input sentence:\n{SENTENCE}\n",
        f"### Instruction:\nMark them.\n\n### Input:\n{SENTENCE}",
        f"Mark them.\nText: {SENTENCE}",
        f"**Sentence:** {SENTENCE}",
    ],
)
@pytest.mark.parametrize("name", ["inline_bracketed", "offset_json"])
def test_the_text_can_be_part_of_the_instruction(tmp_path, instruction, name):
    task = record(OUTPUTS[name], "", instruction)
    [found] = read(save(tmp_path / "c", task), "alpaca")
    assert (found.text, found.spans[0], found.diagnostics) == (SENTENCE, ORG, ())
    del task["input"]
    assert read(save(tmp_path / "c", task), "alpaca") == [found]


@pytest.mark.parametrize(
    "name, instruction",
    [
        ("inline_xml", SENTENCE),
        ("inline_xml", f"Mark the text {SENTENCE}"),
        ("inline_xml", f"Text:\n{SENTENCE}\nMind the gaps."),
        ("inline_xml", "Text:\n"),
        # A JSON output does not show which text is meant or where it ends.
        ("offset_json", f"Text:\n{SENTENCE}\nMind the gaps."),
        ("offset_json", f"Text:\nOslo .\nText:\n{SENTENCE}"),
        ("offset_json", ""),
    ],
)
def test_an_unconfirmed_text_is_an_error(tmp_path, name, instruction):
    path = save(tmp_path / "c", record(OUTPUTS[name], "", instruction))
    with pytest.raises(ValueError, match=r"\[G559\].*line 2.*'input'"):
        read(path, "alpaca", format=name)


def test_an_inline_output_selects_one_of_two_texts(tmp_path):
    instruction = f"Text: Bergen\nAnd now this text:\n{SENTENCE}"
    path = save(tmp_path / "c", record(OUTPUTS["inline_xml"], "", instruction))
    assert read(path, "alpaca")[0].text == SENTENCE


@pytest.mark.parametrize(
    "content, code, line",
    [
        ('[{"instruction": "a", "input": "b"}]', "G557", 1),
        ('[\n{"input": "b", "output": 3}]', "G557", 2),
        ('{"input": "b", "output": "b"}\n{"input": 1, "output": "b"}\n', "G557", 2),
        ('[\n{"input": "b", "output": "b"}', "G558", 2),
        ('[\n{"input": "b", "output": "b"}\n{}]', "G558", 3),
        ('[\n\n{"input": "b" "output": "b"}]', "G558", 3),
        ("[\n3]", "G558", 2),
        ("[] \nx", "G558", 2),
        ("[", "G558", 1),
        ("{\n}", "G557", 1),
        ("text", "G512", 1),
        ('[{"input": "\\ud800", "output": "b"}]', "G557", 1),
    ],
)
def test_a_malformed_file_names_the_line(tmp_path, content, code, line):
    (tmp_path / "c.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"\[{code}\].*c\.json, line {line}:"):
        read(tmp_path / "c.json", "alpaca")


def test_invalid_utf8_names_the_line(tmp_path):
    (tmp_path / "c.json").write_bytes(b'[\n{"input": "\xff"}]')
    with pytest.raises(ValueError, match=r"\[G510\].*line 2"):
        read(tmp_path / "c.json", "alpaca")


@pytest.mark.parametrize("name", FORMATS)
def test_written_files_are_read_back(tmp_path, name):
    docs = make_docs(NESTED, OFF_GRID, PLAIN)
    counts = write(docs, tmp_path / "o.json", "alpaca", format=name)
    records = json.loads((tmp_path / "o.json").read_text("utf-8"))
    assert [set(row) for row in records] == [{"instruction", "input", "output"}] * 3
    assert {row["instruction"] for row in records} == {
        f"{INSTRUCTIONS[name]}\nLabels: GPE, LOC, ORG, PERSON\nText:"
    }
    first, second, third = read(tmp_path / "o.json", "alpaca")
    assert (first.text, set(first.spans)) == (TEXT, set(SPANS))
    assert counts.left_out == {}
    assert (second.text, second.spans) == (OFF_GRID.text, OFF_GRID.spans)
    assert (third.text, third.spans) == (PLAIN.text, [])
    assert not any(a.diagnostics for a in (first, second, third))
    text = (tmp_path / "o.json").read_text("utf-8")
    assert text == json.dumps(records, ensure_ascii=False, indent=2) + "\n"


def test_definitions_come_first_in_their_order(tmp_path):
    definitions = {"ORG": "an organisation", "VEH": "", "GPE": "a city"}
    write(
        make_docs(NESTED),
        tmp_path / "o.json",
        "alpaca",
        format="grouped_json",
        definitions=definitions,
    )
    [row] = json.loads((tmp_path / "o.json").read_text("utf-8"))
    assert row["instruction"].split("\n")[1:] == [
        "Labels:",
        "- ORG: an organisation",
        "- VEH",
        "- GPE: a city",
        "- LOC",
        "- PERSON",
        "Text:",
    ]
    assert list(json.loads(row["output"])) == ["ORG", "VEH", "GPE", "LOC", "PERSON"]


def test_spans_that_the_format_can_not_represent_are_counted(tmp_path):
    text = "an [X and Y] or Z"
    spans = [
        CharSpan(3, 5, "HIDDEN"),
        CharSpan(6, 15, "LONG"),
        CharSpan(13, 17, "SHORT"),
        CharSpan(2, 5, "EDGE"),
    ]
    docs = make_docs(Annotated(text, spans, "d", None))
    counts = write(docs, tmp_path / "o", "alpaca", format="inline_bracketed")
    assert counts.left_out == {
        "has white space at its edge": 1,
        "crosses a longer one": 1,
        "is hidden by the text's own characters": 1,
    }
    [found] = read(tmp_path / "o", "alpaca", format="inline_bracketed")
    assert (found.text, found.spans) == (text, [CharSpan(6, 15, "LONG")])
    counts = write(docs, tmp_path / "o", "alpaca", format="offset_json")
    assert counts.left_out == {"has white space at its edge": 1}
    again = Annotated("Oslo and Oslo", [CharSpan(9, 13, "GPE")], "d", None)
    counts = write(make_docs(again), tmp_path / "o", "alpaca", format="grouped_json")
    assert counts.left_out == {"would be given the place of another occurrence": 1}


def test_unknown_formats_and_illegal_labels_are_errors(tmp_path):
    with pytest.raises(ValueError, match=r"\[G005\].*'nothing'"):
        write(make_docs(PLAIN), tmp_path / "o", "alpaca", format="nothing")
    bad = Annotated("one two", [CharSpan(0, 3, "a b")], "d", None)
    with pytest.raises(ValueError, match=r"\[G003\].*'a b'"):
        write(make_docs(bad), tmp_path / "o", "alpaca", format="inline_xml")
    assert list(tmp_path.iterdir()) == []
    path = save(tmp_path / "c", record("a", "a"))
    with pytest.raises(ValueError, match="G005"):
        read(path, "alpaca", format="nothing")


def test_every_format_has_an_instruction():
    assert set(INSTRUCTIONS) == set(FORMATS)
