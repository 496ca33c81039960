"""The baseline GLiNER: the same sentences and the same scores as the others."""

import json
import random
import sys

import pytest
import spacy
from training_cases import write_corpus

from spacy_genner.corpora.corpus import make_corpus
from spacy_genner.corpora.tokenizer import make_fine_tokenizer

SENTENCES = [
    (f"The University of {city} is old .", [(1, 4, "ORG"), (3, 4, "GPE_city")])
    for city in ("Lisbon", "Porto", "Vigo", "Oslo", "Turin")
]


@pytest.fixture
def gliner(import_benchmark):
    return import_benchmark("gliner_baseline")


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "data.spacy", SENTENCES)


def run_main(gliner, monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["gliner_baseline.py", *map(str, args)])
    gliner.main()


@pytest.mark.parametrize("limit, seed", [(0, 0), (3, 0), (3, 1), (99, 2)])
def test_the_sample_is_that_of_the_other_baselines(gliner, corpus, limit, seed):
    nlp = spacy.blank("en")
    nlp.tokenizer = make_fine_tokenizer()(nlp)
    expected = make_corpus(str(corpus), limit=limit, seed=seed)(nlp)
    docs = gliner.read_docs(corpus, limit, seed, nlp.vocab)
    assert [doc.text for doc in docs] == [each.reference.text for each in expected]


def test_examples_have_words_and_natural_labels(gliner, corpus):
    [doc] = gliner.read_docs(corpus, 0, 0, spacy.blank("en").vocab)[:1]
    names = ["GPE city", "ORG"]
    assert gliner.to_example(doc, "sc", names) == {
        "tokenized_text": doc.text.split(),
        "ner": [(1, 3, "ORG"), (3, 3, "GPE city")],
        "ner_labels": names,
    }


def test_width(gliner):
    rows = [{"ner": [(2, 2, "A")] * 98 + [(2, 4, "A"), (0, 8, "A")]}]
    assert [gliner.covering_width(rows, share) for share in (0.9, 0.99, 1.0)] == [
        *(1, 3, 9)
    ]
    assert gliner.covering_width([{"ner": []}], 0.99) == 1


def test_batches_hold_each_example_once_by_length(gliner):
    examples = [{"tokenized_text": ["w"] * (number % 7 + 1)} for number in range(20)]
    found = list(gliner.batches(examples, 4, random.Random(0)))
    assert sorted(id(row) for batch in found for row in batch) == sorted(
        map(id, examples)
    )
    assert all(
        len(batch[-1]["tokenized_text"]) - len(batch[0]["tokenized_text"]) <= 2
        for batch in found
    )


def write_predictions(path, rows):
    content = {"labels": ["GPE_city", "ORG"], "run": {"seed": 0}, "documents": rows}
    path.write_text(json.dumps(content), encoding="utf8")
    return path


def test_scores(gliner, corpus, tmp_path, monkeypatch):
    docs = gliner.read_docs(corpus, 0, 0, spacy.blank("en").vocab)
    rows = []
    for number, doc in enumerate(docs):
        gold = [
            [span.start_char, span.end_char, span.label_, 0.9]
            for span in doc.spans["sc"]
        ]
        # One document has a wrong label, and one lacks its nested span.
        if number == 0:
            gold[0][2] = "GPE_city"
        elif number == 1:
            gold.pop()
        rows.append({"text": doc.text, "spans": gold})
    predictions = write_predictions(tmp_path / "predictions.json", rows)
    output = tmp_path / "metrics" / "gliner.json"
    run_main(gliner, monkeypatch, "score", predictions, corpus, "--output", output)
    result = json.loads(output.read_text(encoding="utf8"))
    assert (result["gold"], result["predicted"]) == (10, 9)
    assert result["micro_p"] == pytest.approx(8 / 9)
    assert result["micro_r"] == pytest.approx(0.8)
    assert result["nested_r"] == pytest.approx(0.8)
    assert result["run"] == {"seed": 0}
    assert output.with_suffix(".spans.jsonl").is_file()
    spans = [row["spans"] for row in rows]
    assert gliner.micro_f(docs, "sc", spans) == pytest.approx(result["micro_f"])


def test_predictions_of_another_corpus_are_refused(
    gliner, corpus, tmp_path, monkeypatch
):
    rows = [{"text": "Another sentence .", "spans": []}]
    predictions = write_predictions(tmp_path / "predictions.json", rows)
    args = ("score", predictions, corpus, "--output", tmp_path / "scores.json")
    with pytest.raises(SystemExit, match="lacks 5 documents"):
        run_main(gliner, monkeypatch, *args)
    assert not (tmp_path / "scores.json").exists()


def test_without_gliner_the_remedy_is_named(gliner, monkeypatch):
    monkeypatch.setitem(sys.modules, "gliner", None)
    with pytest.raises(SystemExit, match="pip install gliner"):
        gliner.make_model("encoder", 3)


def test_train_and_predict(gliner, corpus, tmp_path, tiny_bert, monkeypatch):
    pytest.importorskip("gliner", reason="needs an environment with gliner")
    output = tmp_path / "predictions.json"
    args = ("predict", corpus, corpus, corpus, output, "--encoder", tiny_bert)
    run_main(gliner, monkeypatch, *args, "--epochs", 1, "--batch", 2)
    found = json.loads(output.read_text(encoding="utf8"))
    assert found["labels"] == ["GPE_city", "ORG"]
    assert [row["text"] for row in found["documents"]] == [
        text for text, _ in SENTENCES
    ]
    run = found["run"]
    assert (run["steps"], run["train_documents"], run["max_width"]) == (3, 5, 3)
    assert run["parameters"] > 0 and run["train_minutes"] > 0
    assert str(run["threshold"]) in run["dev_f"]
