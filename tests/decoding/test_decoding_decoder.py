"""Both decoders against greedy decoding done the plainest way."""

import random

import pytest
import torch

from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import DraftDecoder, StepDecoder
from spacy_genner.decoding.engine import Engine
from spacy_genner.formats import get_format
from spacy_genner.models.base_model import get_base, text_decoder
from spacy_genner.models.tokenization import TokenAlignedEncoder
from spacy_genner.prompts import PromptLayout, TaskEncoder

FAMILIES = [
    ("llama", "bytelevel", "inline_bracketed"),
    ("gemma2", "metaspace", "inline_xml"),
    ("gemma3", "metaspace", "inline_bracketed"),
    ("mistral", "bytelevel", "inline_bracketed"),
    ("qwen2", "bytelevel", "inline_bracketed"),
    ("qwen3", "metaspace_prefix", "inline_xml"),
    ("granite", "bytelevel", "inline_xml"),
    ("granite4", "bytelevel", "inline_bracketed"),
    ("llama", "bytelevel", "grouped_json"),
    ("gemma3", "metaspace", "occurrence_json"),
    ("granite4", "bytelevel", "offset_json"),
]
LABELS = ("cell_line", "cell", "DNA")
ALPHABET = [
    "x",
    "Lisbon",
    "[",
    "]",
    "|",
    "cell]",
    "<DNA>",
    "</",
    "é",
    "🙂",
    "\n",
    "(IL-2)",
]


class Setting:
    def __init__(self, folder, fmt, dtype="float64", readings=1):
        # Held, because the store forgets a base that nobody holds.
        self.base = get_base(str(folder), dtype=dtype, device="cpu")
        encode = TokenAlignedEncoder(self.base.tokenizer)
        layout = PromptLayout(LABELS, format=fmt, readings=readings)
        # A model without training lists all that there is to list.
        self.listed = fmt.endswith("json")
        depth = 1 if self.listed else 3
        self.encoder = TaskEncoder(
            get_format(fmt), layout, encode, encode.begin_ids, depth
        )
        network = self.base.model
        self.engine = Engine(network, text_decoder(network), self.encoder.prefix_ids)

    def tasks(self, count, seed=0, longest=12, least=0):
        choose = random.Random(seed)
        tasks = []
        if self.listed:
            least, longest = min(least, 4), min(longest, 4)
        for _ in range(count):
            size = choose.randint(least, longest)
            words = [choose.choice(ALPHABET) for _ in range(size)]
            source = self.encoder.source(words, [choose.random() < 0.7 for _ in words])
            tasks.append(
                DecodingTask(self.encoder.grammar(source), self.encoder.prompt(source))
            )
        return tasks

    def plainly(self, task):
        """Greedy decoding with one full forward pass a token and no cache."""
        prefix = [*self.encoder.prefix_ids, *task.prompt]
        state, ids, logps = task.grammar.start(), [], []
        while not state.finished:
            with torch.no_grad():
                batch = torch.tensor([prefix + ids])
                logits = self.base.model(batch, use_cache=False).logits[0, -1]
            legal = logits[torch.tensor(state.choices)]
            index = int(legal.argmax())
            if len(state.choices) > 1:
                logps.append(float(legal.log_softmax(0)[index]))
            ids.append(state.choices[index])
            state = state.advance(ids[-1])
        return tuple(ids), logps


@pytest.fixture(
    scope="module", params=FAMILIES, ids=lambda case: f"{case[0]}-{case[2]}"
)
def setting(request, tiny_base):
    family, kind, fmt = request.param
    return Setting(tiny_base(family, kind), fmt)


def test_step_decoder_is_plain_greedy_decoding(setting):
    tasks = setting.tasks(6, seed=1, longest=6)
    for task, decoded in zip(
        tasks, StepDecoder().decode(setting.engine, tasks), strict=True
    ):
        ids, logps = setting.plainly(task)
        assert decoded.ids == ids
        assert [d.logp for d in decoded.decisions] == pytest.approx(logps, abs=1e-9)


@pytest.mark.parametrize("batch_tokens", [1, 200, 2000])
def test_draft_decoder_equals_step_decoder(setting, batch_tokens):
    tasks = setting.tasks(20, seed=batch_tokens)
    steps = StepDecoder(700).decode(setting.engine, tasks)
    drafts = DraftDecoder(batch_tokens).decode(setting.engine, tasks)
    assert [d.ids for d in drafts] == [d.ids for d in steps]
    assert sum(d.passes for d in drafts) < sum(d.passes for d in steps)
    for mine, its in zip(drafts, steps, strict=True):
        assert [d[:2] for d in mine.decisions] == [d[:2] for d in its.decisions]
        scores = [span.score for span in its.spans]
        assert [span.score for span in mine.spans] == pytest.approx(scores, abs=1e-9)


@pytest.mark.slow
def test_decoders_agree_on_hundreds_of_documents(setting):
    """In companies of one, three and seventeen, and all at once; nothing at all and
    texts far longer than the models' windows are among them."""
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
        assert [d.ids for d in drafts] == [d.ids for d in steps]
        for mine, its in zip(drafts, steps, strict=True):
            assert [d[:2] for d in mine.decisions] == [d[:2] for d in its.decisions]


