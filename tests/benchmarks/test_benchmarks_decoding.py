"""`benchmarks/decoding.py`: all ways to decode one model, side by side."""

import importlib
import json
import random
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import spacy
import torch
from component_cases import (
    TEXTS,
    component,
    learn,
    make_doc,
    make_examples,
    pipeline,
)
from spacy.tokens import DocBin

from spacy_genner.decoding.decoder import StepDecoder
from spacy_genner.formats import get_format
from spacy_genner.grammar import make_source

ROOT = Path(__file__).parents[2]
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


@pytest.fixture
def modules(monkeypatch):
    """Imports the benchmark's modules, which find those beside them."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


@pytest.fixture(scope="module")
def folder(tiny_base, tmp_path_factory):
    """A model that writes its outputs freely, a corpus, and a pipeline of spaCy's."""
    folder = tmp_path_factory.mktemp("decoding")
    nlp = pipeline(tiny_base("gemma3", "metaspace"), loss="lm")
    learn(nlp, TEXTS, steps=60)
    nlp.to_disk(folder / "model")
    docs = [example.reference for example in make_examples(nlp)]
    DocBin(docs=[*docs, make_doc(nlp, "")]).to_disk(folder / "data.spacy")
    other = spacy.blank("en")
    ruler = other.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "GPE", "pattern": "Lisbon"}])
    other.to_disk(folder / "rules")
    return folder


@pytest.fixture
def room(modules, folder, tmp_path):
    """Makes the room of a contestant, with other settings."""
    decoding_room = modules("decoding_room")

    def made(batch=1, targets=(), dtype="float64", **changes):
        settings = decoding_room.Settings(
            str(folder / "model"),
            str(folder / "data.spacy"),
            str(tmp_path),
            dtype=dtype,
            **changes,
        )
        return decoding_room.Room(settings, batch, targets)

    return made


def answers(modules, room, name):
    contestant = modules("contestants").make_contestants(room.settings)[name]
    contestant.prepare(room)
    inputs = contestant.inputs(room.gold.documents)
    return inputs, contestant.run(inputs)


def test_one_run_has_all(modules, folder, tmp_path, monkeypatch, capsys):
    benchmark = modules("decoding")
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
    # Whoever is left out is named, with the reason.
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


def test_another_pipeline_drafts(modules, room, folder, monkeypatch):
    """What it found is drafted, and taken only where the model says so, too."""
    _, expected = answers(modules, room(), "step")
    made = room(also=(str(folder / "rules"),))
    drafter = modules("contestants_spacy").DocSpansDrafter
    drafted = []

    class Watched(drafter):
        def expected(self, doc):
            drafted.append(super().expected(doc))
            return drafted[-1]

    monkeypatch.setattr(modules("contestants_spacy"), "DocSpansDrafter", Watched)
    _, found = answers(modules, made, f"draft:{folder.name}/rules")
    assert [answer.ids for answer in found] == [answer.ids for answer in expected]
    said = {(span.text, span.label_) for spans in drafted for span in spans}
    assert said == {("Lisbon", "GPE")}


def test_without_an_idea_the_outputs_are_the_same(modules, room):
    ideas = modules("contestants_without").IDEAS
    _, expected = answers(modules, room(), "draft")
    fed = sum(answer.fed for answer in expected)
    for idea in ideas:
        _, found = answers(modules, room(ideas=True, batch_tokens=120), idea.name)
        assert [answer.ids for answer in found] == [answer.ids for answer in expected]
        assert (sum(a.fed for a in found) > 2 * fed) is (idea.name == "without-sharing")
    assert len({idea.name for idea in ideas}) == len(ideas) > 5


@pytest.mark.parametrize("name", ["generate-grammar", "generate-grammar-batched"])
@pytest.mark.parametrize("share", [False, True])
def test_held_to_the_grammar_the_spans_are_the_references(modules, room, name, share):
    _, expected = answers(modules, room(), "step")
    _, found = answers(modules, room(batch=3, share_prefix=share), name)
    assert [answer.ids for answer in found] == [answer.ids for answer in expected]
    assert [answer.spans for answer in found] == [answer.spans for answer in expected]
    assert any(answer.spans for answer in found)


