"""The exports of annotation tools, in their JSON forms."""

import json

import pytest
import spacy
from writer_cases import NESTED, OFF_GRID, PLAIN, make_docs, write

from spacy_genner.corpora.documents import Annotated, ConvertOptions
from spacy_genner.corpora.forms import get_converter

TEXT = "Ann left Oslo."
SPAN = {"start": 9, "end": 13, "label": "GPE"}
EXPECTED = [(9, 13, "GPE")]
REGION = {"start": 9, "end": 13, "text": "Oslo", "labels": ["GPE"]}


def region(**value):
    return {
        "id": "x1",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": REGION | value,
    }


def task(*annotations, number=7, **data):
    return {
        "id": number,
        "annotations": [
            {"id": 1, "was_cancelled": False, "result": result}
            for result in annotations
        ],
        "predictions": [],
        "data": data or {"text": TEXT},
    }


def minimal(**fields):
    return {
        "text": TEXT,
        "id": 3,
        "annotator": 1,
        "annotation_id": 12,
        "created_at": "2024-05-01T10:00:00Z",
        "lead_time": 3.2,
    } | fields


def prodigy(spans=None, text=TEXT, **fields):
    record = {"text": text, "_input_hash": 5, "_task_hash": 6, "answer": "accept"}
    return record | ({} if spans is None else {"spans": spans}) | fields


def read(tmp_path, content, name="jsonl", **options):
    path = tmp_path / "c.json"
    path.write_text(content, encoding="utf-8")
    return list(get_converter(name)(path, ConvertOptions(**options)))


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


