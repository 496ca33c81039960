"""The plan, the table and the plots of a sweep."""

import json
import re
import subprocess

import pytest

from spacy_genner.evaluation.sweep import (
    PAGE,
    RESULTS,
    TABLE,
    Sweep,
    SweepRun,
    check_overrides,
    file_checksums,
    format_recipes,
    git_state,
    group_rows,
    read_sweep,
    short_names,
    sweep_plots,
    write_results,
)

RATE = "training.optimizer.learn_rate.initial_rate"
RANK = "components.generative_ner.model.lora.rank"


def row(overrides, seed, f, **more):
    dev = {"f": f, "p": f, "r": f, "interval": [f - 0.1, f + 0.1], "labels": {"A": f}}
    dev |= {"nested_f": f / 2, "nested_r": f / 2, "nested_gold": 3, "ece": 0.05}
    dev |= {"tokens_per_second": 1234.5, "documents": 2, "failed": 0}
    run = SweepRun(overrides, seed)
    facts = {"run": run.name, "overrides": overrides, "seed": seed, "minutes": 2.0}
    return {**facts, "dev": dev, **more}


def test_every_combination_is_a_run():
    plan = Sweep(
        {RATE: [1, 2], RANK: [8, 16]}, [{"a.b": 1}, {"a.b": 2, "a.c": 3}], [4, 5]
    )
    assert len(plan.recipes) == 8
    assert plan.recipes[1] == {"a.b": 2, "a.c": 3, RATE: 1, RANK: 8}
    # All recipes with one seed come before the next seed.
    assert [run.seed for run in plan.runs] == [4] * 8 + [5] * 8
    assert len({run.name for run in plan.runs}) == 16
    assert all(re.fullmatch(r"[\w.=+-]+", run.name) for run in plan.runs)
    # The grid has the last word, and equal recipes are one.
    assert Sweep({RATE: [1, 1]}, [{RATE: 3}], []).recipes == [{RATE: 1}]
    assert Sweep({}, [], [1]).runs == [SweepRun({}, 1)]
    one, other = SweepRun({"a.b": "1"}, None), SweepRun({"a.b": 1}, None)
    assert one.name != other.name and one.name.startswith("b=1-")


def test_a_sweep_is_read_from_json_and_from_a_config(tmp_path):
    plan = {"grid": {RATE: [1e-4, 1e-3], RANK: [8]}, "seeds": [0, 1]}
    (tmp_path / "a.json").write_text(json.dumps(plan))
    (tmp_path / "a.cfg").write_text(
        f"[sweep]\nseeds = [0, 1]\n\n[grid]\n{RATE} = [1e-4, 1e-3]\n{RANK} = [8]\n"
    )
    found = [read_sweep(tmp_path / f"a.{ending}") for ending in ("json", "cfg")]
    assert found[0] == found[1] == Sweep(plan["grid"], [], [0, 1])


@pytest.mark.parametrize(
    "content, error",
    [
        ("[1", "G920"),
        ("[1]", "G920.*found"),
        ("{}", "G920.*varies nothing"),
        ('{"gird": {}}', "G920.*gird"),
        ('{"grid": {"a.b": 1}}', r"G921.*'a.b' is 1"),
        ('{"grid": {"a.b": []}}', "G921.*'a.b'"),
        ('{"grid": [1]}', "G921.*'grid'"),
        ('{"cases": [1]}', "G921.*'cases'"),
        ('{"seeds": [true]}', "G921.*'seeds'"),
        ('{"seeds": "0"}', "G921.*'seeds'"),
        ('{"grid": {"dropout": [1]}}', "G922.*'dropout'"),
        ('{"cases": [{"training.seed": 1}]}', "G922.*'training.seed'"),
        ('{"grid": {"a..b": [1]}}', r"G922.*'a\.\.b'"),
        ('{"seeds": [-1]}', "G921.*'seeds'"),
        ('{"seeds": [4294967296]}', "G921.*'seeds'"),
        # One of the values would have no effect.
        ('{"grid": {"a.b": [1], "a.b": [2]}}', "G920.*'a.b' occurs twice"),
        ('{"grid": {"a.b": [1]}, "cases": [{"a.b": 2}]}', "G993.*'a.b'"),
        ('{"grid": {"a.b": [1], "a.b.c": [2]}}', "G993.*'a.b.c'"),
        ('{"cases": [{"a.b.c": 1, "a.b": {"c": 2}}]}', "G993.*'a.b.c'"),
    ],
)
def test_a_sweep_that_cannot_be_read_is_an_error(tmp_path, content, error):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{error}"):
        read_sweep(path)
    (tmp_path / "bad.cfg").write_text("[other]\nx = 1\n")
    with pytest.raises(ValueError, match=r"G920.*other"):
        read_sweep(tmp_path / "bad.cfg")
    (tmp_path / "worse.cfg").write_text("no section")
    with pytest.raises(ValueError, match=r"G920.*worse.cfg"):
        read_sweep(tmp_path / "worse.cfg")


