"""The stream of batches from many corpora, its label sets, and the held-out corpora."""

import json
import random
from itertools import islice

import pytest
import spacy

from spacy_genner.corpora.label_sets import batch_by_label_set, get_label_set
from spacy_genner.corpora.mixture import (
    MAX_LABELS,
    LabelName,
    MixtureCorpus,
    choose_labels,
    make_held_out_corpus,
    make_mixture_corpus,
    name_labels,
)

LABELS = {
    "PRS": {"name": "person", "definition": "The name of a person."},
    "LOC": {"name": "location", "definition": "A place."},
    "DAT": {"name": "date", "definition": ""},
}


def passage(number):
    text = f"Ana met Ben in Oslo on day {number}"
    spans = [
        {"start": 0, "end": 3, "label": "PRS"},
        {"start": 8, "end": 11, "label": "PRS"},
        {"start": 15, "end": 19, "label": "LOC"},
    ]
    return {"text": text, "spans": spans, "doc_id": str(number)}


def write_corpus(folder, passages, labels=None):
    folder.mkdir(parents=True)
    lines = "".join(f"{json.dumps(each)}\n" for each in passages)
    for name in ("train.jsonl", "test.jsonl"):
        (folder / name).write_text(lines, encoding="utf-8")
    (folder / "labels.json").write_text(
        json.dumps(LABELS if labels is None else labels), encoding="utf-8"
    )


@pytest.fixture
def folder(tmp_path):
    write_corpus(tmp_path / "first", [passage(n) for n in range(20)])
    write_corpus(
        tmp_path / "second",
        [
            {"text": f"gene X{n}", "spans": [{"start": 5, "end": 7, "label": "G"}]}
            for n in range(5)
        ],
        {"G": {"name": "gene", "definition": "A gene."}},
    )
    return tmp_path


def batches(folder, count=200, **settings):
    corpus = make_mixture_corpus(str(folder), words=30, **settings)
    stream = batch_by_label_set(1000)(corpus(spacy.blank("xx")))
    return list(islice(stream, count))


def test_the_labels_of_a_batch(folder):
    names = {"person", "location", "date", "gene"}
    capitals = {name.upper() for name in names}
    defined = with_none = dropped = 0
    for batch in batches(folder):
        (labels,) = {get_label_set(each.reference) for each in batch}
        found = [label for label, _ in labels]
        assert len(found) == len(set(found)) <= MAX_LABELS
        kinds = [names, capitals, {*LABELS, "G"}]
        assert any(set(found) <= kind for kind in kinds)
        defined += any(definition for _, definition in labels)
        spans = [span for each in batch for span in each.reference.spans["sc"]]
        assert {span.label_ for span in spans} <= set(found)
        with_none += not spans
        dropped += len(spans) < 3 * len(batch) and batch[0].reference.text[0] == "A"
        for example in batch:
            assert get_label_set(example.predicted) == labels
            assert not example.predicted.spans
    assert 60 < defined < 180 and 0 < with_none < 20 and 5 < dropped < 60


def test_the_stream_starts_again(folder):
    first, again = batches(folder, 40), batches(folder, 40)
    assert [[e.reference.text for e in batch] for batch in first] == [
        [e.reference.text for e in batch] for batch in again
    ]
    other = batches(folder, 40, seed=1)
    assert [b[0].reference.text for b in other] != [b[0].reference.text for b in first]


def test_passages_come_once_before_any_comes_again(folder):
    corpus = MixtureCorpus(folder, {"second": 0}, words=30)
    texts = [e.reference.text for e in islice(corpus(spacy.blank("xx")), 40)]
    assert len(set(texts[:20])) == len(set(texts[20:])) == 20


def test_weights(folder):
    found = batches(folder, 100, weights={"first": 1, "second": 3})
    genes = sum(batch[0].reference.text.startswith("gene") for batch in found)
    assert 55 < genes < 95
    found = batches(folder, 20, weights={"first": 0})
    assert all(batch[0].reference.text.startswith("gene") for batch in found)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"weights": {"third": 1}}, "G593.*third.*first"),
        ({"weights": {"first": -1}}, "G594.*first.*-1"),
        ({"weights": {"first": float("nan")}}, "G594"),
        ({"weights": {"first": float("inf")}}, "G594"),
        ({"weights": {"first": 0, "second": 0}}, "G591"),
        ({"words": 0}, "G592"),
        ({"names": "missing.json"}, "G590.*missing.json"),
    ],
)
def test_settings_that_are_invalid(folder, settings, code):
    with pytest.raises(ValueError, match=code):
        make_mixture_corpus(str(folder), **settings)


def test_folders_that_hold_no_corpora(tmp_path):
    with pytest.raises(ValueError, match="G505"):
        make_mixture_corpus(None)
    for make in (make_mixture_corpus, make_held_out_corpus):
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(ValueError, match="G591"):
                make(str(path))


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("labels.json", "[1]", ""),
        ("labels.json", "{}", "no label"),
        ("labels.json", '{"A": {"definition": "x"}}', "name"),
        ("labels.json", '{"A": {"name": ""}}', "name ''"),
        ("labels.json", '{"A": {"name": null}}', "text None"),
        ("labels.json", '{"A": {"name": "a|b"}}', "name 'a|b'"),
        ("labels.json", '{"A": {"name": "a", "definition": "b\\nc"}}', "b.*c"),
        ("labels.json", '{"A": {"name": "\\ud800"}}', "ud800"),
        ("labels.json", '{"A": {"name": "a"}, "A": {"name": "b"}}', "'A' occurs"),
        ("train.jsonl", "", "no passage"),
        ("train.jsonl", '{"text": null, "spans": []}\n', "line 1.*None"),
        ("train.jsonl", '{"text": "\\ud800", "spans": []}\n', "line 1.*ud800"),
        (
            "train.jsonl",
            '{"text": "ab", "spans": [{"start": 0.5, "end": 1, "label": "PRS"}]}\n',
            "line 1.*float",
        ),
        ("train.jsonl", '{"text": "a"}\n', "line 1.*spans"),
        ("train.jsonl", "not json\n", ""),
        (
            "train.jsonl",
            '{"text": "a", "spans": [{"start": 0, "end": 5, "label": "PRS"}]}\n',
            "outside the text",
        ),
        (
            "train.jsonl",
            '{"text": "a", "spans": [{"start": 0, "end": 1, "label": "NO"}]}\n',
            "lacks the label 'NO'",
        ),
    ],
)
def test_damaged_corpora(folder, file, content, reason):
    (folder / "first" / file).write_text(content, encoding="utf-8")
    corpus = make_mixture_corpus(str(folder), {"second": 0})
    with pytest.raises(ValueError, match=f"G590.*{file}.*{reason}"):
        next(iter(corpus(spacy.blank("xx"))))


