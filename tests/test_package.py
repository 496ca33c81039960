"""The entry points of the package, its version, and its lazy imports."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from spacy_genner import __version__

HEAVY = ("transformers", "peft", "spacy_llm", "sklearn")
GROUPS = {
    "spacy_factories": ["generative_ner", "genner_sentences"],
    "spacy_architectures": [
        "spacy-genner.LoraCausalLM.v1",
        "spacy-genner.OpenAICompatible.v1",
    ],
    "spacy_misc": [
        "spacy-genner.DraftDecoder.v1",
        "spacy-genner.StepDecoder.v1",
        "spacy-genner.CopyDrafter.v1",
        "spacy-genner.DocSpansDrafter.v1",
        "spacy-genner.HeadDrafter.v1",
        "spacy-genner.FirstDemonstrations.v1",
        "spacy-genner.NearestDemonstrations.v1",
        "spacy-genner.PackageFolder.v1",
        "spacy-genner.RandomDemonstrations.v1",
        "spacy-genner.SentencexSplitter.v1",
        "spacy-genner.Verifier.v1",
    ],
    "spacy_tokenizers": ["spacy-genner.FineTokenizer.v1"],
    "spacy_readers": [
        "spacy-genner.Corpus.v1",
        "spacy-genner.HeldOutCorpus.v1",
        "spacy-genner.MixtureCorpus.v1",
        "spacy-genner.OuterEntsCorpus.v1",
    ],
    "spacy_batchers": ["spacy-genner.batch_by_label_set.v1"],
    "spacy_callbacks": [
        "spacy-genner.CoverSpans.v1",
        "spacy-genner.RequirePackages.v1",
    ],
    "spacy_scorers": ["spacy-genner.span_scorer.v1"],
    "thinc_schedules": [
        "spacy-genner.CosineWarmup.v1",
        "spacy-genner.WarmupStableDecay.v1",
    ],
    "spacy_loggers": ["spacy-genner.JsonLogger.v1"],
    "thinc_llm_tasks": ["spacy-genner.NER.v1", "spacy-genner.SpanCat.v1"],
    "thinc_llm_models": [
        "spacy-genner.LocalLM.v1",
        "spacy-genner.OpenAICompatible.v1",
    ],
    "spacy_llm_tasks": ["spacy-genner.NER.v1", "spacy-genner.SpanCat.v1"],
    "spacy_llm_models": [
        "spacy-genner.LocalLM.v1",
        "spacy-genner.OpenAICompatible.v1",
    ],
    "spacy_cli": ["genner"],
}
NAMES = [(group, name) for group, names in GROUPS.items() for name in names]


@pytest.mark.parametrize("group, name", NAMES)
def test_entry_points_load(group, name):
    [point] = {p for p in entry_points(group=group) if p.name == name}
    assert callable(point.load())


def test_all_entry_points_are_tested():
    registered = {
        (point.group, point.name)
        for group in {*GROUPS, "spacy_callbacks", "spacy_batchers"}
        for point in entry_points(group=group)
        if point.value.startswith("spacy_genner")
    }
    assert registered == set(NAMES)


# Prints the heavy imports made by this package. Other plugins in the environment may
# import the same packages.
WATCH = f"""
import builtins, sys

plain = builtins.__import__

def watched(name, *args, **kwargs):
    if name.partition(".")[0] in {HEAVY}:
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_globals.get("__name__", "").partition(".")[0] == "spacy_genner":
                print("HEAVY", name, frame.f_globals["__name__"])
                break
            frame = frame.f_back
    return plain(name, *args, **kwargs)

builtins.__import__ = watched
"""


def heavy_imports(statement):
    done = subprocess.run(
        [sys.executable, "-c", f"{WATCH}\n{statement}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("HEAVY")]


@pytest.mark.parametrize(
    "statement",
    [
        "import spacy_genner",
        "import spacy_genner.formats, spacy_genner.grammar",
        "from spacy_genner.pipeline import generative_ner, thinc_model",
        "import spacy; spacy.blank('en').add_pipe('generative_ner')",
        "import spacy_genner.cli",
        "import spacy_genner.llm.tasks, spacy_genner.llm.local",
    ],
)
def test_no_heavy_package_is_imported(statement):
    assert heavy_imports(statement) == []


def test_a_heavy_import_is_detected():
    assert heavy_imports("import spacy_genner.models.lora")


def test_formats_and_grammar_are_pure_python():
    code = (
        "import sys, spacy_genner.formats, spacy_genner.grammar\n"
        "print([m for m in ('torch', 'spacy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_version():
    from importlib.metadata import version

    assert version("spacy-genner") == __version__


def test_a_local_pipeline_does_not_import_the_client():
    program = (
        "import sys, spacy\n"
        "spacy.blank('en').add_pipe('generative_ner')\n"
        "print('spacy_genner.llm.openai.client' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "False", done.stderr
