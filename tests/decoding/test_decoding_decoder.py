"""Both decoders, compared with the simplest greedy decoding."""

import random

import pytest
import torch
from decoding_cases import FAMILIES, Setting, same_outputs

from spacy_genner.decoding.decoder import DraftDecoder, StepDecoder


@pytest.fixture(
    scope="module", params=FAMILIES, ids=lambda case: f"{case[0]}-{case[2]}"
)
def setting(request, tiny_base):
    family, kind, fmt = request.param
    return Setting(tiny_base(family, kind), fmt)


def test_the_step_decoder_is_greedy_decoding(setting):
    tasks = setting.tasks(6, seed=1, longest=6)
    for task, decoded in zip(
        tasks, StepDecoder().decode(setting.engine, tasks), strict=True
    ):
        ids, logps = setting.greedy(task)
        assert decoded.ids == ids
        assert [d.logp for d in decoded.decisions] == pytest.approx(logps, abs=1e-9)


@pytest.mark.parametrize("batch_tokens", [1, 200, 2000])
def test_the_draft_decoder_equals_the_step_decoder(setting, batch_tokens):
    tasks = setting.tasks(20, seed=batch_tokens)
    steps = StepDecoder(700).decode(setting.engine, tasks)
    drafts = DraftDecoder(batch_tokens).decode(setting.engine, tasks)
    assert same_outputs(drafts, steps)
    assert sum(d.passes for d in drafts) < sum(d.passes for d in steps)
    for draft, step in zip(drafts, steps, strict=True):
        scores = [span.score for span in step.spans]
        assert [span.score for span in draft.spans] == pytest.approx(scores, abs=1e-9)


def test_the_bias_of_opening(setting):
    tasks = setting.tasks(12, seed=4)
    found = {}
    for bias in (-1000.0, -1.0, 0.0, 1.0, 1000.0):
        steps = StepDecoder(700, opening_bias=bias).decode(setting.engine, tasks)
        drafts = DraftDecoder(900, opening_bias=bias).decode(setting.engine, tasks)
        assert same_outputs(drafts, steps)
        found[bias] = [each.ids for each in steps], sum(len(s.spans) for s in steps)
    if not setting.listed:
        assert found[-1000.0][1] == 0
        assert found[-1.0][1] <= found[0.0][1] <= found[1.0][1] < found[1000.0][1]
    else:
        # Spans in a list are not opened in the text.
        assert found[-1000.0] == found[0.0] == found[1000.0]


@pytest.mark.parametrize(
    "bias", ["much", None, float("inf"), True, "nan", 1e300, -1001]
)
def test_the_bias_is_a_number(bias):
    with pytest.raises(ValueError, match="G407.*opening_bias"):
        DraftDecoder(opening_bias=bias)


@pytest.mark.slow
def test_the_decoders_agree_on_hundreds_of_documents(setting):
    """Batches of one, three, seventeen and all documents. Empty texts and texts far
    longer than the models' windows are among them."""
    tasks = setting.tasks(196, seed=31)
    for longest, seed in [(0, 32), (0, 33), (80, 34), (50, 35)]:
        at = random.Random(seed).randrange(len(tasks))
        tasks[at:at] = setting.tasks(1, seed, longest, least=longest)
    steps = StepDecoder(2000).decode(setting.engine, tasks)
    assert len(steps) == 200
    for size in (1, 3, 17, 200):
        drafts = [
            draft
            for at in range(0, len(tasks), size)
            for draft in DraftDecoder().decode(setting.engine, tasks[at : at + size])
        ]
        assert same_outputs(drafts, steps)


def test_a_long_text_grows_the_cache_beyond_the_window(tiny_base):
    setting = Setting(tiny_base("gemma3", "metaspace"), "inline_bracketed")
    choose = random.Random(5)
    words = [choose.choice(["x", "Lisbon", "T", "of"]) for _ in range(60)]
    source = setting.encoder.source(words, [True] * len(words))
    task = setting.task(source)
    empty = setting.task(setting.encoder.source([], []))
    step = StepDecoder().decode(setting.engine, [task, empty])
    draft = DraftDecoder().decode(setting.engine, [empty, task])
    assert [d.ids for d in draft] == [d.ids for d in step[::-1]]
    assert draft[0].ids == () and draft[0].passes == 0
    # Longer than the window of 16 tokens and the initial capacity.
    assert len(step[0].ids) > 60


def test_a_score_is_the_product_of_the_decisions_of_a_span(setting):
    decoded = StepDecoder().decode(setting.engine, setting.tasks(12, seed=9))
    tasks = setting.tasks(12, seed=9)
    count = 0
    for task, result in zip(tasks, decoded, strict=True):
        logps = {d.step: d.logp for d in result.decisions}
        marked = task.grammar.walk(list(result.ids))[-1].spans
        for span, scored in zip(marked, result.spans, strict=True):
            assert scored[:3] == span[:3]
            total = sum(logps.get(step, 0.0) for step in span.steps)
            assert scored.score == pytest.approx(float(torch.tensor(total).exp()))
            assert 0.0 < scored.score <= 1.0
            count += 1
    # A model without training may leave every list empty.
    assert count or setting.listed


def test_ties_take_copy_before_close_before_open(tiny_base):
    setting = Setting(tiny_base("llama"), "inline_bracketed")
    weight = setting.engine.head.weight
    setting.engine.head.weight = torch.zeros_like(weight)
    tasks = setting.tasks(5, seed=3)
    for task, decoded in zip(
        tasks, DraftDecoder().decode(setting.engine, tasks), strict=True
    ):
        assert decoded.ids == tuple(task.grammar.source.flat_ids)
        assert all(decision.margin == 0.0 for decision in decoded.decisions)


def test_the_decoders_differ_in_float32_only_at_near_ties(tiny_base):
    base = tiny_base("gemma3", "metaspace")
    setting = Setting(base, "inline_bracketed", "float32", readings=2)
    tasks = setting.tasks(40, seed=11)
    steps = StepDecoder().decode(setting.engine, tasks)
    drafts = DraftDecoder(900).decode(setting.engine, tasks)
    for step, draft in zip(steps, drafts, strict=True):
        for ours, expected in zip(draft.decisions, step.decisions, strict=False):
            if ours[:2] != expected[:2]:
                assert expected.margin < 1e-4
                break


@pytest.mark.parametrize("decoder", [StepDecoder, DraftDecoder])
@pytest.mark.parametrize("found", [0, -1, "0", "many", "", 2.5, True, None])
def test_batch_tokens_must_be_a_whole_number(decoder, found):
    with pytest.raises(ValueError, match=r"G106\].*'decoder\.batch_tokens'") as error:
        decoder(found)
    assert repr(found) in str(error.value)
    # The variables of a config are strings.
    assert decoder("900").batch_tokens == 900
