"""`benchmarks/formats.py`: training and scoring a model in each output format."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import spacy
import srsly
import torch
from component_cases import component, make_examples, pipeline, trained_pipeline
from training_cases import TEXTS, docs, write_corpus
from weasel.util import load_project_config

from spacy_genner.formats import FORMATS, CharSpan, get_format

ROOT = Path(__file__).parents[2]
LABELS = ["ORG", "GPE"]
TEXT = "The University of Porto [ 1 ] is  old ."
SPANS = [CharSpan(4, 23, "ORG"), CharSpan(18, 23, "GPE"), CharSpan(26, 27, "GPE")]


@pytest.fixture
def benchmark(import_benchmark):
    """The script as a module."""
    return import_benchmark("formats")


@pytest.fixture
def unconstrained(import_benchmark):
    """The module that decodes without the grammar."""
    return import_benchmark("unconstrained")


@pytest.fixture
def run_benchmark(tmp_path, monkeypatch, tiny_base, benchmark):
    """Runs the script on a tiny base, in a working directory with a corpus."""
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
    """The scores of a format, without the time."""
    path = folder / "metrics" / "formats" / f"{name}.json"
    result = json.loads(path.read_text())
    if "grammar" in result:
        assert result["grammar"].pop("seconds") > 0
    result.get("pipeline", {}).get("training", {}).pop("seconds", None)
    return result


def test_each_format_is_trained_and_scored(run_benchmark, capsys):
    names = ("grouped_json", "inline_xml")
    folder = run_benchmark("--formats", *names, "--epochs", 2)
    for name in names:
        result = scores(folder, name)
        # All documents with the grammar, a sample without.
        assert result["documents"] == 4 and "failed" not in result["statuses"]
        assert result["free"]["documents"] == 2
        assert 0 <= result["free"]["well_formed"] <= 1
        assert result["grammar"]["documents"] == 2
        assert result["grammar"]["well_formed"] == 1.0
        assert 0 <= result["grammar"]["micro_f"] <= 1
        assert 1 <= result["grammar"]["tokens"] <= result["grammar"]["fed"]
        assert result["run"]["limit"] == 3 and result["run"]["epochs"] == 2
        model = folder / "training" / "formats" / name / "model-last"
        config = spacy.load(model).config
        assert config["components"]["generative_ner"]["format"] == name
        # Two epochs of one batch.
        rates = config["training"]["optimizer"]["learn_rate"]
        assert int(rates["total_steps"]) == 2
    capsys.readouterr()
    # A format with complete scores is skipped.
    before = scores(folder, "inline_xml")
    run_benchmark("--formats", "inline_xml", "--epochs", 2)
    output = capsys.readouterr().out
    assert "the scores exist already" in output and "Training pipeline" not in output
    # A run that was interrupted while measuring keeps the scores that it has.
    half = {k: v for k, v in before.items() if k not in ("grammar", "free")}
    path = folder / "metrics" / "formats" / "inline_xml.json"
    path.write_text(json.dumps(half))
    run_benchmark("--formats", "inline_xml", "--epochs", 2)
    output = capsys.readouterr().out
    assert "the scores exist already" not in output and "micro-F1" not in output
    assert scores(folder, "inline_xml") == before
    # Scores of a run with other settings are refused.
    with pytest.raises(SystemExit, match="another epochs.*--fresh"):
        run_benchmark("--formats", "inline_xml", "--epochs", 1)
    assert scores(folder, "inline_xml") == before
    labels = (folder / "labels.json").read_text()
    (folder / "labels.json").write_text(labels.replace("city", "town"))
    with pytest.raises(SystemExit, match="another contents.*--fresh"):
        run_benchmark("--formats", "inline_xml", "--epochs", 2)
    (folder / "labels.json").write_text(labels)
    # A run that was interrupted after training resumes from its checkpoint.
    path.unlink()
    run_benchmark("--formats", "inline_xml", "--epochs", 2)
    assert "Resuming after 2 steps" in capsys.readouterr().out
    assert scores(folder, "inline_xml") == before
    run_benchmark("--formats", "inline_xml", "--epochs", 1, "--fresh")
    assert "Going on" not in capsys.readouterr().out
    assert scores(folder, "inline_xml")["run"]["epochs"] == 1


def project_step(benchmark, step):
    """The parsed command line of a step in `project.yml`, and the step's outputs."""
    commands = {c["name"]: c for c in load_project_config(ROOT)["commands"]}
    [line] = commands[step]["script"]
    assert "formats.py" in line
    args, rest = benchmark.make_parser().parse_known_args(shlex.split(line)[2:])
    assert rest == []
    return args, set(commands[step]["outputs"])


