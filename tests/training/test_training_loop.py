"""The training loop: the results of `spacy train`, and runs that are resumed."""

import io
import json
import shutil

import pytest
import safetensors.numpy
from spacy.training.loop import train as spacy_train
from training_cases import TEXTS, make_config, start, weights, write_corpus

from spacy_genner.training.checkpoint import FOLDER, Checkpoint
from spacy_genner.training.logger import FILE, read_rows
from spacy_genner.training.loop import Stop, train


class Killed(Exception):
    """Simulates a process that is killed."""


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "train.spacy")


def run(config, output, **settings):
    stream = io.StringIO()
    nlp = start(config)
    if settings.get("checkpoint") is True:
        settings["checkpoint"] = Checkpoint.read(output / FOLDER)
    train(nlp, output, stdout=stream, stderr=stream, **settings)
    return nlp


def stop_after(steps):
    answers = iter([False] * (steps - 1) + [True])
    return lambda: next(answers)


def rows(output):
    """Read the training log, without times."""
    return [{**row, "seconds": None} for row in read_rows(output / FILE)]


def without_speed(found):
    for row in found:
        row["other_scores"].pop("speed")
    return found


def test_results_may_be_links_to_another_disk(tiny_base, corpus, tmp_path):
    """The links stay in the first run, in a second one and in a resumed one."""
    config = make_config(tiny_base("llama"), corpus, training__max_steps=4)
    output, disk = tmp_path / "out", tmp_path / "disk"
    output.mkdir()
    names = ("model-last", "model-best", FOLDER)
    for name in names:
        (output / name).symlink_to(disk / name)
    for _ in range(2):
        run(config.copy(), output)
        assert all((output / name).is_symlink() for name in names)
        assert sorted(path.name for path in disk.iterdir()) == sorted(names)
    config["training"]["max_steps"] = 8
    run(config.copy(), output, checkpoint=True)
    assert [row["step"] for row in rows(output)] == [0, 4, 8]
    assert weights(output / "model-last") == weights(disk / "model-last")
    # The logs of evaluations and of steps.
    assert len(list(output.iterdir())) == len(names) + 2


def test_same_results_as_spacy_train(tiny_base, corpus, tmp_path):
    config = make_config(tiny_base("llama"), corpus)
    own, spacy = tmp_path / "own", tmp_path / "spacy"
    run(config.copy(), own)
    stream = io.StringIO()
    spacy.mkdir()
    spacy_train(start(config.copy()), spacy, stdout=stream, stderr=stream)
    for name in ("model-last", "model-best"):
        assert weights(own / name) == weights(spacy / name)
    assert without_speed(rows(own)) == without_speed(rows(spacy))
    assert [row["step"] for row in rows(own)] == [0, 4, 8]


