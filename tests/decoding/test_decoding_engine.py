"""The engine: packed and padded rows, caches, and choices among allowed tokens."""

import pytest
import torch
from decoding_cases import FAMILIES, Setting, same_outputs

from spacy_genner.decoding.decoder import DraftDecoder, StepDecoder
from spacy_genner.decoding.engine import Engine
from spacy_genner.models.base_model import get_base, share_modules, text_decoder
from spacy_genner.models.cpu_pass import CPUPass


@pytest.fixture(
    scope="module", params=FAMILIES, ids=lambda case: f"{case[0]}-{case[2]}"
)
def setting(request, tiny_base):
    family, kind, fmt = request.param
    return Setting(tiny_base(family, kind), fmt)


@pytest.mark.parametrize("decoder", [StepDecoder, DraftDecoder])
def test_packed_and_padded_rows_give_the_same_results(setting, decoder, monkeypatch):
    """Rows are packed on a CPU, and padded on other devices."""
    backbone = setting.engine.backbone
    assert backbone.packs is setting.engine.cached
    tasks = setting.tasks(20, seed=21)
    packed = decoder(700).decode(setting.engine, tasks)
    monkeypatch.setattr(backbone, "packs", False)
    padded = decoder(700).decode(setting.engine, tasks)
    assert [d.ids for d in padded] == [d.ids for d in packed]
    for found, expected in zip(padded, packed, strict=True):
        logps = [decision.logp for decision in expected.decisions]
        assert [d.logp for d in found.decisions] == pytest.approx(logps, abs=1e-9)


def test_only_attention_layers_keep_keys_and_values(setting):
    hybrid = "Hybrid" in type(setting.base.model).__name__
    assert setting.engine.cached is not hybrid


def test_a_tie_among_labels_takes_the_first(tiny_base):
    setting = Setting(tiny_base("llama"), "inline_bracketed")
    hidden = torch.ones(setting.engine.head.weight.shape[1], dtype=torch.float64)
    setting.engine.head.weight = torch.zeros_like(setting.engine.head.weight)
    for order in ([7, 5, 9], [9, 7, 5], [5, 9]):
        chosen, logps, margins = setting.engine.choose([hidden], [order])
        assert chosen == [order[0]]
        assert logps[0] == pytest.approx(-float(torch.tensor(len(order) * 1.0).log()))
        assert margins == [0.0]


def test_an_unknown_kind_of_head_is_refused(tiny_base):
    base = get_base(str(tiny_base("llama")), dtype="float32", device="cpu")

    class Doubled(type(base.model)):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = output.logits * 2
            return output

    network = share_modules(base.model)
    network.__class__ = Doubled
    with pytest.raises(ValueError, match="G105"):
        Engine(network, text_decoder(network), [1, 5, 6])


@pytest.mark.parametrize("family", ["gemma3", "llama", "mistral", "qwen2", "qwen3"])
def test_the_pass_for_cpus_gives_the_same_results(tiny_base, family, monkeypatch):
    kind = "metaspace" if family == "gemma3" else "bytelevel"
    setting = Setting(
        tiny_base(family, kind), "inline_bracketed", dtype="float32", with_head=True
    )
    assert setting.engine.cpu_pass is not None
    tasks = setting.tasks(20, seed=31)
    drafted = DraftDecoder(700).decode(setting.engine, tasks)
    steps = StepDecoder(700).decode(setting.engine, tasks)
    assert same_outputs(drafted, steps)
    assert max(d.fed for d in drafted) > max(d.fed for d in steps)
    # Long and short drafts, in batches of any size.
    for passes, rows in ((0.0, 0.5), (1e9, 0.0)):
        monkeypatch.setattr("spacy_genner.decoding.engine.PASS_COST", passes)
        monkeypatch.setattr("spacy_genner.decoding.engine.ROW_COST", rows)
        for size in (1, 100000):
            others = DraftDecoder(size).decode(setting.engine, tasks)
            assert same_outputs(others, steps)
    monkeypatch.setattr(setting.engine, "cpu_pass", None)
    others = DraftDecoder(700).decode(setting.engine, tasks)
    assert same_outputs(drafted, others)
    for found, expected in zip(drafted, others, strict=True):
        logps = [decision.logp for decision in expected.decisions]
        assert [d.logp for d in found.decisions] == pytest.approx(logps, abs=1e-3)


def test_a_pass_that_computes_something_else_is_not_used(tiny_base, monkeypatch):
    base = get_base(str(tiny_base("llama")), dtype="float32", device="cpu")
    network = base.model
    make = lambda: Engine(network, text_decoder(network), [1, 5, 6])  # noqa: E731
    assert make().cpu_pass is not None
    run = CPUPass.run
    monkeypatch.setattr(CPUPass, "run", lambda *args: run(*args) * 1.2)
    assert make().cpu_pass is None

    def fail(*args):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(CPUPass, "run", fail)
    assert make().cpu_pass is None
