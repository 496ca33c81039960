"""Training through the loop of one's own: as spaCy's, and taken up again."""

import io
import shutil

import pytest
from spacy.training.loop import train as spacy_train
from training_cases import TEXTS, make_config, start, weights, write_corpus

from spacy_genner.training.checkpoint import FOLDER, Checkpoint
from spacy_genner.training.logger import FILE, read_rows
from spacy_genner.training.loop import Stop, train


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
        run(config.copy(), broken, should_stop=stop_after(stopped))
    assert Checkpoint.read(broken / FOLDER).progress.step == stopped
    assert weights(whole / "model-last") != weights(broken / "model-last")
    run(config.copy(), broken, checkpoint=True)
    for name in ("model-last", "model-best"):
        assert weights(whole / name) == weights(broken / name)
    assert without_speed(rows(whole)) == without_speed(rows(broken))


def test_a_kill_loses_what_came_after_the_checkpoint(tiny_base, corpus, tmp_path):
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
    # Steps 0 to 4 are in the checkpoint of the evaluation at step 4.
    assert Checkpoint.read(broken / FOLDER).progress.step == 5
    # As if the process had not even saved its last state.
    shutil.rmtree(broken / "model-last")
    run(config.copy(), broken, checkpoint=True)
    assert weights(whole / "model-last") == weights(broken / "model-last")
    assert without_speed(rows(whole)) == without_speed(rows(broken))


def test_checkpoints_between_evaluations(tiny_base, corpus, tmp_path):
    config = make_config(tiny_base("llama"), corpus)
    seen = []

    def look():
        if (tmp_path / FOLDER).exists():
            seen.append(Checkpoint.read(tmp_path / FOLDER).progress.step)
        return False

    run(config, tmp_path, checkpoint_minutes=0.0, should_stop=look)
    # `look` is asked before the checkpoint of its own step is written.
    assert seen == list(range(1, 9))
    assert Checkpoint.read(tmp_path / FOLDER).progress.step == 9


def test_a_finished_run_can_be_made_longer(tiny_base, corpus, tmp_path):
    base = tiny_base("llama")
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    run(make_config(base, corpus, training__max_steps=12), whole)
    run(make_config(base, corpus, training__max_steps=6), longer)
    shutil.copyfile(corpus, tmp_path / "moved.spacy")
    changed = make_config(base, tmp_path / "moved.spacy", training__max_steps=12)
    run(changed, longer, checkpoint=True)
    assert weights(whole / "model-last") == weights(longer / "model-last")
    # And going on after the end changes nothing.
    run(changed, longer, checkpoint=True)
    assert weights(whole / "model-last") == weights(longer / "model-last")


def test_another_config_or_corpus_is_refused(tiny_base, corpus, tmp_path):
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


def test_a_checkpoint_that_is_not_there_or_damaged(tiny_base, corpus, tmp_path):
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


def test_a_new_run_takes_the_place_of_an_old_one(tiny_base, corpus, tmp_path):
    base = tiny_base("llama")
    run(make_config(base, corpus, training__max_steps=4), tmp_path)
    run(make_config(base, corpus, training__max_steps=1), tmp_path)
    assert [row["step"] for row in rows(tmp_path)] == [0]
    assert Checkpoint.read(tmp_path / FOLDER).progress.step == 2


def test_other_components_go_on_too(tiny_base, corpus, tmp_path):
    """spaCy's own trainable components, their ids and their dropout."""
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
