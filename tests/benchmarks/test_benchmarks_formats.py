"""`benchmarks/formats.py`: a model for each output format, and its scores."""

import importlib
import json
import shlex
import sys
from pathlib import Path

import pytest
import spacy
import srsly
import torch
from component_cases import component, learnt, make_examples, pipeline
from training_cases import TEXTS, docs, write_corpus
from weasel.util import load_project_config

from spacy_genner.formats import FORMATS, CharSpan, get_format

ROOT = Path(__file__).parents[2]
LABELS = ["ORG", "GPE"]
TEXT = "The University of Porto [ 1 ] is  old ."
SPANS = [CharSpan(4, 23, "ORG"), CharSpan(18, 23, "GPE"), CharSpan(26, 27, "GPE")]


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark's module, which finds those beside it as a script does."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("formats")


@pytest.fixture
def room(tmp_path, monkeypatch, tiny_base, benchmark):
    """A working directory with a corpus; runs the benchmark on a tiny base."""
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "data.spacy", TEXTS[:4])
    definitions = {"ORG": "an organisation", "GPE": "a city or country"}
    srsly.write_json(tmp_path / "labels.json", definitions)
    overrides = {
        "vars.base": tiny_base("llama"),
        "components.generative_ner.model.dtype": "float32",
        "initialize.components.generative_ner.labels.path": "labels.json",
    }
    line = ["formats.py", *["data.spacy"] * 3, "--config", ROOT / "configs/genia.cfg"]
    line += ["--limit", 3, "--free-docs", 2]
    line += [word for key, value in overrides.items() for word in (f"--{key}", value)]

    def run(*more):
        monkeypatch.setattr(sys, "argv", [str(word) for word in (*line, *more)])
        benchmark.main()
        return tmp_path

    return run


def scores(folder, name):
    """What was measured, without the time it took."""
    path = folder / "metrics" / "formats" / f"{name}.json"
    result = json.loads(path.read_text())
    if "grammar" in result:
        assert result["grammar"].pop("seconds") > 0
    return result


def test_each_format_is_trained_and_scored(room, capsys):
    names = ("grouped_json", "inline_xml")
    folder = room("--formats", *names, "--epochs", 2)
    for name in names:
        result = scores(folder, name)
        # All documents with the grammar, a sample without.
        assert result["documents"] == 4 and "failed" not in result["statuses"]
        assert result["free"]["documents"] == 2
        assert 0 <= result["free"]["well_formed"] <= 1
        assert result["grammar"]["documents"] == 2
        assert result["grammar"]["well_formed"] == 1.0
        assert 1 <= result["grammar"]["tokens"] <= result["grammar"]["fed"]
        assert result["run"]["limit"] == 3 and result["run"]["epochs"] == 2
        model = folder / "training" / "formats" / name / "model-last"
        config = spacy.load(model).config
        assert config["components"]["generative_ner"]["format"] == name
        # Two epochs of one batch.
        rates = config["training"]["optimizer"]["learn_rate"]
        assert int(rates["total_steps"]) == 2
    capsys.readouterr()
    # What is there is passed over.
    before = scores(folder, "inline_xml")
    room("--formats", "inline_xml", "--epochs", 2)
    said = capsys.readouterr().out
    assert "scores are there" in said and "Training pipeline" not in said
    # What a run that was stopped while it measured has done is not done again.
    half = {k: v for k, v in before.items() if k not in ("grammar", "free")}
    path = folder / "metrics" / "formats" / "inline_xml.json"
    path.write_text(json.dumps(half))
    room("--formats", "inline_xml", "--epochs", 2)
    said = capsys.readouterr().out
    assert "scores are there" not in said and "micro-F1" not in said
    assert scores(folder, "inline_xml") == before
    # Of other settings it is not mixed in.
    with pytest.raises(SystemExit, match="another epochs.*--fresh"):
        room("--formats", "inline_xml", "--epochs", 1)
    assert scores(folder, "inline_xml") == before
    labels = (folder / "labels.json").read_text()
    (folder / "labels.json").write_text(labels.replace("city", "town"))
    with pytest.raises(SystemExit, match="another contents.*--fresh"):
        room("--formats", "inline_xml", "--epochs", 2)
    (folder / "labels.json").write_text(labels)
    # A run that was stopped after training goes on from its checkpoint.
    path.unlink()
    room("--formats", "inline_xml", "--epochs", 2)
    assert "Going on after 2 steps" in capsys.readouterr().out
    assert scores(folder, "inline_xml") == before
    room("--formats", "inline_xml", "--epochs", 1, "--fresh")
    assert "Going on" not in capsys.readouterr().out
    assert scores(folder, "inline_xml")["run"]["epochs"] == 1