@pytest.mark.parametrize("stopped", [2, 5, 7])
def test_a_resumed_run_equals_a_whole_one(tiny_base, corpus, tmp_path, stopped):
    config = make_config(
        tiny_base("llama"), corpus, training__optimizer__use_averages=True
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(config.copy(), whole)
    with pytest.raises(Stop):
        run(config.copy(), broken, should_stop=stop_after(stopped))
    assert Checkpoint.read(broken / FOLDER).progress.step == stopped
    assert weights(whole / "model-last") != weights(broken / "model-last")
    run(config.copy(), broken, checkpoint=True)
    for name in ("model-last", "model-best"):
        assert weights(whole / name) == weights(broken / name)
    assert without_speed(rows(whole)) == without_speed(rows(broken))


def test_a_killed_run_resumes_from_its_checkpoint(tiny_base, corpus, tmp_path):
    config = make_config(tiny_base("llama"), corpus)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(config.copy(), whole)
    nlp = start(config.copy())
    stream = io.StringIO()
    updates = nlp.get_pipe("generative_ner").finish_update
    count = iter(range(100))

    def finish_update(optimizer):
        if next(count) == 6:
            raise Killed
        updates(optimizer)

    nlp.get_pipe("generative_ner").finish_update = finish_update
    with pytest.raises(Killed):
        train(nlp, broken, stdout=stream, stderr=stream)
    assert "--resume" in stream.getvalue()
    # The evaluation at step 4 wrote the checkpoint, which contains steps 0 to 4.
    assert Checkpoint.read(broken / FOLDER).progress.step == 5
    # A process that is killed does not save the last model.
    shutil.rmtree(broken / "model-last")
    run(config.copy(), broken, checkpoint=True)
    assert weights(whole / "model-last") == weights(broken / "model-last")
    assert without_speed(rows(whole)) == without_speed(rows(broken))


def test_checkpoints_between_evaluations(tiny_base, corpus, tmp_path):
    config = make_config(tiny_base("llama"), corpus)
    seen = []

    def record():
        if (tmp_path / FOLDER).exists():
            seen.append(Checkpoint.read(tmp_path / FOLDER).progress.step)
        return False

    run(config, tmp_path, checkpoint_minutes=0.0, should_stop=record)
    # `record` is called before the checkpoint of its step is written.
    assert seen == list(range(1, 9))
    assert Checkpoint.read(tmp_path / FOLDER).progress.step == 9


def test_a_finished_run_is_continued(tiny_base, corpus, tmp_path):
    base = tiny_base("llama")
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    run(make_config(base, corpus, training__max_steps=12), whole)
    run(make_config(base, corpus, training__max_steps=6), longer)
    shutil.copyfile(corpus, tmp_path / "moved.spacy")
    changed = make_config(base, tmp_path / "moved.spacy", training__max_steps=12)
    run(changed, longer, checkpoint=True)
    assert weights(whole / "model-last") == weights(longer / "model-last")
    # Resuming a finished run changes nothing.
    run(changed, longer, checkpoint=True)
    assert weights(whole / "model-last") == weights(longer / "model-last")


def test_a_changed_config_or_corpus_is_refused(tiny_base, corpus, tmp_path):
    base = tiny_base("llama")
    output = tmp_path / "out"
    run(make_config(base, corpus, training__max_steps=1), output)
    before = weights(output / "model-last")
    for changes in ({"training__dropout": 0.2}, {"training__batcher__size": 20}):
        with pytest.raises(ValueError, match=r"G313.*training\.") as caught:
            run(make_config(base, corpus, **changes), output, checkpoint=True)
        assert list(changes)[0].replace("__", ".") in str(caught.value)
    changed = list(TEXTS)
    changed[1] = (changed[1][0], [(0, 1, "ORG")])
    other = write_corpus(tmp_path / "other.spacy", changed)
    for key in ("train", "dev"):
        config = make_config(base, corpus, **{f"paths__{key}": str(other)})
        with pytest.raises(ValueError, match=f"G314.*'{key}'"):
            run(config, output, checkpoint=True)
    assert weights(output / "model-last") == before


def test_a_missing_or_damaged_checkpoint(tiny_base, corpus, tmp_path):
    config = make_config(tiny_base("llama"), corpus, training__max_steps=1)
    with pytest.raises(ValueError, match="G311"):
        Checkpoint.read(tmp_path / FOLDER)
    run(config, tmp_path)
    names = {path.name for path in (tmp_path / FOLDER).rglob("*") if path.is_file()}
    assert names == {
        "state.json",
        "optimizer.safetensors",
        "random.safetensors",
        "genner.json",
        "draft_head.safetensors",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    state = (tmp_path / FOLDER / "state.json").read_text()
    for text, code in (
        (state[:-50], "G312"),
        ("{}", "G312"),
        (state.replace('"version": 1', '"version": 0', 1), "G315"),
    ):
        (tmp_path / FOLDER / "state.json").write_text(text)
        with pytest.raises(ValueError, match=code):
            Checkpoint.read(tmp_path / FOLDER)
    (tmp_path / FOLDER / "state.json").write_text(state)
    (tmp_path / FOLDER / "optimizer.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="G312"):
        Checkpoint.read(tmp_path / FOLDER)


def test_a_new_run_replaces_an_old_one(tiny_base, corpus, tmp_path):
    base = tiny_base("llama")
    run(make_config(base, corpus, training__max_steps=4), tmp_path)
    run(make_config(base, corpus, training__max_steps=1), tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == [0]
    assert Checkpoint.read(tmp_path / FOLDER).progress.step == 2


def test_other_components_are_resumed(tiny_base, corpus, tmp_path):
    """A trainable component of spaCy, with its optimizer state and its dropout."""
    changes = {
        "nlp__pipeline": ["tagger", "generative_ner"],
        "components__tagger": {"factory": "tagger"},
        "training__score_weights": {"tag_acc": 0.5, "spans_sc_f": 0.5},
        "initialize__components__tagger": {"labels": ["X", "Y"]},
        "training__max_steps": 5,
    }
    tagged = tmp_path / "tagged.spacy"
    from spacy.tokens import DocBin
    from training_cases import docs

    made = list(docs())
    for doc in made:
        for token in doc:
            token.tag_ = "X" if token.is_alpha else "Y"
    DocBin(docs=made).to_disk(tagged)
    config = make_config(tiny_base("llama"), tagged, **changes)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(config.copy(), whole)
    with pytest.raises(Stop):
        run(config.copy(), broken, should_stop=stop_after(3))
    run(config.copy(), broken, checkpoint=True)
    assert weights(whole / "model-last") == weights(broken / "model-last")
    files = [each / "model-last" / "tagger" / "model" for each in (whole, broken)]
    assert files[0].read_bytes() == files[1].read_bytes()


def without(*keys):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]

    return change


def replaced(value, *keys):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = value

    return change


PROGRESS = ["step", "epoch", "epoch_batches", "results", "losses", "words", "seconds"]
WRONG = [None, "1", -1, 1.5, 10**30, 1e300, True, [], {}, [[1]], {"a": "b"}, [None]]
CHANGES = {
    **{f"no {key}": without(key) for key in ("version", "optimizer", "identity")},
    **{f"no {key}": without("progress", key) for key in [*PROGRESS, "performance"]},
    **{f"no {key}": without("identity", key) for key in ("config", "train", "dev")},
    **{f"no {key}": without("optimizer", key) for key in ("nr_update", "last_seen")},
    **{
        f"{key} = {value!r}": replaced(value, "progress", key)
        for key in PROGRESS
        for value in WRONG
        # Values that may occur.
        if not (key in ("epoch_batches", "results", "losses") and not value)
        and not (key == "seconds" and value in (1.5, 1e300))
    },
    **{
        f"{keys[-1]} = {value!r}": replaced(value, *keys)
        for keys in [("progress",), ("optimizer",), ("identity",)]
        + [("optimizer", "nr_update"), ("identity", "config"), ("identity", "dev")]
        for value in (None, 3, [1], {"a": "b"})
        if not (keys[-1] == "config" and isinstance(value, dict))
    },
    "unknown key": replaced(1, "progress", "more"),
}
TEXTS_OF_NO_STATE = {
    "empty": b"",
    "binary": b"\xff\xfe\0\1",
    "null": b"null",
    "number": b"1",
    "list": b"[1, 2]",
    "text": b'"state"',
    "digits": b'{"version": ' + b"9" * 5000 + b"}",
    "deep": b"[" * 100_000,
    "nan": b"NaN",
}


@pytest.fixture(scope="module")
def finished(tiny_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    corpus = write_corpus(folder / "train.spacy")
    config = make_config(tiny_base("llama"), corpus, training__max_steps=1)
    run(config, folder / "out")
    return folder / "out" / FOLDER


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "earlier version"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_state_is_refused(finished, tmp_path, name, sealed):
    """Also one of an earlier version, which has no checksum."""
    folder = shutil.copytree(finished, tmp_path / FOLDER)
    state = json.loads((folder / "state.json").read_text())
    if not sealed:
        del state["sha256"]
    if name == "epoch_batches = [None]":
        state["progress"]["step"] = 2
    CHANGES[name](state)
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"G312.*state\.json is damaged.*--output"):
        Checkpoint.read(folder)


@pytest.mark.parametrize("name", TEXTS_OF_NO_STATE)
def test_a_file_that_is_no_state_is_refused(finished, tmp_path, name):
    folder = shutil.copytree(finished, tmp_path / FOLDER)
    (folder / "state.json").write_bytes(TEXTS_OF_NO_STATE[name])
    with pytest.raises(ValueError, match=r"G31[25].*(state\.json|state )"):
        Checkpoint.read(folder)


@pytest.mark.parametrize(
    "file", ["state.json", "optimizer.safetensors"] + ["random.safetensors"]
)
def test_damage_in_a_checkpoint_is_noticed(finished, tmp_path, file):
    """Flipped bits and truncated files. White space in the state has no effect."""
    folder = shutil.copytree(finished, tmp_path / FOLDER)
    before = (folder / file).read_bytes()
    for place in range(0, len(before), len(before) // 150):
        copy = bytearray(before)
        copy[place] ^= 1 << place % 7
        for damaged in (bytes(copy), before[:place]):
            (folder / file).write_bytes(damaged)
            try:
                Checkpoint.read(folder)
            except ValueError as error:
                assert "[G312]" in str(error) or "[G315]" in str(error)
                assert file in str(error) or "[G315]" in str(error)
            else:
                assert json.loads(damaged) == json.loads(before)
    (folder / file).unlink()
    with pytest.raises(ValueError, match="G31[12]"):
        Checkpoint.read(folder)


def test_a_checkpoint_of_an_earlier_version_is_read(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / FOLDER)
    state = json.loads((folder / "state.json").read_text())
    del state["sha256"]
    (folder / "state.json").write_text(json.dumps(state))
    for name in ("optimizer.safetensors", "random.safetensors"):
        arrays = safetensors.numpy.load_file(folder / name)
        (folder / name).write_bytes(safetensors.numpy.save(arrays))
    found, expected = Checkpoint.read(folder), Checkpoint.read(finished)
    assert found.identity == expected.identity
    assert found.progress.step == expected.progress.step