def test_command_line_in_project_yml(benchmark):
    args, outputs = project_step(benchmark, "formats-run")
    assert (args.limit, args.epochs, args.free_docs) == (2000, 2, 300)
    assert tuple(args.formats) == FORMATS
    assert outputs == {f"{args.metrics}/{name}.json" for name in FORMATS}


def test_baseline_has_its_own_folders(benchmark):
    args, outputs = project_step(benchmark, "baselines-generative")
    assert (args.limit, args.epochs) == (2000, 1)
    assert args.formats == ["inline_bracketed"]
    assert outputs == {f"{args.metrics}/inline_bracketed.json"}
    other, _ = project_step(benchmark, "formats-run")
    # The script refuses scores of a run with other settings.
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
def test_markup_is_moved_after_white_space(unconstrained, name, written, space):
    """Literal brackets stay in their place."""
    fmt = get_format(name)
    right = fmt.render(TEXT, SPANS, LABELS)
    assert unconstrained.markup_after_space(written, TEXT, fmt, LABELS) == right
    assert unconstrained.markup_after_space(right, TEXT, fmt, LABELS) == right
    assert unconstrained.markup_after_space(TEXT, TEXT, fmt, LABELS) == TEXT
    # A run of white space characters moves as a whole.
    wide = "of" + space + "Porto"
    marked = wide.replace(space, fmt.open_tag("GPE") + space) + fmt.close_tag("GPE")
    expected = fmt.render(wide, [CharSpan(2 + len(space), len(wide), "GPE")], LABELS)
    assert unconstrained.markup_after_space(marked, wide, fmt, LABELS) == expected


def test_json_outputs_stay_unchanged(unconstrained):
    fmt = get_format("grouped_json")
    output = fmt.render(TEXT, SPANS, LABELS)
    assert unconstrained.markup_after_space(output, TEXT, fmt, LABELS) == output


def test_unconstrained_scores(unconstrained, monkeypatch):

    class Component:
        format = get_format("inline_bracketed")
        labels, key = LABELS, "sc"

    gold = list(docs(TEXTS[:2]))
    outputs = ["[Lisbon | GPE] hosts the [University of Lisbon | ORG] .", "Maria lives"]
    monkeypatch.setattr(
        unconstrained, "unconstrained_outputs", lambda ner, docs: outputs
    )
    found = unconstrained.unconstrained_scores(Component(), gold)
    assert found["documents"] == 2 and found["well_formed"] == 0.5
    assert found["micro_p"] == 1.0 and found["micro_r"] == pytest.approx(2 / 3)
    assert "truncated" in found["issues"]


@pytest.mark.parametrize("trained", [True, False])
def test_unconstrained_outputs_equal_generate(unconstrained, tiny_base, trained):
    base = tiny_base("gemma3")
    nlp = trained_pipeline(base) if trained else pipeline(base)
    ner = component(nlp)
    gold = [example.reference for example in make_examples(nlp)]
    encoder = ner.predictor.encoder
    network, tokenizer = ner.lm.decoding_network(), ner.lm.tokenizer
    outputs = unconstrained.unconstrained_outputs(ner, gold)
    for doc, output in zip(gold, outputs, strict=True):
        words = [token.text for token in doc]
        source = encoder.source(words, [bool(token.whitespace_) for token in doc])
        prompt = [*encoder.prefix_ids, *encoder.prompt(source)]
        expected = tokenizer(
            unconstrained.gold_output(ner, doc), add_special_tokens=False
        )
        made = network.generate(
            torch.tensor([prompt]),
            do_sample=False,
            max_new_tokens=2 * len(expected["input_ids"]) + 32,
            pad_token_id=tokenizer.eos_token_id,
        )
        plain = tokenizer.decode(made[0, len(prompt) :], skip_special_tokens=True)
        text = doc[:].text
        assert output == unconstrained.markup_after_space(
            plain, text, ner.format, ner.labels
        )
