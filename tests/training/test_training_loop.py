"""Training through the loop of one's own: as spaCy's, and taken up again."""

import io
import shutil

import pytest
from spacy.training.loop import train as spacy_train
from training_cases import make_config, start, weights, write_corpus

from spacy_genner.training.checkpoint import FOLDER, Checkpoint
from spacy_genner.training.loop import Stop, train
from spacy_genner.training.training_log import FILE, read_rows


class Killed(Exception):
    pass


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


def kill_at(step):
    """A `before_update` that ends the run as a kill would."""

    def before_update(nlp, info):
        if info["step"] == step:
            raise Killed

    return before_update


def stop_after(steps):
    asked = iter([False] * (steps - 1) + [True])
    return lambda: next(asked)


def rows(output):
    """The training log without the times."""
    return [{**row, "seconds": None} for row in read_rows(output / FILE)]


def without_speed(found):
    for row in found:
        row["other_scores"].pop("speed")
    return found


def test_the_same_as_spacy_train(tiny_base, corpus, tmp_path):
    config = make_config(tiny_base("llama"), corpus)
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    run(config.copy(), mine)
    stream = io.StringIO()
    theirs.mkdir()
    spacy_train(start(config.copy()), theirs, stdout=stream, stderr=stream)
    for name in ("model-last", "model-best"):
        assert weights(mine / name) == weights(theirs / name)
    assert without_speed(rows(mine)) == without_speed(rows(theirs))
    assert [row["step"] for row in rows(mine)] == [0, 4, 8]


@pytest.mark.parametrize("stopped", [2, 5, 7])
def test_a_resumed_run_ends_as_an_unbroken_one(tiny_base, corpus, tmp_path, stopped):
    config = make_config(
        tiny_base("llama"), corpus, training__optimizer__use_averages=True
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(config.copy(), whole)
    with pytest.raises(Stop):
        run(config.copy(), broken, stopping=stop_after(stopped))
    assert Checkpoint.read(broken / FOLDER).progress.step == stopped
    assert weights(whole / "model-last") != weights(broken / "model-last")
    run(config.copy(), broken, checkpoint=True)
    for name in ("model-last", "model-best"):
        assert weights(whole / name) == weights(broken / name)
    assert without_speed(rows(whole)) == without_speed(rows(broken))