def test_free_answers_are_the_same_in_every_way(modules, room):
    inputs, alone = answers(modules, room(), "generate")
    assert any(answer.well_formed and answer.spans for answer in alone)
    prefix = len(room().encoder.prefix_ids)
    for each, answer in zip(inputs, alone, strict=True):
        assert answer.passes == len(answer.ids) + 1
        assert answer.fed == prefix + len(each.prompt) + len(answer.ids)
    for share in (False, True):
        _, batched = answers(modules, room(3, share_prefix=share), "generate-batched")
        assert [a.ids for a in batched] == [a.ids for a in alone]
        assert [a.passes for a in batched] == [a.passes for a in alone]
        saved = prefix if share else 0
        assert [a.fed for a in batched] == [a.fed - saved for a in alone]
        _, guessed = answers(modules, room(share_prefix=share), "generate-lookup")
        assert [a.ids for a in guessed] == [a.ids for a in alone]
        assert sum(a.passes for a in guessed) < sum(a.passes for a in alone)


def test_the_floor_feeds_prompt_and_output(modules, room, monkeypatch):
    inputs, expected = answers(modules, room(), "step")
    targets = [answer.ids for answer in expected]
    rows = modules("spacy_genner.decoding.engine").KeyValueBatch
    feed, fed = rows.feed, []

    def counted(self, numbers, ids, starts):
        fed.extend(map(list, ids))
        return feed(self, numbers, ids, starts)

    floors = room(targets=targets)
    contestant = modules("contestants").make_contestants(floors.settings)["floor"]
    contestant.prepare(floors)
    # The instruction has been run before.
    contestant.run(inputs[:1])
    monkeypatch.setattr(rows, "feed", counted)
    found = contestant.run(inputs)
    wanted = [[*each.prompt, *ids] for each, ids in zip(inputs, targets, strict=True)]
    assert sorted(fed) == sorted(wanted)
    assert [answer.fed for answer in found] == [len(ids) for ids in wanted]


def test_windows_of_a_document_are_put_together(modules, room, folder, monkeypatch):
    """Spans found in windows have the places that the component gives them."""
    made = room()
    monkeypatch.setattr(made.runtime.cutter, "max_tokens", 12)
    monkeypatch.setattr(made.runtime.cutter, "overlap", 6)
    inputs, found = answers(modules, made, "step")
    assert len(inputs) > len(made.gold.documents)
    spans = modules("decoding_room").by_document(inputs, found)
    made.ner.decoder = StepDecoder()
    for index, doc in enumerate(made.gold.docs):
        annotated = made.nlp(doc.text)
        group = annotated.spans["sc"]
        expected = {(s.start_char, s.end_char, s.label_) for s in group}
        assert expected <= {tuple(span) for span in spans.get(index, [])}


def test_a_contestant_that_breaks_is_named(modules, folder, tmp_path, monkeypatch):
    benchmark = modules("decoding")
    rows = {"step": {"documents": 1, "inputs": 1, "words": 2, "seconds": 0.5}}
    rows["step"] |= dict.fromkeys(("compile_seconds", "prepare_seconds", "peak_gb"), 0)
    rows["step"] |= {"passes": 1, "fed": 1, "well_formed": None, "machine": {}}
    rows["step"] |= {"device_peak_gb": None, "spans": {}, "ids": ()}
    rows["generate"] = {"skipped": "failed: MemoryError", "failed": True}
    run = lambda jobs: ((job, dict(rows[job.name])) for job in jobs)  # noqa: E731
    monkeypatch.setattr(benchmark, "run_apart", run)
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


