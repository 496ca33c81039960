"""Whatever is drafted, the outputs are those of the reference."""

import random

import pytest
import torch

from spacy_genner.decoding import batcher
from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import (
    CopyDrafter,
    DraftDecoder,
    HeadDrafter,
    StepDecoder,
)
from spacy_genner.decoding.engine import Engine
from spacy_genner.formats import get_format
from spacy_genner.models.base_model import get_base, text_decoder
from spacy_genner.models.draft_head import DraftHead
from spacy_genner.models.tokenization import TokenAlignedEncoder
from spacy_genner.prompts import PromptLayout, TaskEncoder

LABELS = ("cell_line", "cell", "DNA")
# None of these is, or begins like, a mark.
PLAIN = ["x", "Lisbon", "é", "🙂", "(IL-2)"]
WORDS = ["x", "Lisbon", "[", "]", "|", "cell]", "<DNA>", "é", "🙂", "\n", "(IL-2)"]
CASES = [
    ("gemma3", "metaspace", "inline_bracketed", 2),
    ("llama", "bytelevel", "inline_xml", 1),
    ("granite4", "bytelevel", "inline_bracketed", 2),
    ("qwen3", "bytelevel", "offset_json", 1),
    ("gemma3", "metaspace", "grouped_json", 2),
    ("llama", "bytelevel", "occurrence_json", 1),
]


class Setting:
    def __init__(self, folder, fmt, readings):
        self.base = get_base(str(folder), dtype="float64", device="cpu")
        encode = TokenAlignedEncoder(self.base.tokenizer)
        layout = PromptLayout(LABELS, format=fmt, readings=readings)
        depth = 1 if fmt.endswith("json") else 3
        self.longest = 4 if fmt.endswith("json") else 12
        self.encoder = TaskEncoder(
            get_format(fmt), layout, encode, encode.begin_ids, depth
        )
        network = self.base.model
        self.head = DraftHead(network.config.get_text_config().hidden_size, 3, seed=1)
        self.head.batches.fill_(1)
        self.engine = Engine(
            network, text_decoder(network), self.encoder.prefix_ids, self.head
        )

    def tasks(self, count, seed, expected, vocabulary=WORDS):
        choose = random.Random(seed)
        tasks = []
        for _ in range(count):
            words = [
                choose.choice(vocabulary)
                for _ in range(choose.randint(0, self.longest))
            ]
            source = self.encoder.source(words, [choose.random() < 0.7 for _ in words])
            prompt = self.encoder.prompt(source)
            spans = None
            if expected and len(source):
                edges = [
                    sorted(choose.sample(range(len(source) + 1), 2)) for _ in range(4)
                ]
                spans = tuple((*pair, choose.randrange(3)) for pair in edges)
            ends = self.encoder.unit_ends(source, prompt)
            tasks.append(
                DecodingTask(self.encoder.grammar(source), prompt, ends, spans)
            )
        return tasks


@pytest.fixture(
    scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[2]}-{case[3]}"
)
def setting(request, tiny_base):
    family, kind, fmt, readings = request.param
    return Setting(tiny_base(family, kind), fmt, readings)


@pytest.mark.parametrize("odds", [-3.0, 0.0, 0.3])
@pytest.mark.parametrize("expected", [False, True])
@pytest.mark.parametrize("drafter", [CopyDrafter(), HeadDrafter()])
def test_outputs_do_not_hang_on_drafts(setting, drafter, expected, odds):
    """Neither on a head that sees no spans or spans everywhere, nor on spans that are
    not legal together."""
    with torch.no_grad():
        setting.head.length.fill_(odds)
    tasks = setting.tasks(12, seed=int(10 * odds), expected=expected)
    steps = StepDecoder(700).decode(setting.engine, tasks)
    drafts = DraftDecoder(300, drafter).decode(setting.engine, tasks)
    assert [d.ids for d in drafts] == [d.ids for d in steps]
    for mine, its in zip(drafts, steps, strict=True):
        assert [d[:2] for d in mine.decisions] == [d[:2] for d in its.decisions]


@pytest.mark.parametrize("shortest", [1, 7])
def test_outputs_do_not_hang_on_the_length_of_drafts(setting, monkeypatch, shortest):
    monkeypatch.setattr(batcher, "SHORTEST", shortest)
    monkeypatch.setattr(batcher, "DRAFT_GROWTH", 1)
    tasks = setting.tasks(12, seed=7, expected=True)
    steps = StepDecoder(700).decode(setting.engine, tasks)
    drafts = DraftDecoder(300).decode(setting.engine, tasks)
    assert [d.ids for d in drafts] == [d.ids for d in steps]
    assert sum(d.fed for d in drafts) >= sum(d.fed for d in steps)


def test_spans_that_come_true_take_one_pass(setting):
    tasks = setting.tasks(12, seed=5, expected=False, vocabulary=PLAIN)
    steps = StepDecoder(700).decode(setting.engine, tasks)
    known = [
        DecodingTask(t.grammar, t.prompt, t.unit_ends, tuple(s[:3] for s in done.spans))
        for t, done in zip(tasks, steps, strict=True)
    ]
    drafts = DraftDecoder(300).decode(setting.engine, known)
    assert [d.ids for d in drafts] == [d.ids for d in steps]
    assert {d.passes for d in drafts} <= {0, 1}
    for task, done in zip(known, drafts, strict=True):
        if done.passes:
            assert done.fed == len(task.prompt) + len(done.ids) - 1
