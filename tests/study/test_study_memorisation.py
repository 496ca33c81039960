"""Memorisation: trainings with other labels, and a tuned adapter asked otherwise."""

import json
import shutil

import pytest
import spacy
from study_cases import DEFINITIONS, make_plain, settings, write_config

from spacy_genner.corpora.docbin import load_docs
from spacy_genner.corpora.label_sets import get_label_set
from spacy_genner.evaluation.breakdowns import Mentions
from spacy_genner.evaluation.records import Annotation, read_annotations
from spacy_genner.formats import CharSpan
from spacy_genner.study import memorisation, stages
from spacy_genner.study.label_changes import exchanged
from spacy_genner.study.memorisation import (
    RUNS,
    SUMMARY,
    TRAININGS,
    MemorisationStudy,
    habit_scores,
    recall_by_kind,
)
from spacy_genner.study.stages import Stages


class Killed(Exception):
    """Simulates a process that is killed."""


@pytest.fixture(scope="module")
def files(tiny_base, tmp_path_factory):
    return make_plain(tmp_path_factory.mktemp("plain"), tiny_base("llama"))


def make_study(files, folder, lines=None, **changes):
    given = {key: files[key] for key in ("plain", "train", "test", "held_out")}
    notify = (lambda line: None) if lines is None else lines.append
    kept = Stages(folder / "metrics", folder / "training", notify=notify)
    given |= {"stages": kept, "corpus": folder / "corpus", "name": "tiny"}
    return MemorisationStudy(**{**given, **changes})


def without_times(value):
    if isinstance(value, dict):
        # The identities have the paths of the folders.
        times = ("seconds", "run", "training", "stage", "name")
        return {k: without_times(v) for k, v in value.items() if k not in times}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): without_times(json.loads(path.read_text()))
        for path in sorted(folder.rglob("*.json"))
    }


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("study"), []
    return folder, make_study(files, folder, lines).run(), lines


def test_every_run_has_scores_beside_the_plain_run(finished):
    folder, summary, lines = finished
    assert tuple(summary["runs"]) == RUNS
    assert len(lines) == len(RUNS) + len(TRAININGS) + 1
    assert lines[0] == f"Stage 1 of {len(lines)}: memorisation/plain"
    for name, row in summary["runs"].items():
        assert 0 <= row["low"] <= row["f"] <= row["high"] <= 1, name
        assert ("against_plain" in row) == (name != "plain")
        assert ("habit" in row) == name.endswith("exchanged")
    assert summary["train_documents"] == 6 and summary["test_documents"] == 3
    assert summary["replaced"] == {"swapped": 4, "random": 4, "masked": 0}
    assert summary["kept"] == {"swapped": 0, "random": 0, "masked": 0}
    kinds = summary["recall"]
    assert {kind: row["gold"] for kind, row in kinds.items()} == {
        "seen": 2,
        "other_label": 1,
        "unseen": 2,
    }


def test_trainings_have_the_settings_of_the_plain_run_and_other_labels(files, finished):
    folder, _, _ = finished
    plain = spacy.load(files["plain"])
    wanted = plain.config["training"]
    letters = {"A": "a firm", "B": "a city", "C": "a person"}
    labels = {
        "no_definitions": list(DEFINITIONS),
        "letters": letters,
        "letters_no_definitions": list(letters),
        "shuffled": DEFINITIONS,
    }
    for name in TRAININGS:
        nlp = spacy.load(folder / "training" / name / "model-last")
        assert nlp.config["training"] == wanted
        ner = nlp.get_pipe("generative_ner")
        assert ner.label_data == labels[name]
        assert ner.takes_any_labels == (name == "shuffled")
        docs = list(load_docs(folder / "corpus" / f"{name}.spacy", nlp.vocab))
        assert len(docs) == 6
        sets = {get_label_set(doc) for doc in docs}
        assert (None in sets) == (name != "shuffled")
        for doc in docs:
            own = dict(get_label_set(doc) or ()) or ner.labels
            assert {span.label_ for span in doc.spans["sc"]} <= set(own)
    assert len(sets) == 6


def test_predictions_have_the_labels_that_were_asked(finished):
    folder, _, _ = finished
    texts = {}
    for name in RUNS:
        path = folder / "metrics" / SUMMARY / f"{name}.spans.jsonl"
        rows = list(read_annotations(path))
        letters = name.startswith("letters") or name.endswith("renamed")
        legal = set("ABC") if letters else set(DEFINITIONS)
        assert {span.label for row in rows for span in row.gold} <= legal
        assert {span.label for row in rows for span in row.predicted} <= legal
        texts[name] = [row.text for row in rows]
    changed = {name for name, found in texts.items() if found != texts["plain"]}
    assert changed == {"swapped", "random", "masked"}


