"""Tiny models with grammars and random tasks, for the tests of decoding."""

import random

import torch

from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.engine import Engine
from spacy_genner.formats import get_format
from spacy_genner.models.base_model import get_base, text_decoder
from spacy_genner.models.draft_head import DraftHead
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
# Words that are no markup and do not begin like any.
PLAIN = ["x", "Lisbon", "é", "🙂", "(IL-2)"]
WORDS = [
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
    """An engine of a tiny model, with an encoder for one format.

    folder (Path): The folder of the base.
    fmt (str): The name of the format.
    dtype (str): The dtype of the base.
    readings (int): How often a prompt contains the text.
    with_head (bool): Whether the engine has a draft head, with random weights.
    """

    def __init__(self, folder, fmt, dtype="float64", readings=1, with_head=False):
        # The reference keeps the base in memory.
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
        self.head = None
        if with_head:
            width = network.config.get_text_config().hidden_size
            self.head = DraftHead(width, len(LABELS), seed=1)
            # Counts as trained.
            self.head.batches.fill_(1)
        self.engine = Engine(
            network, text_decoder(network), self.encoder.prefix_ids, self.head
        )

    def tasks(self, count, seed=0, longest=12, least=0, expected=False, words=WORDS):
        """Random texts, with random spans to draft if `expected` is true."""
        choose = random.Random(seed)
        if self.listed:
            least, longest = min(least, 4), min(longest, 4)
        tasks = []
        for _ in range(count):
            size = choose.randint(least, longest)
            text = [choose.choice(words) for _ in range(size)]
            spaces = [choose.random() < 0.7 for _ in text]
            source = self.encoder.source(text, spaces)
            spans = None
            if expected and len(source):
                boundaries = range(len(source) + 1)
                edges = [sorted(choose.sample(boundaries, 2)) for _ in range(4)]
                spans = tuple((*pair, choose.randrange(3)) for pair in edges)
            tasks.append(self.task(source, spans))
        return tasks

    def task(self, source, spans=None):
        """The task of one source, with the spans to draft."""
        prompt = self.encoder.prompt(source)
        ends = self.encoder.word_ends(source, prompt)
        return DecodingTask(self.encoder.grammar(source), prompt, ends, spans)

    def greedy(self, task):
        """Greedy decoding with one full forward pass for each token and no cache."""
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


def same_outputs(found, expected):
    """Whether results have the same tokens and the same decisions."""
    return [result.ids for result in found] == [result.ids for result in expected] and [
        [d[:2] for d in result.decisions] for result in found
    ] == [[d[:2] for d in result.decisions] for result in expected]
