"""`benchmarks/decoding.py`: all systems on one model, and their modules."""

import json
import random
import re
import sys
from importlib.util import find_spec

import pytest
import spacy
import torch
from component_cases import (
    TEXTS,
    component,
    make_doc,
    make_examples,
    overfit,
    pipeline,
)
from spacy.tokens import DocBin

from spacy_genner.config.settings import WindowSettings
from spacy_genner.decoding.decoder import StepDecoder
from spacy_genner.decoding.engine import KeyValueBatch
from spacy_genner.formats import get_format
from spacy_genner.grammar import make_source

LABELS = ["ORG", "GPE"]
OPTIONAL = {
    "generate-xgrammar": "xgrammar",
    "generate-llguidance": "llguidance",
    "llama-q8_0": "llama_cpp",
    "llama-q4_k_m": "llama_cpp",
    "llama-q8_0-grammar": "llama_cpp",
    "llama-q4_k_m-grammar": "llama_cpp",
}
ALWAYS = [
    "step",
    "draft",
    "draft-copy",
    "floor",
    "generate",
    "generate-batched",
    "generate-lookup",
    "generate-grammar",
    "generate-grammar-batched",
]


@pytest.fixture(scope="module")
def folder(tiny_base, tmp_path_factory):
    """A model that learned unconstrained outputs, a corpus, and a spaCy pipeline."""
    folder = tmp_path_factory.mktemp("decoding")
    nlp = pipeline(tiny_base("gemma3", "metaspace"), loss="lm")
    overfit(nlp, TEXTS, steps=60)
    nlp.to_disk(folder / "model")
    docs = [example.reference for example in make_examples(nlp)]
    DocBin(docs=[*docs, make_doc(nlp, "")]).to_disk(folder / "data.spacy")
    other = spacy.blank("en")
    ruler = other.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "GPE", "pattern": "Lisbon"}])
    other.to_disk(folder / "rules")
    return folder


@pytest.fixture
def make_context(import_benchmark, folder, tmp_path):
    """Makes the context of a system, with other settings."""
    base = import_benchmark("base")

    def make(batch=1, targets=(), dtype="float64", **changes):
        settings = base.Settings(
            str(folder / "model"),
            str(folder / "data.spacy"),
            str(tmp_path),
            dtype=dtype,
            **changes,
        )
        return base.Context(settings, batch, targets)

    return make


@pytest.fixture
def run_system(import_benchmark):
    """Runs a system on all documents of a context."""
    registry = import_benchmark("registry")

    def run(context, name):
        system = registry.make_systems(context.settings)[name]
        system.prepare(context)
        inputs = system.inputs(context.dataset.documents)
        return inputs, system.run(inputs)

    return run


def test_report_has_all_systems(
    import_benchmark, folder, tmp_path, monkeypatch, capsys
):
    benchmark = import_benchmark("decoding")
    line = ["decoding.py", folder / "model", folder / "data.spacy", "--repeats", 2]
    line += ["--slow-repeats", 1, "--slow-docs", 3]
    line += ["--batch-sizes", 2, "--dtype", "float32"]
    line += ["--threads", 1, "--also", folder / "rules"]
    line += ["--output", tmp_path / "out.json"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in line])
    report = benchmark.main()
    table, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    assert json.loads(last) == json.loads(json.dumps(report))
    assert json.loads((tmp_path / "out.json").read_text()) == json.loads(last)
    here = {name for name, package in OPTIONAL.items() if find_spec(package)}
    rows = {row["name"]: row for row in report["contestants"]}
    spacys = f"spacy:{folder.name}/rules"
    assert set(rows) - here == {*ALWAYS, spacys, spacys.replace("spacy:", "draft:")}
    # Systems that did not run are listed with the reason.
    skipped = {each["name"]: each["why"] for each in report["skipped"]}
    for name in set(OPTIONAL) - here:
        assert f"{OPTIONAL[name]} is not installed" in skipped[name]
        assert f"- {name} is left out: " in table
    assert not any(each["failed"] for each in report["skipped"])
    assert (report["documents"], report["sample"]) == (5, 3)
    assert report["machine"]["threads"] == 1 == len(report["machine"]["processors"])
    assert report["machine"]["dtype"] == "float32"
    for name, row in rows.items():
        all_docs = name in ("step", "draft", "floor", spacys)
        assert row["documents"] == (5 if all_docs else 3)
        assert row["repeats"] == (2 if all_docs else 1)
        assert row["sentences_per_second"] > 0 and row["peak_gb"] > 0
        assert f"| {name}" in table
        assert (row["micro_f"] is None) is (not all_docs or name == "floor")
        assert (row["sample_micro_f"] is None) is (name == "floor")
        assert (row["well_formed"] is not None) is (
            name in ("generate", "generate-batched", "generate-lookup") or name in here
        )
        keys = {"seconds", "words_per_second", "sentences_per_second_range", "batch"}
        assert keys | {"times_floor", "fed_times_floor", "compile_ms"} <= set(row)
    assert rows["step"]["identical"] == rows["draft"]["identical"] == 1.0
    assert rows["generate-grammar"]["identical"] == 1.0
    assert rows["step"]["micro_f"] > 0.5
    assert rows["floor"]["passes"] == 0.8 and rows["floor"]["times_floor"] == 1.0
    assert rows["draft"]["passes"] < rows["step"]["passes"]
    step, draft = rows["step"], rows["draft"]
    ratio = draft["words_per_second"] / step["words_per_second"]
    assert step["draft_times_faster"] == ratio and draft["draft_times_faster"] == 1.0
    assert f" {ratio:.3g}× |" in table
    assert rows[spacys]["passes"] is None and 0 < rows[spacys]["micro_f"] < 1
    assert rows["generate-batched"]["batch"] == 2 and rows["generate"]["batch"] is None