@pytest.mark.parametrize("decoder", [StepDecoder, DraftDecoder])
def test_rows_padded_or_end_to_end_are_the_same(setting, decoder, monkeypatch):
    """On a CPU rows lie end to end, on other devices they are padded."""
    backbone = setting.engine.backbone
    assert backbone.packs is setting.engine.cached
    tasks = setting.tasks(20, seed=21)
    packed = decoder(700).decode(setting.engine, tasks)
    monkeypatch.setattr(backbone, "packs", False)
    padded = decoder(700).decode(setting.engine, tasks)
    assert [d.ids for d in padded] == [d.ids for d in packed]
    for mine, its in zip(padded, packed, strict=True):
        logps = [decision.logp for decision in its.decisions]
        assert [d.logp for d in mine.decisions] == pytest.approx(logps, abs=1e-9)


def test_only_layers_without_state_keep_keys_and_values(setting):
    hybrid = "Hybrid" in type(setting.base.model).__name__
    assert setting.engine.cached is not hybrid


def test_long_text_grows_the_cache_beyond_the_window(tiny_base):
    setting = Setting(tiny_base("gemma3", "metaspace"), "inline_bracketed")
    choose = random.Random(5)
    words = [choose.choice(["x", "Lisbon", "T", "of"]) for _ in range(60)]
    source = setting.encoder.source(words, [True] * len(words))
    grammar = setting.encoder.grammar(source)
    task = DecodingTask(grammar, setting.encoder.prompt(source))
    empty = setting.encoder.source([], [])
    nothing = DecodingTask(
        setting.encoder.grammar(empty), setting.encoder.prompt(empty)
    )
    step = StepDecoder().decode(setting.engine, [task, nothing])
    draft = DraftDecoder().decode(setting.engine, [nothing, task])
    assert [d.ids for d in draft] == [d.ids for d in step[::-1]]
    assert draft[0].ids == () and draft[0].passes == 0
    # Longer than the window of 16 tokens, and than the room first set aside.
    assert len(step[0].ids) > 60


def test_scores_are_the_product_of_a_spans_own_decisions(setting):
    decoded = StepDecoder().decode(setting.engine, setting.tasks(12, seed=9))
    tasks = setting.tasks(12, seed=9)
    seen = 0
    for task, result in zip(tasks, decoded, strict=True):
        logps = {d.step: d.logp for d in result.decisions}
        marked = task.grammar.walk(list(result.ids))[-1].marked
        for span, scored in zip(marked, result.spans, strict=True):
            assert scored[:3] == span[:3]
            total = sum(logps.get(step, 0.0) for step in span.steps)
            assert scored.score == pytest.approx(float(torch.tensor(total).exp()))
            assert 0.0 < scored.score <= 1.0
            seen += 1
    # A model without training may find every list empty.
    assert seen or setting.listed


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


def test_a_tie_among_labels_takes_the_first(tiny_base):
    setting = Setting(tiny_base("llama"), "inline_bracketed")
    hidden = torch.ones(setting.engine.head.weight.shape[1], dtype=torch.float64)
    setting.engine.head.weight = torch.zeros_like(setting.engine.head.weight)
    for order in ([7, 5, 9], [9, 7, 5], [5, 9]):
        chosen, logps, margins = setting.engine.choose([hidden], [order])
        assert chosen == [order[0]]
        assert logps[0] == pytest.approx(-float(torch.tensor(len(order) * 1.0).log()))
        assert margins == [0.0]


def test_float32_agrees_but_for_near_ties(tiny_base):
    """Where the decoders differ in float32, the reference itself was in doubt."""
    setting = Setting(
        tiny_base("gemma3", "metaspace"), "inline_bracketed", "float32", 2
    )
    tasks = setting.tasks(40, seed=11)
    steps = StepDecoder().decode(setting.engine, tasks)
    drafts = DraftDecoder(900).decode(setting.engine, tasks)
    for step, draft in zip(steps, drafts, strict=True):
        for mine, its in zip(draft.decisions, step.decisions, strict=False):
            if mine[:2] != its[:2]:
                assert its.margin < 1e-4
                break


@pytest.mark.parametrize("decoder", [StepDecoder, DraftDecoder])
@pytest.mark.parametrize("found", [0, -1, "0", "many", "", 2.5, True, None])
def test_batch_tokens_must_be_a_whole_number(decoder, found):
    with pytest.raises(ValueError, match=r"G106\].*'decoder\.batch_tokens'") as error:
        decoder(found)
    assert repr(found) in str(error.value)
    # A config's variables arrive as strings.
    assert decoder("900").batch_tokens == 900


def test_an_unknown_head_is_refused(tiny_base):
    base = get_base(str(tiny_base("llama")), dtype="float32", device="cpu")

    class Doubled(type(base.model)):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = output.logits * 2
            return output

    from spacy_genner.models.base_model import share_modules

    network = share_modules(base.model)
    network.__class__ = Doubled
    with pytest.raises(ValueError, match="G105"):
        Engine(network, text_decoder(network), [1, 5, 6])