def test_passages_whose_spans_fit_no_token_are_left_out(tmp_path):
    odd = {"text": "aOslo", "spans": [{"start": 1, "end": 5, "label": "LOC"}]}
    write_corpus(tmp_path / "first", [odd, passage(1)])
    read = make_held_out_corpus(str(tmp_path))
    assert [e.reference.text for e in read(spacy.blank("xx"))] == [passage(1)["text"]]


def test_held_out_corpora(folder):
    nlp = spacy.blank("xx")
    read = make_held_out_corpus(str(folder), ["first"], limit=3)
    examples = list(read(nlp))
    assert len(examples) == 3
    for example in examples:
        assert get_label_set(example.predicted) == tuple(
            (each["name"], each["definition"]) for each in LABELS.values()
        )
        assert len(example.reference.spans["sc"]) == 3
    plain = list(make_held_out_corpus(str(folder), definitions=False)(nlp))
    assert len(plain) == 25
    assert all(not text for _, text in get_label_set(plain[-1].reference))
    with pytest.raises(ValueError, match="G593"):
        make_held_out_corpus(str(folder), ["third"])


def test_choices_of_labels():
    generator = random.Random(0)
    labels = [f"L{n}" for n in range(50)]
    counts = {"L0": 5, "L1": 2}
    sizes, without = set(), 0
    for _ in range(500):
        chosen = choose_labels(labels, counts, generator)
        assert 1 <= len(chosen) == len(set(chosen)) <= MAX_LABELS
        sizes.add(len(chosen))
        without += not {"L0", "L1"} & set(chosen)
    # Most labels of a group occur in it, and few groups have none that does.
    assert len(sizes) > 4 and max(sizes) <= 8 and 0 < without < 30
    counts = {label: 1 for label in labels}
    assert max(len(choose_labels(labels, counts, generator)) for _ in range(50)) == 30
    # All labels occur: some are always left.
    assert choose_labels(["A"], {"A": 1}, generator) == ["A"]
    assert choose_labels(["A", "B"], {}, generator)


def test_names_are_unique_and_can_be_written():
    labels = {
        "A": LabelName("thing", "A thing."),
        "B": LabelName("thing", "Another."),
        "C|x": LabelName("c", "C."),
    }
    for seed in range(50):
        names = name_labels(labels, random.Random(seed))
        found = [each.name for each in names.values()]
        assert len(set(found)) == 3
        assert not any(char in name for name in found for char in "[]|\n")


def test_alternative_names(folder):
    content = {
        "first": {
            "PRS": {"names": ["human being"], "definitions": ["Somebody's name."]},
            "DAT": {"names": ["day"]},
        }
    }
    path = folder / "names.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    found = set()
    for batch in batches(folder, weights={"second": 0}, names=str(path)):
        labels = get_label_set(batch[0].reference)
        found.update((label.lower(), text) for label, text in labels)
        for example in batch:
            spans = example.reference.spans["sc"]
            assert {span.label_ for span in spans} <= {label for label, _ in labels}
    names = {name for name, _ in found}
    assert {"human being", "human_being", "person", "day", "date", "location"} <= names
    assert {"Somebody's name.", "somebody's name"} & {text for _, text in found}


def test_a_corpus_without_an_example_is_an_error(tmp_path):
    """Otherwise the stream would look for an example without end."""
    odd = {"text": "aOslo", "spans": [{"start": 1, "end": 5, "label": "LOC"}]}
    write_corpus(tmp_path / "first", [odd])
    labels = {"LOC": LABELS["LOC"]}
    (tmp_path / "first" / "labels.json").write_text(json.dumps(labels))
    corpus = make_mixture_corpus(str(tmp_path), words=1)
    with pytest.raises(ValueError, match="G590.*first.*no passage"):
        next(iter(corpus(spacy.blank("xx"))))


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        '{"first": {"PRS": {"names": 3}}}',
        # Each character would be a name.
        '{"first": {"PRS": {"names": "human"}}}',
        '{"first": {"PRS": {"names": [1]}}}',
        '{"first": {"PRS": {"names": [""]}}}',
        '{"first": {"PRS": {"name": ["human"]}}}',
    ],
)
def test_damaged_alternative_names(folder, content):
    path = folder / "names.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"G590.*names\.json"):
        make_mixture_corpus(str(folder), names=str(path))


def test_most_passages_without_a_span_are_left_out(tmp_path):
    plain = {"text": "Nothing to see", "spans": []}
    write_corpus(tmp_path / "first", [passage(n) for n in range(20)] + [plain] * 20)
    found = [e for batch in batches(tmp_path, 100) for e in batch]
    empty = sum(e.reference.text == plain["text"] for e in found)
    assert 0.15 < empty / len(found) < 0.35