def test_overrides_of_the_command_need_an_effect(tmp_path):
    plan = Sweep({RATE: [1, 2]}, [{"training.dropout": 0.1}], [0])
    check_overrides(plan, ["paths.train", "training.dropouts"], tmp_path)
    for key in (RATE, "training.dropout", "training.optimizer", "training.seed"):
        with pytest.raises(ValueError, match=rf"G993.*'{key}'"):
            check_overrides(plan, [key], tmp_path)
    check_overrides(Sweep({RATE: [1]}, [], []), ["training.seed"], tmp_path)


def test_recipes_are_ordered_by_their_mean_on_dev():
    one, two, three = {RATE: 1e-3}, {RATE: 1e-4}, {RATE: "a|b"}
    rows = [row(one, 0, 0.5), row(two, 0, 0.9), row(one, 1, 0.7), row(two, 1, 0.2)]
    failed = {"run": "x", "overrides": three, "seed": 0, "error": "out of memory"}
    test = {**row(three, 0, 0.4), "test": {"f": 0.99, "nested_f": 0.0}}
    recipes = group_rows([*rows, failed, test])
    assert [recipe.overrides for recipe in recipes] == [one, two, three]
    assert format_recipes(recipes[:2]).splitlines() == [
        "| `initial_rate` | runs | dev F1 | nested F1 | ECE | tokens/s | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| `0.001` | 2 | 60.0 ± 14.1 | 30.0 | 0.050 | 1,234 | 2.0 |",
        "| `0.0001` | 2 | 55.0 ± 49.5 | 27.5 | 0.050 | 1,234 | 2.0 |",
    ]
    table = format_recipes(recipes)
    assert table.splitlines()[0].endswith("| test F1 | test nested F1 | test ECE |")
    assert table.splitlines()[-1].startswith("| `a\\|b` | 1 | 40.0 |")
    assert "| 99.0 |  |  |" in table


def test_the_results_of_a_sweep_are_written(tmp_path):
    rows = [
        row({RATE: rate, RANK: rank}, seed, 0.5 + rate * 10 + rank / 1000)
        for rate in (1e-4, 1e-3, 1e-2)
        for rank in (8, 16)
        for seed in (0, 1)
    ]
    rows.append(row({RATE: 1e-2, RANK: "<b>"}, 0, 0.1))
    write_results(tmp_path, rows)
    lines = (tmp_path / RESULTS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert (tmp_path / TABLE).read_text().count("\n") == 9
    page = (tmp_path / PAGE).read_text()
    assert page.count("<svg") == 4
    assert "<b>" not in page and "&lt;b&gt;" in page
    assert "log10 of initial_rate" in page
    assert "http" not in page.replace("http-equiv", "")
    plots = sweep_plots(group_rows(rows))
    assert [title for title, _ in plots] == ["Recipes", "Time", "initial_rate", "rank"]
    # A single run has the interval of its evaluation, and one place is enough.
    [(_, svg)] = sweep_plots(group_rows([{**rows[0], "minutes": None}]))
    assert "(42.90 to 62.90)" in svg or "(40.90 to 60.90)" in svg
    assert len(sweep_plots(group_rows(rows[:1]))) == 2


def test_names_are_as_short_as_they_can_be():
    assert short_names([RATE, RANK]) == ["initial_rate", "rank"]
    assert short_names(["a.x.rank", "a.y.rank"]) == ["x.rank", "y.rank"]
    assert short_names([]) == []


def test_checksums_are_those_of_the_files(tmp_path):
    (tmp_path / "a.spacy").write_bytes(b"a")
    folder = tmp_path / "many"
    folder.mkdir()
    (folder / "b.spacy").write_bytes(b"b")
    corpora = {
        "train": {"path": str(tmp_path / "a.spacy")},
        "dev": {"parts": {"one": {"path": str(folder)}}, "path": None},
        "other": {"path": str(tmp_path / "gone.spacy")},
    }
    before = file_checksums({"corpora": corpora})
    assert set(before) == {str(tmp_path / "a.spacy"), str(folder)}
    (folder / "b.spacy").write_bytes(b"c")
    after = file_checksums({"corpora": corpora})
    assert [before[key] == after[key] for key in sorted(before)] == [True, False]


def test_the_state_of_git(tmp_path, monkeypatch):
    folder = tmp_path / "project" / "configs"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)

    def git(*words):
        settings = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(folder.parent), *settings, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    assert git_state() is None
    git("commit", "-q", "--allow-empty", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert git_state() == {"commit": commit}
    git("pack-refs", "--all")
    assert git_state() == {"commit": commit}
    git("worktree", "add", "-q", "--detach", str(tmp_path / "other"))
    git("commit", "-q", "--allow-empty", "-m", "two")
    assert git_state() == {"commit": git("rev-parse", "HEAD")} != {"commit": commit}
    monkeypatch.chdir(tmp_path / "other")
    assert git_state() == {"commit": commit}