EXAMPLES = {
    "jsonl": {"text": TEXT, "spans": [SPAN]},
    "doccano": {"id": 1, "text": TEXT, "label": [[9, 13, "GPE"]], "Comments": []},
    "doccano, old": {"id": 1, "text": TEXT, "labels": [[9, 13, "GPE"]], "meta": {}},
    "doccano, data": {"id": 1, "data": TEXT, "label": [[9, 13, "GPE"]]},
    "doccano, relations": {
        "id": 1,
        "text": TEXT,
        "relations": [],
        "entities": [{"id": 4, "label": "GPE", "start_offset": 9, "end_offset": 13}],
    },
    "pair": [TEXT, {"entities": [[9, 13, "GPE"]]}],
    "pair with groups": [TEXT, {"spans": {"sc": [[9, 13, "GPE"]]}}],
    "label studio": task([region()]),
    "label studio, one string": task([region()], review=TEXT, number_of_stars=4),
    "json-min": minimal(id=None, label=[REGION]),
    "json-min, own names": {"review": TEXT, "ner": [REGION]},
    "prodigy": {"text": TEXT, "spans": [SPAN], "_view_id": "ner_manual"},
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_export_is_recognized(tmp_path, name):
    example = EXAMPLES[name]
    contents = [
        lines(example),
        lines(example, example),
        json.dumps([example]),
        json.dumps([example, example], indent=2),
        "\ufeff\n" + json.dumps([example], indent="\t"),
        json.dumps(example, indent=1),
    ]
    for content in contents:
        found = read(tmp_path, content)
        assert [(doc.text, doc.spans) for doc in found] == [(TEXT, EXPECTED)] * len(
            found
        )
        assert len(found) == (2 if content in contents[1::2][:2] else 1)


def test_ids_of_exports(tmp_path):
    ids = [doc.doc_id for doc in read(tmp_path, json.dumps([EXAMPLES["jsonl"]] * 2))]
    assert ids == ["1", "2"]
    assert read(tmp_path, lines(task([region()])))[0].doc_id == "7"
    assert read(tmp_path, lines(EXAMPLES["doccano"] | {"id": 9}))[0].doc_id == "9"
    # The ID of other objects is `doc_id`.
    assert read(tmp_path, lines(EXAMPLES["jsonl"] | {"id": 9}))[0].doc_id == "1"


def test_a_file_of_pairs_with_classes(tmp_path):
    content = {
        "classes": ["GPE"],
        "annotations": [EXAMPLES["pair"], None, ["Hm.", {"entities": []}]],
    }
    with pytest.warns(UserWarning, match=r"\[W501\].*1 examples"):
        first, second = read(tmp_path, json.dumps(content))
    assert (first.spans, second.spans) == (EXPECTED, [])


def test_doc_to_json(tmp_path):
    nlp = spacy.blank("en")
    doc = nlp("Ann left. She flew to Oslo.")
    doc[3].is_sent_start = True
    for token in doc:
        token.is_sent_start = token.i in (0, 3)
    doc.set_ents([doc.char_span(0, 3, "PERSON")])
    doc.spans["sc"] = [doc.char_span(22, 26, "GPE"), doc.char_span(10, 26, "X")]
    content = lines(doc.to_json())
    [found] = read(tmp_path, content)
    assert (sorted(found.spans), found.sentence_starts) == (
        [(10, 26, "X"), (22, 26, "GPE")],
        [0, 10],
    )
    assert found.diagnostics == ()
    [found] = read(tmp_path, content, spans_key="other")
    assert found.spans == [(0, 3, "PERSON")]
    assert [d.kind for d in found.diagnostics] == ["entities_for_missing_group"]
    del doc.spans["sc"]
    [found] = read(tmp_path, lines(doc.to_json()))
    assert found.spans == [(0, 3, "PERSON")]
    # A Doc without annotation has no gold.
    with pytest.raises(ValueError, match=r"\[G513\].*no list under"):
        read(tmp_path, lines(nlp("Oslo").to_json()))
    blank = nlp("Oslo")
    blank.spans["mine"] = [blank.char_span(0, 4, "GPE")]
    with pytest.raises(ValueError, match=r"\[G603\].*'sc'.*mine"):
        read(tmp_path, lines(blank.to_json()))


def test_tasks_without_annotation_are_left_out(tmp_path):
    cancelled = task([region()])
    cancelled["annotations"][0]["was_cancelled"] = True
    with pytest.warns(UserWarning, match=r"\[W501\].*2 examples"):
        found = read(tmp_path, json.dumps([task(), cancelled, task([])]))
    assert [(doc.text, doc.spans) for doc in found] == [(TEXT, [])]


def test_annotations_that_differ(tmp_path):
    other = region(start=0, end=3, text="Ann")
    assert read(tmp_path, lines(task([region()], [region()])))[0].spans == EXPECTED
    record = task([region()], [other])
    with pytest.raises(ValueError, match=r"\[G513\].*line 1: .*2 annotations"):
        read(tmp_path, lines(record))
    record["annotations"][0]["ground_truth"] = True
    assert read(tmp_path, lines(record))[0].spans == EXPECTED


def test_regions_with_several_labels_and_other_results(tmp_path):
    relation = {"type": "relation", "from_id": "x1", "to_id": "x2"}
    result = [region(labels=["GPE", "LOC"]), relation]
    [doc] = read(tmp_path, lines(task(result)))
    assert sorted(doc.spans) == [(9, 13, "GPE"), (9, 13, "LOC")]
    assert [d.kind for d in doc.diagnostics] == ["annotation_without_offsets"]


def test_json_min_without_spans(tmp_path):
    found = read(tmp_path, json.dumps([minimal(label=[REGION]), minimal(id=4)]))
    assert [doc.spans for doc in found] == [EXPECTED, []]
    # A file of classified texts is not a file without entities.
    with pytest.raises(ValueError, match=r"\[G513\].*no spans in the file"):
        read(tmp_path, json.dumps([minimal(sentiment="good")]))


def test_prodigy_without_spans(tmp_path):
    found = read(
        tmp_path,
        lines(
            prodigy([SPAN], _view_id="ner_manual"),
            prodigy(_view_id="spans_manual", _input_hash=7),
            prodigy(_view_id="review", view_id="ner_manual", _input_hash=8),
            {"text": "Hm", "answer": "accept"},
        ),
    )
    assert [doc.spans for doc in found] == [EXPECTED, [], [], []]


@pytest.mark.parametrize(
    "record",
    [
        prodigy(_view_id="classification", label="GOOD"),
        prodigy(label="GOOD"),
        prodigy(options=[{"id": 1}], accept=[1], _view_id="choice"),
        {"text": TEXT, "_input_hash": 5},
        {"id": 1, "text": TEXT, "label": ["good"]},
        {"text": TEXT, "label": "good"},
    ],
)
def test_answers_about_the_whole_text_are_no_gold(tmp_path, record):
    with pytest.raises(ValueError, match=r"\[G513\].*c.json, line 1"):
        read(tmp_path, lines(record))


ANN = {"start": 0, "end": 3, "label": "PERSON"}
OTHER = {"text": "Bob saw Rome.", "_input_hash": 8, "_task_hash": 9}


@pytest.mark.parametrize(
    "records",
    [
        [prodigy([SPAN], _view_id="ner")],
        [prodigy([SPAN, ANN], _view_id="ner")],
        [prodigy([SPAN], _view_id="spans")],
        [prodigy([SPAN], _view_id="ner", answer="reject")],
        [prodigy([SPAN], _view_id="ner", answer="ignore")],
        [prodigy([SPAN], _view_id="review", view_id="ner")],
        [prodigy([SPAN], _is_binary=True)],
        [prodigy([], _is_binary=True)],
        [prodigy([SPAN], _is_binary=True, _view_id="blocks")],
        [prodigy([SPAN], _is_binary=True, answer="reject")],
        [{"text": TEXT, "spans": [SPAN], "_is_binary": True}],
        [prodigy([SPAN], meta={"score": 0.5})],
        [prodigy([SPAN], meta={"pattern": "12"})],
        [prodigy([SPAN | {"score": 0.5}])],
        [prodigy([SPAN | {"pattern": 12}])],
        [prodigy([SPAN | {"rank": 0, "source": "en_core_web_sm"}])],
        [prodigy([SPAN]), prodigy([ANN], answer="reject")],
        [prodigy([ANN], answer="reject"), prodigy([SPAN])],
        [prodigy([SPAN]), prodigy([ANN])],
        [prodigy([SPAN]), prodigy([SPAN | {"label": "LOC"}])],
        [
            {"text": TEXT, "spans": [SPAN], "answer": "accept"},
            {"text": TEXT, "spans": [ANN], "answer": "reject"},
        ],
        # Each answer is about one span, and one of them is rejected.
        [prodigy([SPAN]), prodigy([ANN], answer="reject", **OTHER)],
        [prodigy([SPAN]), prodigy([SPAN], answer="reject")],
    ],
)
def test_binary_answers_are_refused(tmp_path, records):
    for content in (lines(*records), json.dumps(records, indent=1)):
        with pytest.raises(ValueError) as raised:
            read(tmp_path, content)
        message = str(raised.value)
        assert "[G567]" in message and "binary answers" in message
        assert "ner.silver-to-gold" in message and '"ner_manual"' in message
    with pytest.raises(ValueError, match=rf"\[G567\].*line {len(records)}: "):
        read(tmp_path, lines(*records))


@pytest.mark.parametrize(
    "fields",
    [
        {"_view_id": "ner_manual"},
        {"_view_id": "spans_manual", "_is_binary": False},
        {"_is_binary": False},
        {"_view_id": "review", "view_id": "ner_manual"},
        {"_view_id": "relations"},
        {"_view_id": "blocks", "_is_binary": False},
    ],
)
def test_rejected_examples_of_manual_interfaces_are_left_out(tmp_path, fields):
    span = SPAN | {"score": 0.5, "pattern": 1, "source": "blank:en"}
    records = [
        prodigy([span], meta={"score": 0.5}, **fields),
        prodigy([ANN], answer="reject", **fields),
        prodigy([ANN], answer="reject", **OTHER, **fields),
    ]
    with pytest.warns(UserWarning, match=r"\[W501\].*2 examples"):
        [doc] = read(tmp_path, lines(*records))
    assert doc.spans == EXPECTED


def test_a_file_of_examples_with_several_spans_is_not_binary(tmp_path):
    records = [prodigy([SPAN, ANN]), prodigy([ANN], answer="reject", **OTHER)]
    with pytest.warns(UserWarning, match=r"\[W501\].*1 examples"):
        assert len(read(tmp_path, lines(*records))) == 1


def test_equal_annotations_of_one_input_are_merged(tmp_path):
    records = [
        prodigy([SPAN, ANN], _view_id="ner_manual", _session_id="a"),
        prodigy([ANN, SPAN], _view_id="ner_manual", _session_id="b"),
        prodigy([SPAN, ANN], _view_id="ner_manual", doc_id="other"),
        prodigy([], _view_id="ner_manual", text="Hm"),
    ]
    with pytest.warns(UserWarning, match=r"\[W524\].* 1 examples.*line 2"):
        found = read(tmp_path, lines(*records))
    assert [(doc.text, len(doc.spans)) for doc in found] == [
        (TEXT, 2),
        (TEXT, 2),
        ("Hm", 0),
    ]
    # Without Prodigy's hash, equal texts are different documents.
    example = {"text": TEXT, "spans": [SPAN], "answer": "accept"}
    assert len(read(tmp_path, lines(example, example))) == 2


@pytest.mark.parametrize("first", [{"_view_id": "ner_manual"}, {}])
def test_annotations_of_one_input_that_differ_are_refused(tmp_path, first):
    records = [prodigy([SPAN], **first), prodigy([ANN, SPAN])]
    with pytest.raises(ValueError, match=r"\[G576\].*lines 1 and 2 .*'review'"):
        read(tmp_path, lines(*records))


TASK = {"instruction": "Mark.", "input": TEXT, "output": TEXT}


@pytest.mark.parametrize(
    "record, name, words",
    [
        (TASK, "jsonl", "--from alpaca"),
        ({"conversations": []}, "jsonl", "--from alpaca"),
        ({"messages": []}, "jsonl", "--from alpaca"),
        ({"prompt": "a", "completion": "b"}, "jsonl", "--from alpaca"),
        ({"tokens": ["Oslo"], "ner_tags": ["B-GPE"]}, "jsonl", "--from conll"),
        ({"tokenized_text": ["Oslo"], "ner": [[0, 0, "x"]]}, "jsonl", "--from conll"),
        ({"text": TEXT, "spans": [SPAN]}, "alpaca", "--from jsonl"),
        (task([region()]), "alpaca", "--from jsonl"),
    ],
)
def test_the_message_names_the_form_that_fits(tmp_path, record, name, words):
    for content in (lines(record), json.dumps([record])):
        with pytest.raises(ValueError, match=rf"\[G566\].*line 1: .*{words}"):
            read(tmp_path, content, name)


@pytest.mark.parametrize(
    "content, code",
    [
        ("[1]", "G512"),
        ("[[1]]", "G512"),
        ('[{"text": 1}]', "G513"),
        ('["x"]', "G512"),
        ('[\n["x", []]]', "G512"),
        ('[{"a": 1}, 3]', "G513"),
        ('[{"text": "x", "spans": []}, 3]', "G558"),
        ('[{"text": "x", "spans": []}', "G558"),
        ('{"classes": [], "annotations": [3]}', "G513"),
        ('{"data": {"a": "x", "b": "y"}, "annotations": []}', "G513"),
        ('{"data": {"text": "x"}, "annotations": [{"result": [3]}]}', ""),
        ('{"text": "x", "spans": {"sc": 3}}', "G513"),
        ('{"text": "x", "tokens": [], "ents": [], "sents": [3]}', "G513"),
        ('{"text": "x", "label": [[0, 1, 2, 3]]}', "G513"),
        ('{"text": "x", "entities": [{"start_offset": 0, "label": "A"}]}', "G513"),
        ('{"text": "x", "label": [{"start": 0, "end": 1, "labels": []}]}', "G513"),
        ('{"text": "x", "label": [{"start": 0, "end": 1, "labels": [3]}]}', "G513"),
        ('{\n"text": "x",\n"spans": [}', "G512"),
    ],
)
def test_malformed_exports(tmp_path, content, code):
    if not code:
        assert len(read(tmp_path, content)) == 1
        return
    with pytest.raises(ValueError, match=rf"\[{code}\].*c.json, line [12]"):
        read(tmp_path, content)


EMOJI = "😀 Ann left Öslo."


@pytest.mark.parametrize(
    "unit, start, name",
    [("utf-16", 12, "UTF-16 units"), ("bytes", 14, "bytes of UTF-8")],
)
def test_offsets_in_other_units(tmp_path, unit, start, name):
    end = start + len("Öslo".encode()) - (unit == "utf-16")
    span = {"start": start, "end": end, "label": "GPE", "text": "Öslo"}
    record = {"text": EMOJI, "spans": [span]}
    region_ = region(start=start, end=end, text="Öslo")
    for content in (lines(record), lines(task([region_], text=EMOJI))):
        with pytest.raises(ValueError, match=rf"line 1: .*offsets count {name}.*--off"):
            read(tmp_path, content)
        [doc] = read(tmp_path, content, offsets=unit)
        assert [doc.text[s.start : s.end] for s in doc.spans] == ["Öslo"]
    # Half a character is not a start.
    record = {"text": EMOJI, "spans": [[1, end, "GPE"]]}
    with pytest.raises(ValueError, match=r"\[G513\]"):
        read(tmp_path, lines(record), offsets=unit)


def test_offsets_outside_the_text_that_count_units_are_named(tmp_path):
    text = "😀😀😀 Oslo"
    span = {"start": 7, "end": 11, "label": "GPE", "text": "Oslo"}
    with pytest.raises(ValueError, match="UTF-16"):
        read(tmp_path, lines({"text": text, "spans": [span]}))
    (tmp_path / "d.txt").write_text(text, encoding="utf-8")
    (tmp_path / "d.ann").write_text("T1\tGPE 7 11\tOslo\n")
    with pytest.raises(ValueError, match=r"\[G542\].*UTF-16"):
        list(get_converter("brat")(tmp_path / "d.txt", ConvertOptions()))
    passage = f"1|t|{text}\n1|a|\n1\t7\t11\tOslo\tGPE\n"
    with pytest.raises(ValueError, match=r"\[G54\d\].*UTF-16"):
        read(tmp_path, passage, "pubtator")


@pytest.mark.parametrize(
    "start, end, words",
    [
        (9, 12, "the end includes the last character"),
        (10, 14, "the offsets count from 1"),
        (10, 13, "the offsets count from 1"),
        (2, 6, "offsets count characters"),
    ],
)
def test_other_ways_to_count_are_named(tmp_path, start, end, words):
    span = {"start": start, "end": end, "label": "GPE", "text": "Oslo"}
    with pytest.raises(ValueError, match=rf"\[G513\].*line 1: .*'Oslo', .*: {words}"):
        read(tmp_path, lines({"text": TEXT, "spans": [span]}))


def test_offsets_outside_a_text_with_emoji_may_count_utf_16(tmp_path):
    content = lines({"id": 1, "text": "😀 Oslo", "label": [[3, 7, "GPE"]]})
    with pytest.raises(ValueError, match=r"\[G513\].*outside.*--offsets utf-16"):
        read(tmp_path, content)
    [doc] = read(tmp_path, content, offsets="utf-16")
    assert doc.spans == [(2, 6, "GPE")]


def test_classified_tasks_are_no_gold(tmp_path):
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    with pytest.raises(ValueError, match=r"\[G513\].*line 1: no spans.*kind choices"):
        read(tmp_path, json.dumps([task([choice])]))
    # Where others have spans, the text is one without any.
    found = read(tmp_path, json.dumps([task([choice]), task([region(), choice])]))
    assert [doc.spans for doc in found] == [[], EXPECTED]
    # A note about a region is no second region.
    note = {"type": "textarea", "value": {"start": 9, "end": 13, "text": ["sic"]}}
    [doc] = read(tmp_path, json.dumps([task([region(), note])]))
    assert doc.spans == EXPECTED
    assert [d.kind for d in doc.diagnostics] == ["annotation_without_offsets"]


def test_a_missing_text_lists_the_keys(tmp_path):
    with pytest.raises(ValueError, match=r"\[G513\].*keys \['content', 'spans'\]"):
        read(tmp_path, lines({"content": TEXT, "spans": [SPAN]}))


FILES = {
    "conll": "# id 1\nOslo B-GPE\n. O\n",
    "bracketed": "Ann left [Oslo | GPE].\n",
    "jsonl": lines({"text": TEXT, "spans": []}),
    "alpaca": json.dumps([{"instruction": "x", "input": "y", "output": "y"}], indent=1),
    "pubtator": "12|t|Oslo\n12|a|\n",
    "conll-2012": "#begin document (x); part 000\nx 0 0 Oslo NNP * - - - - * -\n",
    "genia-xml": "<?xml version='1.0'?>\n<set>\n</set>\n",
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", ["jsonl", "alpaca", "conll", "conll-nested"])
def test_a_file_of_another_format_is_named(tmp_path, kind, name):
    if kind == name or (kind == "conll" and name == "conll-nested"):
        read(tmp_path, FILES[kind], name)
        return
    with pytest.raises(ValueError, match=rf"\[G566\].*line [12]: .*--from {kind}\."):
        read(tmp_path, FILES[kind], name)


def test_the_text_of_a_task_has_any_key(tmp_path):
    record = task([region()], source="web", review=TEXT)
    assert read(tmp_path, lines(record))[0].text == TEXT
    with pytest.raises(ValueError, match=r"\[G513\].*strings under .*'review'"):
        read(tmp_path, lines(task([], source="web", review=TEXT)))


def test_two_annotators_of_json_min(tmp_path):
    other = {"start": 0, "end": 3, "text": "Ann", "labels": ["PERSON"]}
    same = [minimal(label=[REGION]), minimal(label=[REGION], annotator=2)]
    with pytest.warns(UserWarning, match=r"\[W524\].* 1 examples.*line 1"):
        assert len(read(tmp_path, json.dumps(same))) == 1
    same[1]["label"] = [other]
    with pytest.raises(ValueError, match=r"\[G513\].*several annotations"):
        read(tmp_path, json.dumps(same))


@pytest.mark.parametrize("key", ["data", "examples"])
def test_a_list_under_a_key(tmp_path, key):
    example = EXAMPLES["jsonl"]
    assert len(read(tmp_path, json.dumps({key: [example, example]}, indent=1))) == 2


def test_entities_of_displacy_and_with_ids(tmp_path):
    assert read(tmp_path, lines({"text": TEXT, "ents": [SPAN]}))[0].spans == EXPECTED
    spans = [[9, 13, "GPE", "Q585"]]
    assert read(tmp_path, lines([TEXT, {"entities": spans}]))[0].spans == EXPECTED


def test_tasks_are_written_for_a_correction_round(tmp_path):
    path = tmp_path / "o.json"
    counts = write(make_docs(NESTED, OFF_GRID, PLAIN), path, "label-studio")
    assert counts.left_out == counts.changed == {}
    tasks = json.loads(path.read_text("utf-8"))
    assert tasks[0]["data"] == {
        "text": NESTED.text,
        "doc_id": "letters/1",
        "sentence_starts": [0, 40],
    }
    [annotation] = tasks[0]["annotations"]
    assert annotation["result"][0] == region(
        start=0, end=10, text="Mara Quist", labels=["PERSON"]
    ) | {"id": "span-1"}
    # Label Studio adds an ID to each task.
    for number, exported in enumerate(tasks):
        exported["id"] = 70 + number
    found = read(tmp_path, json.dumps(tasks), "label-studio")
    assert [sorted(doc.spans) for doc in found] == [
        sorted(doc.spans) for doc in (NESTED, OFF_GRID, PLAIN)
    ]
    assert [doc.doc_id for doc in found] == ["letters/1", "off", "plain"]
    assert found[0].sentence_starts == [0, 40]


EMOJIS = Annotated(
    "😀👩\u200d🚀 Zürich, Öst\u0301", [(5, 11, "GPE"), (5, 17, "LOC")], "emoji", None
)


@pytest.mark.parametrize("form", ["label-studio", "label-studio-min"])
def test_a_correction_round(tmp_path, form):
    """Both forms that Label Studio exports keep the documents."""
    corpus = [NESTED, OFF_GRID, PLAIN, EMOJIS]
    path = tmp_path / "o.json"
    counts = write(make_docs(*corpus), path, form)
    assert counts.left_out == counts.changed == {}
    found = read(tmp_path, path.read_text("utf-8"), form)
    assert [
        (doc.text, sorted(doc.spans), doc.doc_id, doc.sentence_starts) for doc in found
    ] == [
        (doc.text, sorted(doc.spans), doc.doc_id, doc.sentence_starts) for doc in corpus
    ]


def test_the_export_of_tasks_as_json_min_is_what_is_written(tmp_path):
    """Label Studio's JSON-MIN has the data and the values of the regions."""
    write(make_docs(NESTED, EMOJIS), tmp_path / "t.json", "label-studio")
    write(make_docs(NESTED, EMOJIS), tmp_path / "m.json", "label-studio-min")
    tasks = json.loads((tmp_path / "t.json").read_text("utf-8"))
    records = json.loads((tmp_path / "m.json").read_text("utf-8"))
    for number, (exported, record) in enumerate(zip(tasks, records, strict=True), 1):
        [annotation] = exported["annotations"]
        assert record == exported["data"] | {
            "id": number,
            "label": [item["value"] for item in annotation["result"]],
            "annotation_id": number,
        }


@pytest.mark.parametrize("form", ["label-studio", "label-studio-min"])
def test_empty_files_of_label_studio(tmp_path, form):
    write([], tmp_path / "o.json", form)
    assert json.loads((tmp_path / "o.json").read_text("utf-8")) == []


def test_regions_of_hypertext(tmp_path):
    value = {
        "start": "/div[1]/text()[1]",
        "end": "/div[1]/text()[1]",
        "startOffset": 9,
        "endOffset": 13,
        "globalOffsets": {"start": 9, "end": 13},
        "text": "Oslo",
        "hypertextlabels": ["GPE"],
    }
    item = {"id": "x", "type": "hypertextlabels", "value": value}
    assert read(tmp_path, lines(task([item])))[0].spans == EXPECTED
    assert read(tmp_path, lines(minimal(ner=[value])))[0].spans == EXPECTED


def test_the_text_of_json_min_has_any_key(tmp_path):
    record = {"id": 1, "source": "web", "review": TEXT, "ner": [dict(REGION)]}
    assert read(tmp_path, lines(record))[0].text == TEXT
    del record["ner"][0]["text"]
    with pytest.raises(ValueError, match=r"\[G513\].*strings under .*'review'"):
        read(tmp_path, lines(record))


MARKED = "Ann left [Oslo | GPE]."
CONVERSATIONS = {
    "sharegpt": {
        "conversations": [
            {"from": "human", "value": f"Mark the names.\nText:\n{TEXT}"},
            {"from": "gpt", "value": MARKED},
        ]
    },
    "sharegpt with system": {
        "system": "Mark the names.",
        "conversations": [
            {"from": "human", "value": TEXT},
            {"from": "gpt", "value": MARKED},
        ],
    },
    "messages": {
        "messages": [
            {"role": "system", "content": "Mark the names."},
            {"role": "user", "content": TEXT},
            {"role": "assistant", "content": MARKED},
        ]
    },
    "messages, JSON": {
        "messages": [
            {"role": "user", "content": f"Names as JSON.\nText: {TEXT}"},
            {"role": "assistant", "content": '{"GPE": ["Oslo"]}'},
        ]
    },
    "prompt": {"prompt": f"Mark.\nText: {TEXT}", "completion": MARKED},
    "prompt with messages": {
        "prompt": [{"role": "user", "content": f"Mark.\nText: {TEXT}"}],
        "completion": [{"role": "assistant", "content": MARKED}],
    },
}
CONVERSATIONS["messages of parts"] = {
    "messages": [
        {
            "role": "user",
            "content": [{"type": "text", "text": f"Mark.\nText:\n{TEXT}"}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": MARKED}]},
    ]
}
CONVERSATIONS["no input"] = {
    "instruction": f"Mark.\nText:\n{TEXT}",
    "input": None,
    "output": MARKED,
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversations_are_read_as_alpaca(tmp_path, name):
    record = CONVERSATIONS[name]
    for content in (lines(record), json.dumps([record], indent=1)):
        [doc] = read(tmp_path, content, "alpaca")
        assert (doc.text, doc.spans, doc.diagnostics) == (TEXT, EXPECTED, ())


@pytest.mark.parametrize(
    "turns",
    [
        [],
        ["user"],
        ["user", "assistant", "user", "assistant"],
        ["assistant", "user"],
        ["user", "tool"],
    ],
)
def test_other_conversations_are_refused(tmp_path, turns):
    record = {"messages": [{"role": role, "content": "Text: x"} for role in turns]}
    with pytest.raises(ValueError, match=r"\[G5(57|66)\].*line 1"):
        read(tmp_path, lines(record), "alpaca")
    with pytest.raises(ValueError, match=r"\[G557\].*line 1"):
        read(tmp_path, lines({"messages": [{"role": 3}]}), "alpaca")


def test_messages_of_other_parts_are_refused(tmp_path):
    image = {"type": "image_url", "image_url": {"url": "x"}}
    record = {"messages": [{"role": "user", "content": [image]}]}
    with pytest.raises(ValueError, match=r"\[G557\].*line 1"):
        read(tmp_path, lines(record), "alpaca")


def test_json_in_a_block_of_code_is_recognized(tmp_path):
    output = '```json\n{"GPE": ["Oslo"]}\n```'
    record = {"instruction": "Names.", "input": TEXT, "output": output}
    [doc] = read(tmp_path, lines(record), "alpaca")
    assert doc.spans == EXPECTED


def test_label_studio_changes_white_space_in_the_text_of_a_region(tmp_path):
    """As in HumanSignal/label-studio#3078: a page shows two spaces as one."""
    text = "Text: Berlin,  Germany.\nEnd"
    value = {"start": 6, "end": 22, "text": "Berlin, Germany", "labels": ["GPE"]}
    made = {"result": [{"type": "labels", "value": value}]}
    record = {"id": 1, "data": {"text": text}, "annotations": [made]}
    [found] = read(tmp_path, json.dumps([record]), "label-studio")
    assert found.spans == [(6, 22, "GPE")]
    # Another text is refused, without a wrong unit of offsets.
    value["text"] = "Berlin,  Germany."
    with pytest.raises(ValueError, match="G513.*exclusive") as error:
        read(tmp_path, json.dumps([record]), "label-studio")
    assert "UTF-16 units (" not in str(error.value)


def test_a_minimal_export_without_any_span_is_read_again(tmp_path):
    nlp = spacy.blank("en")
    doc = nlp("Nothing here.")
    doc.spans["sc"] = []
    path = tmp_path / "min.json"
    write([doc], path, "label-studio-min")
    [found] = list(get_converter("label-studio")(path, ConvertOptions()))
    assert (found.text, found.spans) == ("Nothing here.", [])
