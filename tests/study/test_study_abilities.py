"""General abilities: test data, scores of answers, and the four models."""

import importlib.util
import json
import sys
from types import SimpleNamespace

import pytest
import torch
from study_cases import make_plain

from spacy_genner.corpora.docbin import load_docs
from spacy_genner.pipeline.loading import find_component, load_pipeline
from spacy_genner.study import abilities
from spacy_genner.study.abilities import (
    LOCAL,
    ROWS,
    SUMMARY,
    AbilitiesStudy,
    answer_task,
    require,
    summarize,
    switched_off,
)
from spacy_genner.study.answers import (
    extraction_scores,
    mean_interval,
    number_score,
)
from spacy_genner.study.general_data import (
    read_extractive,
    read_gsm8k,
    read_mmlu_redux,
    read_piqa,
    sample,
)
from spacy_genner.study.stages import Stages

HARNESS = importlib.util.find_spec("lm_eval") is not None
needs_harness = pytest.mark.skipif(
    not HARNESS, reason="lm_eval is not installed (make test-study)"
)
COLUMNS = "question,choices,answer,error_type,source\n"


class Killed(Exception):
    """Simulates a process that is killed."""


def write_data(folder):
    """Write test data as their publishers do."""
    gsm8k, piqa, redux = (folder / name for name in ("gsm8k", "piqa", "mmlu_redux"))
    for each in (gsm8k, piqa, redux):
        each.mkdir(parents=True)
    rows = [
        {"question": f"Two and {n}?", "answer": f"2+{n} = {n + 2}\n#### {n + 2}"}
        for n in range(9)
    ]
    (gsm8k / "test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    rows = [{"goal": f"go {n}", "sol1": "walk", "sol2": "fly"} for n in range(4)]
    (piqa / "valid.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (piqa / "valid-labels.lst").write_text("0\n1\n1\n0\n")
    choices = "\"['a', 'b', 'c', 'd']\""
    (redux / "mmlu_one.csv").write_text(
        f'{COLUMNS}"Is it, or\nnot?",{choices},3,OK,\nBad?,{choices},1,Expert,\n'
        f"Other?,{choices},0,ok ,\nNothing,,,,\n"
    )
    (redux / "mmlu_two_words.csv").write_bytes(
        f"{COLUMNS}My sister’s?,{choices},2,Ok,\n".replace(",", ";")
        .replace("'; '", "', '")
        .encode("mac_roman")
    )
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("general"))


def test_mmlu_redux_has_two_delimiters_two_encodings_and_errors(data):
    rows = read_mmlu_redux(data)
    assert [(row["question"], row["answer"], row["subject"]) for row in rows] == [
        ("Is it, or\nnot?", 3, "one"),
        ("Other?", 0, "one"),
        ("My sister’s?", 2, "two words"),
    ]
    assert all(row["choices"] == ["a", "b", "c", "d"] for row in rows)


def test_gsm8k_and_piqa(data):
    assert len(read_gsm8k(data)) == 9
    assert [row["label"] for row in read_piqa(data)] == [0, 1, 1, 0]


@pytest.mark.parametrize(
    "name, content, reader, reason",
    [
        ("piqa/valid-labels.lst", "0\n", read_piqa, "1 labels"),
        ("piqa/valid-labels.lst", "0\n1\n1\n2\n", read_piqa, "each 0 or 1"),
        ("piqa/valid.jsonl", '{"goal": 1}\n' * 4, read_piqa, "'goal' is '1'"),
        ("gsm8k/test.jsonl", '{"question": "?"}\n', read_gsm8k, "'answer'"),
        (
            "mmlu_redux/mmlu_one.csv",
            f"{COLUMNS}Q,\"['a', 'b']\",0,ok,\n",
            read_mmlu_redux,
            "question 1.*2 choices",
        ),
        (
            "mmlu_redux/mmlu_one.csv",
            f'{COLUMNS}Q,"open(""x"")",0,ok,\n',
            read_mmlu_redux,
            "question 1.*malformed",
        ),
    ],
)
def test_damaged_data_are_refused(tmp_path, name, content, reader, reason):
    write_data(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"(?s)G945.*{reason}"):
        reader(tmp_path)


def test_missing_data_are_refused(tmp_path):
    for reader in (read_gsm8k, read_piqa, read_mmlu_redux):
        with pytest.raises(ValueError, match="G945.*does not exist"):
            reader(tmp_path)
    (tmp_path / "mmlu_redux").mkdir()
    with pytest.raises(ValueError, match="mmlu_SUBJECT"):
        read_mmlu_redux(tmp_path)


def test_extractive_questions_are_answered_in_their_passage():
    rows = read_extractive()
    assert len(rows) == 40
    assert len({row["question"] + row["passage"] for row in rows}) == 40
    for row in rows:
        assert row["answers"][0] in row["passage"]
        assert extraction_scores(row["answers"][0], row["answers"])["em"] == 1


def test_sample():
    rows = [{"n": n} for n in range(20)]
    test, shown = sample(rows, 5, seed=0, examples=3)
    assert (test, shown) == sample(rows, 5, seed=0, examples=3)
    assert test != sample(rows, 5, seed=1, examples=3)[0]
    numbers = [row["n"] for row in test]
    assert numbers == sorted(numbers) and len(numbers) == 5 and len(shown) == 3
    assert not any(row in shown for row in test)
    every, shown = sample(rows, 0, seed=0, examples=3)
    assert len(every) == 17 and not any(row in shown for row in every)


def test_a_terse_answer_scores_more_unless_answers_are_cut():
    long = extraction_scores("The lamp is red, as all of them are", ["red"])
    right = extraction_scores("Red lamp of the town", ["a red lamp", "red"])
    terse = extraction_scores("red.", ["red"])
    assert terse == {"f1": 1.0, "f1_cut": 1.0, "em": 1.0, "contains": 1.0}
    assert long["f1"] < 0.3 and long["contains"] == 1.0 and long["f1_cut"] == 0.0
    assert right["f1"] < 1.0 and right["f1_cut"] == 1.0 and right["em"] == 0.0
    nothing = extraction_scores("", ["red"])
    assert nothing == {"f1": 0.0, "f1_cut": 0.0, "em": 0.0, "contains": 0.0}


def test_last_number():
    assert number_score("It is 1,200 or 1,250.", "#### 1250") == 1
    assert number_score("It is 1,200.5", "#### 1200") == 0
    assert number_score("none", "#### 3") == 0
    assert number_score("-3", "#### 3") == 0


def test_interval_of_a_mean():
    low, high = mean_interval([0.0, 1.0] * 50)
    assert 0.39 < low < 0.42 and 0.58 < high < 0.61
    assert mean_interval([1.0]) == (1.0, 1.0)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(abilities, "util", SimpleNamespace(find_spec=lambda name: None))
    with pytest.raises(ValueError, match=r"G947.*lm_eval.*spacy-genner\[study\]"):
        require("lm_eval")


@pytest.fixture(scope="module")
def files(tiny_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return make_plain(folder, tiny_base("gemma3", "metaspace"))


@torch.inference_mode()
def test_an_adapter_that_is_switched_off_equals_the_base(files):
    lm = find_component(load_pipeline(str(files["plain"])), "plain").lm
    ids = lm.tokenizer(
        ["Maria lives in Porto.", "It rains, and the city is old."],
        return_tensors="pt",
        padding=True,
        add_special_tokens=False,
    )
    base, off = lm.base.model, switched_off(lm)
    expected = base(**ids).logits
    assert torch.equal(off(**ids).logits, expected)
    # The adapter itself has an effect.
    assert not torch.allclose(lm.decoding_network()(**ids).logits, expected)
    settings = {"max_new_tokens": 12, "do_sample": False}
    written = base.generate(**ids, **settings)
    assert torch.equal(off.generate(**ids, **settings), written)


def make_study(files, data, folder, **changes):
    given = {
        "ner": files["plain"],
        "train": files["train"],
        "data": data,
        "stages": Stages(folder / "metrics", folder / "training"),
        "corpus": folder / "corpus",
        "limit": 2,
        # Four questions of ten words are a batch.
        "batch_size": 4,
    }
    return AbilitiesStudy(**{**given, **changes})


def test_unknown_tasks_and_missing_data_are_refused(files, data, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="G950.*'math'.*piqa"):
        make_study(files, data, tmp_path, tasks=["piqa", "math"]).run()
    monkeypatch.setitem(sys.modules, "lm_eval", SimpleNamespace())
    monkeypatch.setattr(abilities, "require", lambda name: None)
    with pytest.raises(ValueError, match="G945.*piqa.*data_dir"):
        make_study(files, tmp_path, tmp_path, tasks=["piqa"]).run()


@needs_harness
def test_all_models_answer_all_tasks(files, data, tmp_path, monkeypatch):
    # The run is killed between two tasks, and goes on.
    calls = []

    def counting(*args):
        calls.append(args[2].name)
        if len(calls) == 3:
            raise Killed
        return answer_task(*args)

    monkeypatch.setattr(abilities, "answer_task", counting)
    with pytest.raises(Killed):
        make_study(files, data, tmp_path).run()
    summary = make_study(files, data, tmp_path).run()
    assert len(calls) == len(ROWS) * len(LOCAL) + 1
    assert set(summary["scores"]) == set(LOCAL)
    for task, rows in summary["scores"].items():
        assert tuple(rows) == ROWS
        for each in rows.values():
            assert each["questions"] == 2
            assert 0 <= each["low"] <= each["score"] <= each["high"] <= 1
            assert each["words"] >= 0
        assert ("f1_cut" in rows["base"]) == (task == "extractive")
    assert all(summary["off_equals_base"].values())
    read = (
        json.loads((tmp_path / "metrics" / SUMMARY / f"{row}-piqa.json").read_text())
        for row in ("base", "ner", "copy")
    )
    base, ner, copy = (found["samples"] for found in read)
    assert base != ner != copy != base
    for each in base:
        best = max(range(2), key=each["logits"].__getitem__)
        assert each["answer"] == ("walk", "fly")[best]
    # The control saw the same texts, without spans.
    control = load_pipeline(str(tmp_path / "training" / "copy" / "model-last"))
    docs = list(load_docs(tmp_path / "corpus" / "copy.spacy", control.vocab))
    plain = list(load_docs(files["train"], control.vocab))
    assert [doc.text for doc in docs] == [doc.text for doc in plain]
    assert not any(doc.spans["sc"] for doc in docs)
    ner_nlp = load_pipeline(str(files["plain"]))
    assert control.config["training"] == ner_nlp.config["training"]


@needs_harness
def test_a_task_of_the_hub_needs_a_network(files, data, tmp_path, monkeypatch):
    lm = find_component(load_pipeline(str(files["plain"])), "plain").lm
    settings = {"folder": str(data), "limit": 1, "seed": 0}
    info = abilities.HUB["hellaswag"]
    with pytest.raises(ValueError, match="G946.*hellaswag.*gsm8k_local"):
        answer_task(lm.base.model, lm.tokenizer, info, settings, 1)


def test_summary_of_answers():
    answers = [{"score": 1.0, "words": 2}, {"score": 0.0, "words": 5}]
    found = summarize(answers, 100, 0)
    assert found["score"] == 0.5 and found["words"] == 3.5
    assert (found["low"], found["high"]) == (0.0, 1.0)
