"""Draft and verify: the outputs equal those of the reference, whatever is drafted."""

import pytest
import torch
from decoding_cases import PLAIN, Setting, same_outputs

from spacy_genner.decoding import batcher
from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import (
    CopyDrafter,
    DraftDecoder,
    HeadDrafter,
    StepDecoder,
)

CASES = [
    ("gemma3", "metaspace", "inline_bracketed", 2),
    ("llama", "bytelevel", "inline_xml", 1),
    ("granite4", "bytelevel", "inline_bracketed", 2),
    ("qwen3", "bytelevel", "offset_json", 1),
    ("gemma3", "metaspace", "grouped_json", 2),
    ("llama", "bytelevel", "occurrence_json", 1),
]


@pytest.fixture(
    scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[2]}-{case[3]}"
)
def setting(request, tiny_base):
    family, kind, fmt, readings = request.param
    base = tiny_base(family, kind)
    return Setting(base, fmt, readings=readings, with_head=True)


@pytest.mark.parametrize("odds", [-3.0, 0.0, 0.3])
@pytest.mark.parametrize("expected", [False, True])
@pytest.mark.parametrize("drafter", [CopyDrafter(), HeadDrafter()])
def test_outputs_do_not_depend_on_drafts(setting, drafter, expected, odds):
    """The head proposes no spans or spans everywhere, and the expected spans are not
    legal together."""
    with torch.no_grad():
        setting.head.length.fill_(odds)
    tasks = setting.tasks(12, seed=int(10 * odds), expected=expected)
    steps = StepDecoder(700).decode(setting.engine, tasks)
    drafts = DraftDecoder(300, drafter).decode(setting.engine, tasks)
    assert same_outputs(drafts, steps)


@pytest.mark.parametrize("shortest", [1, 7])
def test_outputs_do_not_depend_on_the_length_of_drafts(setting, monkeypatch, shortest):
    monkeypatch.setattr(batcher, "MIN_DRAFT_LIMIT", shortest)
    monkeypatch.setattr(batcher, "DRAFT_GROWTH", 1)
    tasks = setting.tasks(12, seed=7, expected=True)
    steps = StepDecoder(700).decode(setting.engine, tasks)
    drafts = DraftDecoder(300).decode(setting.engine, tasks)
    assert [d.ids for d in drafts] == [d.ids for d in steps]
    assert sum(d.fed for d in drafts) >= sum(d.fed for d in steps)


def test_a_correct_draft_takes_one_pass(setting):
    tasks = setting.tasks(12, seed=5, words=PLAIN)
    steps = StepDecoder(700).decode(setting.engine, tasks)
    known = []
    written = []
    for task, done in zip(tasks, steps, strict=True):
        spans = tuple(span[:3] for span in done.spans)
        # A JSON list may repeat an entry. The spans do not tell.
        if list(done.ids) == task.grammar.target(spans):
            known.append(DecodingTask(task.grammar, task.prompt, task.word_ends, spans))
            written.append(done)
    assert len(known) > 6
    drafts = DraftDecoder(300).decode(setting.engine, known)
    assert [d.ids for d in drafts] == [d.ids for d in written]
    assert {d.passes for d in drafts} <= {0, 1}
    for task, done in zip(known, drafts, strict=True):
        if done.passes:
            assert done.fed == len(task.prompt) + len(done.ids) - 1