def test_another_pipeline_drafts(
    import_benchmark, make_context, run_system, folder, monkeypatch
):
    """Its spans are drafted, and the model verifies them."""
    _, expected = run_system(make_context(), "step")
    context = make_context(also=(str(folder / "rules"),))
    pipelines = import_benchmark("systems.spacy_pipelines")
    drafter = pipelines.DocSpansDrafter
    drafted = []

    class RecordingDrafter(drafter):
        def expected(self, doc):
            drafted.append(super().expected(doc))
            return drafted[-1]

    monkeypatch.setattr(pipelines, "DocSpansDrafter", RecordingDrafter)
    _, found = run_system(context, f"draft:{folder.name}/rules")
    assert [output.ids for output in found] == [output.ids for output in expected]
    spans = {(span.text, span.label_) for doc_spans in drafted for span in doc_spans}
    assert spans == {("Lisbon", "GPE")}


@pytest.mark.parametrize("name", ["step", "draft", "draft-copy", "without-reach"])
def test_decoders_have_the_bias_of_the_pipeline(make_context, run_system, name):
    for bias, finds in ((0.0, True), (-1000.0, False)):
        context = make_context(ideas=True)
        context.ner.decoder.opening_bias = bias
        _, outputs = run_system(context, name)
        assert any(output.spans for output in outputs) == finds


def test_ablations_have_the_same_outputs(import_benchmark, make_context, run_system):
    names = [system.name for system in import_benchmark("ablations").make_ablations()]
    _, expected = run_system(make_context(), "draft")
    fed = sum(output.fed for output in expected)
    for name in names:
        _, found = run_system(make_context(ideas=True, batch_tokens=120), name)
        assert [output.ids for output in found] == [output.ids for output in expected]
        assert (sum(o.fed for o in found) > 2 * fed) is (name == "without-sharing")
    assert len(set(names)) == len(names) > 5


@pytest.mark.parametrize("name", ["generate-grammar", "generate-grammar-batched"])
@pytest.mark.parametrize("share", [False, True])
def test_constrained_outputs_equal_the_reference(make_context, run_system, name, share):
    _, expected = run_system(make_context(), "step")
    _, found = run_system(make_context(batch=3, share_prefix=share), name)
    assert [output.ids for output in found] == [output.ids for output in expected]
    assert [output.spans for output in found] == [output.spans for output in expected]
    assert any(output.spans for output in found)


def test_unconstrained_systems_have_the_same_outputs(make_context, run_system):
    inputs, alone = run_system(make_context(), "generate")
    assert any(output.well_formed and output.spans for output in alone)
    prefix = len(make_context().encoder.prefix_ids)
    for each, output in zip(inputs, alone, strict=True):
        assert output.passes == len(output.ids) + 1
        assert output.fed == prefix + len(each.prompt) + len(output.ids)
    for share in (False, True):
        _, batched = run_system(make_context(3, share_prefix=share), "generate-batched")
        assert [o.ids for o in batched] == [o.ids for o in alone]
        assert [o.passes for o in batched] == [o.passes for o in alone]
        saved = prefix if share else 0
        assert [o.fed for o in batched] == [o.fed - saved for o in alone]
        _, guessed = run_system(make_context(share_prefix=share), "generate-lookup")
        assert [o.ids for o in guessed] == [o.ids for o in alone]
        assert sum(o.passes for o in guessed) < sum(o.passes for o in alone)