def test_processes_are_not_forked_where_there_is_cuda(modules, room, monkeypatch):
    """What was forked from a process that has asked for CUDA can't use it."""
    runs = modules("decoding_runs")
    settings = room(dtype="float32", threads=1).settings
    asked = []
    context = runs.get_context
    monkeypatch.setattr(runs, "get_context", lambda n: asked.append(n) or context(n))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    ((_, result),) = runs.run_apart([runs.Job(settings, "step")])
    assert asked == ["spawn"]
    assert result["documents"] == 5 == len(result["spans"])


def test_unknown_contestants_are_refused(modules):
    benchmark = modules("decoding")
    parse = benchmark.make_parser().parse_args
    names = ["step", "draft", "floor"]
    assert benchmark.chosen(parse(["m", "d", "--only", "floor"]), names) == [
        "step",
        "floor",
    ]
    with pytest.raises(SystemExit, match="nobody.*draft, floor"):
        benchmark.chosen(parse(["m", "d", "--only", "nobody"]), names)
    with pytest.raises(SystemExit, match="'step' can't be left out"):
        benchmark.chosen(parse(["m", "d", "--without", "step"]), names)


WORDS = ["The", "[", "University", "\n", "of", '"Porto"']


def test_the_grammar_of_a_text_says_copies_with_marks(modules):
    grammars = modules("copy_grammars")
    free = modules("free_outputs")
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
        moved = free.marks_after_space(output, text, fmt, LABELS)
        parsed = fmt.parse(moved, text, LABELS)
        if "[[ [" not in output and not re.search(r"\[\[? \[", output):
            # A mark right before a literal bracket is read as the copy.
            assert {issue.code for issue in parsed.issues} <= {
                "duplicate",
                "copy_differs",
            }
        assert all(text[s.start : s.end].strip() for s in parsed.spans)
        seen |= set(parsed.spans)
    assert len(seen) > 10 and {span.label for span in seen} == set(LABELS)
    # Both notations have one rule a line.
    assert grammars.ebnf(rules).startswith("root ::= c0d0\nc0d0 ::= ")
    assert len(grammars.lark(rules).splitlines()) == len(rules) + 1


def test_merged_weights_take_the_place_of_the_bases(modules, tmp_path):
    gguf = pytest.importorskip("gguf")
    merged = modules("merged_gguf")
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "gemma3")
    writer.add_block_count(1)
    writer.add_token_list(["a", "b"])
    weights = {
        "token_embd.weight": torch.randn(2, 32),
        "blk.0.attn_q.weight": torch.randn(8, 32),
        "blk.0.attn_norm.weight": torch.randn(32),
    }
    for name, weight in weights.items():
        kind = gguf.GGMLQuantizationType.Q8_0 if weight.ndim > 1 else None
        data = weight.numpy()
        data = gguf.quantize(data, kind) if kind is not None else data
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    new = torch.randn(8, 32)
    changed = {"model.layers.0.self_attn.q_proj.weight": new}
    merged.replace_weights(tmp_path / "a.gguf", changed, tmp_path / "b.gguf")
    reader = gguf.GGUFReader(tmp_path / "b.gguf")
    tokens = reader.get_field("tokenizer.ggml.tokens").contents()
    assert tokens == ["a", "b"]
    found = {t.name: torch.tensor(t.data.astype("float32")) for t in reader.tensors}
    for name, weight in {**weights, "blk.0.attn_q.weight": new}.items():
        assert torch.allclose(found[name], weight, atol=0.03), name
    assert torch.allclose(found["blk.0.attn_q.weight"], new, atol=2e-3)
    lost = {"model.layers.0.self_attn.unheard.weight": new}
    with pytest.raises(modules("contestants").CannotRun, match="unheard"):
        merged.replace_weights(tmp_path / "a.gguf", lost, tmp_path / "c.gguf")


def test_a_base_without_gguf_is_refused(modules, room, tmp_path):
    lm = component(room().nlp).lm
    refused = modules("contestants").CannotRun
    with pytest.raises(refused, match="pip:PACKAGE"):
        modules("merged_gguf").write_merged(lm, tmp_path)