def test_a_second_run_computes_nothing(files, finished, monkeypatch):
    folder, summary, _ = finished

    def refuse(*args, **kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr(memorisation, "score_pipeline", refuse)
    monkeypatch.setattr(stages, "train", refuse)
    assert make_study(files, folder).run() == summary


def test_a_run_that_is_killed_ends_with_the_same_results(
    files, finished, tmp_path, monkeypatch
):
    """It is killed in an evaluation, after a training whose stage has not ended, and in
    one of the last evaluations."""
    calls = []

    def killing(function, after):
        def run(*args, **kwargs):
            calls.append(function)
            if len(calls) == limit and not after:
                raise Killed
            result = function(*args, **kwargs)
            if len(calls) == limit:
                raise Killed
            return result

        return run

    score = killing(memorisation.score_pipeline, False)
    monkeypatch.setattr(memorisation, "score_pipeline", score)
    monkeypatch.setattr(stages, "train", killing(stages.train, True))
    for limit in (1, 3, 20, 0):  # noqa: B007
        if not limit:
            break
        with pytest.raises(Killed):
            make_study(files, tmp_path).run()
    make_study(files, tmp_path).run()
    assert contents(tmp_path / "metrics") == contents(finished[0] / "metrics")


def test_results_of_other_settings_are_refused(files, finished, tmp_path):
    folder, _, _ = finished
    with pytest.raises(ValueError, match=r"G940.*\(seed\).*--fresh"):
        make_study(files, folder, seed=1).run()
    with pytest.raises(ValueError, match=r"G940.*corpora"):
        make_study(files, folder, held_out=files["train"]).run()
    damaged = tmp_path / "metrics" / SUMMARY / "plain.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("[1")
    with pytest.raises(ValueError, match="G941.*plain.json"):
        make_study(files, tmp_path).run()


def test_a_fresh_run_removes_its_results_alone(files, tmp_path):
    (tmp_path / "metrics" / SUMMARY).mkdir(parents=True)
    for name in ("plain.json", "plain.spans.jsonl", "mine.txt"):
        (tmp_path / "metrics" / SUMMARY / name).write_text("{}")
    (tmp_path / "training" / "letters").mkdir(parents=True)
    make_study(files, tmp_path).clear()
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["mine.txt"]
    assert not list((tmp_path / "training").iterdir())


def test_labels_without_definitions_are_refused(files, tmp_path, tiny_base):
    config = write_config(tmp_path, tiny_base("llama"))
    (tmp_path / "labels.json").write_text('["ORG", "GPE", "PER"]')
    run = settings(files["train"], training__max_steps=1)
    stages.train_pipeline(config, run, tmp_path / "bare")
    with pytest.raises(ValueError, match="G944.*'ORG', 'GPE', 'PER'"):
        make_study(files, tmp_path, plain=tmp_path / "bare" / "model-last").run()


def test_a_config_without_a_labels_file_is_refused(files, tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(files["plain"], plain)
    text = (plain / "config.cfg").read_text("utf8")
    block = text.index("[initialize.components.generative_ner.labels]")
    (plain / "config.cfg").write_text(text[:block], "utf8")
    with pytest.raises(ValueError, match="G952.*generative_ner.labels.path"):
        make_study(files, tmp_path, plain=plain).run()


def annotation(gold, predicted, text="abcdef"):
    return Annotation(text, gold, predicted, [1.0] * len(predicted), "ok")


def test_habit_is_scored_by_the_usual_meaning():
    names, _ = exchanged(DEFINITIONS)
    plain_names = {other: label for label, other in names.items()}
    gold = [CharSpan(0, 1, names["ORG"]), CharSpan(2, 3, names["PER"])]
    usual = [CharSpan(0, 1, "ORG"), CharSpan(2, 3, "PER")]
    rows = [annotation(gold, usual)]
    assert habit_scores(rows, plain_names, 0)["f"] == 1.0
    assert habit_scores([annotation(gold, gold)], plain_names, 0)["f"] == 0.0


def test_recall_of_seen_and_unseen_mentions():
    mentions = Mentions([("a", "ORG"), ("c", "GPE")])
    gold = [CharSpan(0, 1, "ORG"), CharSpan(2, 3, "ORG"), CharSpan(4, 5, "ORG")]
    rows = [annotation(gold, gold[:2]), annotation(gold[2:], gold)]
    found = recall_by_kind(rows, mentions, 0)
    assert {kind: (row["gold"], row["correct"]) for kind, row in found.items()} == {
        "seen": (1, 1),
        "other_label": (1, 1),
        "unseen": (2, 1),
    }
    assert found["unseen"]["r"] == 0.5
    assert found["seen"]["low"] <= found["seen"]["r"] <= found["seen"]["high"]