def the_projects_line(benchmark, step):
    """What the line of a step gives, and the outputs that the step names."""
    commands = {c["name"]: c for c in load_project_config(ROOT)["commands"]}
    [line] = commands[step]["script"]
    assert "formats.py" in line
    args, rest = benchmark.make_parser().parse_known_args(shlex.split(line)[2:])
    assert rest == []
    return args, set(commands[step]["outputs"])


def test_the_projects_line_is_understood(benchmark):
    args, outputs = the_projects_line(benchmark, "formats-run")
    assert (args.limit, args.epochs, args.free_docs) == (2000, 2, 300)
    assert tuple(args.formats) == FORMATS
    assert outputs == {f"{args.metrics}/{name}.json" for name in FORMATS}


def test_the_model_among_the_baselines_has_folders_of_its_own(benchmark):
    args, outputs = the_projects_line(benchmark, "baselines-generative")
    assert (args.limit, args.epochs) == (2000, 1)
    assert args.formats == ["inline_bracketed"]
    assert outputs == {f"{args.metrics}/inline_bracketed.json"}
    other, _ = the_projects_line(benchmark, "formats-run")
    # `found` refuses scores of a run with other settings.
    assert args.metrics != other.metrics and args.training != other.training
    assert (args.train, args.test, args.limit) == (other.train, other.test, other.limit)


@pytest.mark.parametrize(
    "name, written",
    [
        (
            "inline_bracketed",
            "The[ University of[ Porto | GPE] | ORG] [[ 1 | GPE] ] is  old .",
        ),
        (
            "inline_xml",
            "The<ORG> University of<GPE> Porto</GPE></ORG> [<GPE> 1</GPE> ] is  old .",
        ),
    ],
)
@pytest.mark.parametrize("space", [" ", "\n  "])
def test_marks_before_white_space_are_put_after_it(benchmark, name, written, space):
    """The literal bracket stays where it is."""
    free = importlib.import_module("free_outputs")
    fmt = get_format(name)
    right = fmt.render(TEXT, SPANS, LABELS)
    assert free.marks_after_space(written, TEXT, fmt, LABELS) == right
    assert free.marks_after_space(right, TEXT, fmt, LABELS) == right
    assert free.marks_after_space(TEXT, TEXT, fmt, LABELS) == TEXT
    # Several characters of white space go before the mark together.
    wide = "of" + space + "Porto"
    marked = wide.replace(space, fmt.open_mark("GPE") + space) + fmt.close_mark("GPE")
    expected = fmt.render(wide, [CharSpan(2 + len(space), len(wide), "GPE")], LABELS)
    assert free.marks_after_space(marked, wide, fmt, LABELS) == expected


def test_json_answers_stay_as_they_are(benchmark):
    free = importlib.import_module("free_outputs")
    fmt = get_format("grouped_json")
    output = fmt.render(TEXT, SPANS, LABELS)
    assert free.marks_after_space(output, TEXT, fmt, LABELS) == output


def test_free_scores_count_what_is_well_formed(benchmark, monkeypatch):
    free = importlib.import_module("free_outputs")

    class Component:
        format = get_format("inline_bracketed")
        labels, key = LABELS, "sc"

    gold = list(docs(TEXTS[:2]))
    answers = ["[Lisbon | GPE] hosts the [University of Lisbon | ORG] .", "Maria lives"]
    monkeypatch.setattr(free, "free_outputs", lambda ner, docs: answers)
    found = free.free_scores(Component(), gold)
    assert found["documents"] == 2 and found["well_formed"] == 0.5
    assert found["micro_p"] == 1.0 and found["micro_r"] == pytest.approx(2 / 3)
    assert "truncated" in found["issues"]


@pytest.mark.parametrize("trained", [True, False])
def test_free_answers_are_those_of_plain_generation(benchmark, tiny_base, trained):
    free = importlib.import_module("free_outputs")
    base = tiny_base("gemma3")
    nlp = learnt(base) if trained else pipeline(base)
    ner = component(nlp)
    gold = [example.reference for example in make_examples(nlp)]
    encoder = ner._runtime().encoder
    network, tokenizer = ner.lm.decoding_network(), ner.lm.tokenizer
    for doc, answer in zip(gold, free.free_outputs(ner, gold), strict=True):
        words = [token.text for token in doc]
        source = encoder.source(words, [bool(token.whitespace_) for token in doc])
        prompt = [*encoder.prefix_ids, *encoder.prompt(source)]
        right = tokenizer(free._right_answer(ner, doc), add_special_tokens=False)
        made = network.generate(
            torch.tensor([prompt]),
            do_sample=False,
            max_new_tokens=2 * len(right["input_ids"]) + 32,
            pad_token_id=tokenizer.eos_token_id,
        )
        plain = tokenizer.decode(made[0, len(prompt) :], skip_special_tokens=True)
        text = doc[:].text
        assert answer == free.marks_after_space(plain, text, ner.format, ner.labels)