def test_floor_runs_prompt_and_output(
    import_benchmark, make_context, run_system, monkeypatch
):
    inputs, expected = run_system(make_context(), "step")
    targets = [output.ids for output in expected]
    feed, fed = KeyValueBatch.feed, []

    def counted(self, numbers, ids, starts):
        fed.extend(map(list, ids))
        return feed(self, numbers, ids, starts)

    context = make_context(targets=targets)
    floor = import_benchmark("registry").make_systems(context.settings)["floor"]
    floor.prepare(context)
    # The first run also runs the instruction.
    floor.run(inputs[:1])
    monkeypatch.setattr(KeyValueBatch, "feed", counted)
    found = floor.run(inputs)
    wanted = [[*each.prompt, *ids] for each, ids in zip(inputs, targets, strict=True)]
    assert sorted(fed) == sorted(wanted)
    assert [output.fed for output in found] == [len(ids) for ids in wanted]


def test_windows_are_merged(import_benchmark, make_context, run_system):
    """The merged spans include those of the component."""
    context = make_context()
    context.ner.window = WindowSettings(max_tokens=12, overlap=6)
    inputs, found = run_system(context, "step")
    assert len(inputs) > len(context.dataset.documents)
    spans = import_benchmark("base").spans_by_document(inputs, found)
    context.ner.decoder = StepDecoder()
    for index, doc in enumerate(context.dataset.docs):
        annotated = context.nlp(doc.text)
        group = annotated.spans["sc"]
        expected = {(s.start_char, s.end_char, s.label_) for s in group}
        assert expected <= {tuple(span) for span in spans.get(index, [])}


def test_failed_system_is_reported(import_benchmark, folder, tmp_path, monkeypatch):
    benchmark = import_benchmark("decoding")
    rows = {"step": {"documents": 1, "inputs": 1, "words": 2, "seconds": 0.5}}
    rows["step"] |= dict.fromkeys(("compile_seconds", "prepare_seconds", "peak_gb"), 0)
    rows["step"] |= {"passes": 1, "fed": 1, "well_formed": None, "machine": {}}
    rows["step"] |= {"device_peak_gb": None, "spans": {}, "ids": ()}
    rows["generate"] = {"skipped": "failed: MemoryError", "failed": True}
    run = lambda jobs: ((job, dict(rows[job.name])) for job in jobs)  # noqa: E731
    monkeypatch.setattr(benchmark, "run_isolated", run)
    line = [
        "decoding.py",
        folder / "model",
        folder / "data.spacy",
        "--only",
        "generate",
    ]
    monkeypatch.setattr(
        sys, "argv", [*map(str, line), "--output", f"{tmp_path}/o.json"]
    )
    with pytest.raises(SystemExit) as stopped:
        benchmark.main()
    assert stopped.value.code == 1
    report = json.loads((tmp_path / "o.json").read_text())
    assert [row["repeats"] for row in report["contestants"]] == [3]
    expected = {"name": "generate", "why": "failed: MemoryError", "failed": True}
    assert report["skipped"] == [expected]


def test_processes_are_spawned_with_cuda(import_benchmark, make_context, monkeypatch):
    """A forked process cannot use CUDA that its parent has initialized."""
    runs = import_benchmark("decoding_runs")
    settings = make_context(dtype="float32", threads=1).settings
    asked = []
    context = runs.get_context
    monkeypatch.setattr(runs, "get_context", lambda n: asked.append(n) or context(n))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ((_, result),) = runs.run_isolated([runs.Job(settings, "step")])
    assert asked == ["spawn"]
    assert result["documents"] == 5 == len(result["spans"])


def test_unknown_systems_are_refused(import_benchmark):
    benchmark = import_benchmark("decoding")
    parse = benchmark.make_parser().parse_args
    names = ["step", "draft", "floor"]
    assert benchmark.select_systems(parse(["m", "d", "--only", "floor"]), names) == [
        "step",
        "floor",
    ]
    with pytest.raises(SystemExit, match="nobody.*draft, floor"):
        benchmark.select_systems(parse(["m", "d", "--only", "nobody"]), names)
    with pytest.raises(SystemExit, match="'step' can't be left out"):
        benchmark.select_systems(parse(["m", "d", "--without", "step"]), names)


WORDS = ["The", "[", "University", "\n", "of", '"Porto"']


def test_copy_grammar_accepts_marked_copies(import_benchmark):
    """Random outputs parse with no issues but duplicate spans and differing copies."""
    grammars = import_benchmark("copy_grammars")
    unconstrained = import_benchmark("unconstrained")
    source = make_source(WORDS, [True] * 6, lambda text: list(text.encode()))
    rules = grammars.copy_rules(source, LABELS, 2)
    fmt = get_format("inline_bracketed")
    choose = random.Random(0)
    text = source.text.rstrip(" ")
    seen = set()
    for _ in range(300):
        output, names = "", [next(iter(rules))]
        while names:
            name = names.pop(0)
            if name in rules:
                names = [*choose.choice(rules[name]), *names]
            else:
                output += json.loads(name)
        moved = unconstrained.markup_after_space(output, text, fmt, LABELS)
        parsed = fmt.parse(moved, text, LABELS)
        if "[[ [" not in output and not re.search(r"\[\[? \[", output):
            # Parsing reads a mark before a literal bracket as part of the text.
            assert {issue.code for issue in parsed.issues} <= {
                "duplicate",
                "copy_differs",
            }
        assert all(text[s.start : s.end].strip() for s in parsed.spans)
        seen |= set(parsed.spans)
    assert len(seen) > 10 and {span.label for span in seen} == set(LABELS)
    # In both notations each rule has its own line.
    assert grammars.ebnf(rules).startswith("root ::= c0d0\nc0d0 ::= ")
    assert len(grammars.lark(rules).splitlines()) == len(rules) + 1


def test_base_without_gguf_is_refused(import_benchmark, make_context, tmp_path):
    lm = component(make_context().nlp).lm
    error = import_benchmark("base").NotAvailable
    with pytest.raises(error, match="pip:PACKAGE"):
        import_benchmark("merged_gguf").write_merged_gguf(lm, tmp_path)


@pytest.fixture
def encoders(import_benchmark, monkeypatch):
    """The systems with encoders, of tiny shapes."""
    module = import_benchmark("systems.encoders")
    tiny = {
        "vocab_size": 300,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    monkeypatch.setattr(module, "DEBERTA", {**module.DEBERTA, **tiny})
    monkeypatch.setattr(module, "BERT", {**module.BERT, **tiny})
    return module


def test_encoders_score_a_text_as_they_do_in_a_batch(encoders, make_context):
    for system in encoders.make_encoders()[:4]:
        context = make_context(encoders=True, dtype="float32")
        system.prepare(context)
        inputs = system.inputs(context.dataset.documents)
        outputs = system.run(inputs)
        assert len(outputs) == len(inputs) > 2
        assert not system.annotates and all(not each.spans for each in outputs)
        together = system._run(inputs[:3])
        assert together.shape[-1] == (
            len(LABELS) if system.name.startswith("deberta") else 2 * len(LABELS) + 1
        )
        tolerance = 0.05 if system.name.endswith("bfloat16") else 1e-4
        for row, each in enumerate(inputs[:3]):
            # The end of a span is no later than the last word of the batch.
            alone = system._run([each])[0]
            found = together[row, : len(alone)]
            if alone.dim() == 3:
                alone, found = alone[:, :1], found[:, :1]
            torch.testing.assert_close(found, alone, rtol=tolerance, atol=tolerance)


def test_untrained_spancat_runs_on_the_same_documents(encoders, make_context):
    system = encoders.Spancat()
    context = make_context(encoders=True)
    system.prepare(context)
    inputs = system.inputs(context.dataset.documents)
    assert len(system.run(inputs)) == len(context.dataset.documents)


def test_documents_are_selected_and_joined(import_benchmark, make_context):
    plain = make_context().dataset
    longest = max(plain.words)
    short = make_context(max_words=longest - 1).dataset
    assert 0 < len(short.docs) < len(plain.docs)
    assert max(short.words) < longest
    long = make_context(join_words=longest + 1).dataset
    assert long.docs and min(long.words) > longest
    text = " ".join(doc.text.strip() for doc in plain.docs)
    assert all(doc.text.split()[:3] == text.split()[:3] for doc in long.docs[:1])
    first = long.docs[0]
    spans = {first.text[s.start : s.end] for s in long.spans[0]}
    assert spans <= {
        doc.text[s.start : s.end]
        for doc, found in zip(plain.docs, plain.spans, strict=True)
        for s in found
    }
    assert spans
