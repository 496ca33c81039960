"""Encoders of the shapes that people would use for NER instead, with random weights.

Their speed does not depend on what the weights are. They read the same texts, cut into
the same word pieces, and score spans or words; F1 is not computed. Scores are computed
for all texts and turned into spans above a threshold that none reaches, so that no time
goes into spans that a random model finds.

- `deberta-...` has the shape of GLiNER with DeBERTa-v3-base (Zaratiana et al., "GLiNER:
  Generalist Model for Named Entity Recognition using Bidirectional Transformer", 2024):
  labels in the prompt, and a score for each span of up to 12 words and each label.
- `bert-...` has the shape of BERT-base with a tag for each word.
- `spancat` is the untrained pipeline of `configs/baseline-spancat.cfg`.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy
import torch
from base import Context, Input, Output, System
from spacy.training import Example
from torch import Tensor, nn

from .spacy_pipelines import pipeline_inputs

BATCH_SIZES = (4, 8, 16, 32, 64)
# GLiNER's maximum number of words of a span.
MAX_WIDTH = 12
# The number of inputs that batch sizes are tried on.
TRIAL = 64
SPANCAT = Path(__file__).parents[2] / "configs" / "baseline-spancat.cfg"


def projection(width: int, output: int) -> nn.Module:
    """RETURNS (Module): GLiNER's projection, an MLP with four times the width."""
    return nn.Sequential(
        nn.Linear(width, 4 * output), nn.ReLU(), nn.Linear(4 * output, output)
    )


class SpanScorer(nn.Module):
    """A text encoder with GLiNER's scores of spans and labels.

    encoder (nn.Module): The encoder.
    width (int): The size of its hidden states.
    """

    def __init__(self, encoder: Any, width: int):
        super().__init__()
        self.encoder = encoder
        self.start = projection(width, width)
        self.end = projection(width, width)
        self.span = projection(2 * width, width)
        self.label = projection(width, width)

    def forward(self, ids: Tensor, mask: Tensor, words: Tensor, labels: int) -> Tensor:
        """RETURNS (Tensor): Scores, shape (batch, words, MAX_WIDTH, labels)."""
        hidden = self.encoder(input_ids=ids, attention_mask=mask)[0]
        width = hidden.shape[-1]
        # The first tokens stand for the labels.
        label = self.label(hidden[:, :labels])
        index = words[..., None].expand(-1, -1, width)
        word = hidden.gather(1, index)
        count = words.shape[1]
        ends = torch.arange(count)[:, None] + torch.arange(MAX_WIDTH)
        start = self.start(word)[:, :, None].expand(-1, -1, MAX_WIDTH, -1)
        end = self.end(word)[:, ends.clamp(max=count - 1)]
        span = self.span(torch.cat([start, end], dim=-1).relu())
        return torch.einsum("bwkd,bcd->bwkc", span, label)


class WordTagger(nn.Module):
    """A text encoder with a tag for each word.

    encoder (nn.Module): The encoder.
    width (int): The size of its hidden states.
    """

    def __init__(self, encoder: Any, width: int, labels: int):
        super().__init__()
        self.encoder = encoder
        self.tag = nn.Linear(width, 2 * labels + 1)

    def forward(self, ids: Tensor, mask: Tensor, words: Tensor, labels: int) -> Tensor:
        """RETURNS (Tensor): Scores, shape (batch, words, tags)."""
        hidden = self.encoder(input_ids=ids, attention_mask=mask)[0]
        index = words[..., None].expand(-1, -1, hidden.shape[-1])
        scores: Tensor = self.tag(hidden.gather(1, index))
        return scores


class Encoder(System):
    """An encoder with random weights, with the best of several batch sizes.

    shape (str): "deberta" or "bert".
    dtype (str): "float32" or "bfloat16".
    """

    slow = False
    counted = False
    annotates = False

    def __init__(self, shape: str, dtype: str):
        self.name = f"{shape}-{dtype}"
        self._shape = shape
        self._dtype = getattr(torch, dtype)

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        torch.manual_seed(context.settings.seed)
        labels = context.encoder.labels
        self._labels = len(labels)
        if self._shape == "deberta":
            # GLiNER's prompt: a token before each label, and one behind all of them.
            encode = context.encoder.encode
            self._prompt = [0] * len(labels)
            self._prompt += [id_ for label in labels for id_ in encode(f" {label}")]
            self._prompt.append(0)
            config, encoder = make_deberta()
            network: Any = SpanScorer(encoder, config.hidden_size)
        else:
            self._prompt = [0]
            config, encoder = make_bert()
            network = WordTagger(encoder, config.hidden_size, self._labels)
        self._vocabulary = config.vocab_size
        self._network = network.to(self._dtype).eval()
        trial = context.inputs(context.dataset.documents[:TRIAL])[:TRIAL]
        self._batch = 1
        self._batch = min(BATCH_SIZES, key=lambda size: self._seconds(trial, size))

    def _seconds(self, inputs: Sequence[Input], size: int) -> float:
        self._batch = size
        self.run(inputs[:size])
        started = time.perf_counter()
        self.run(inputs)
        return time.perf_counter() - started

    @torch.inference_mode()
    def run(self, inputs: Sequence[Input]) -> list[Output]:
        order = sorted(
            range(len(inputs)), key=lambda i: -len(inputs[i].source.flat_ids)
        )
        for first in range(0, len(order), self._batch):
            self._run([inputs[i] for i in order[first : first + self._batch]])
        return [Output(()) for _ in inputs]

    def _run(self, batch: Sequence[Input]) -> Tensor:
        """RETURNS (Tensor): The scores of a batch."""
        texts, starts = [], []
        for each in batch:
            ids, words = list(self._prompt), []
            for word in each.source.ids:
                words.append(len(ids))
                ids += word
            texts.append([id_ % self._vocabulary for id_ in ids])
            starts.append(words)
        ids, words = padded(texts), padded(starts)
        lengths = torch.tensor([len(text) for text in texts])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        scores: Tensor = self._network(ids, mask, words, self._labels)
        # Spans are those above a threshold.
        scores.sigmoid().gt(1.0).nonzero().tolist()
        return scores


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """RETURNS (Tensor): The rows, padded with zeros, shape (rows, longest)."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


# microsoft/deberta-v3-base, and BERT-base with room for longer inputs.
DEBERTA: dict[str, Any] = {
    "vocab_size": 128100,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "max_position_embeddings": 512,
    "type_vocab_size": 0,
}
BERT: dict[str, Any] = {"max_position_embeddings": 2048}


def make_deberta() -> tuple[Any, Any]:
    """RETURNS (tuple[DebertaV2Config, DebertaV2Model]): Random weights."""
    from transformers import DebertaV2Config, DebertaV2Model

    config = DebertaV2Config(**DEBERTA)
    return config, DebertaV2Model(config)


def make_bert() -> tuple[Any, Any]:
    """RETURNS (tuple[BertConfig, BertModel]): Random weights."""
    from transformers import BertConfig, BertModel

    config = BertConfig(**BERT)
    return config, BertModel(config, add_pooling_layer=False)


class Spancat(System):
    """spaCy's `spancat` with the settings of the baseline, without training."""

    name = "spancat"
    slow = False
    counted = False
    annotates = False

    def prepare(self, context: Context) -> None:
        super().prepare(context)
        config = spacy.util.load_config(SPANCAT)
        del config["initialize"]
        self._nlp = spacy.util.load_model_from_config(config, auto_fill=True)
        key = self._nlp.get_pipe("spancat").key
        examples = []
        for doc, spans in zip(context.dataset.docs, context.dataset.spans, strict=True):
            made = self._nlp.make_doc(doc.text)
            found = [made.char_span(s.start, s.end, s.label) for s in spans]
            made.spans[key] = [span for span in found if span is not None]
            examples.append(Example(self._nlp.make_doc(doc.text), made))
        self._nlp.initialize(lambda: examples)

    def inputs(self, documents: Sequence[int]) -> list[Input]:
        return pipeline_inputs(self._nlp, self.context, documents)

    def run(self, inputs: Sequence[Input]) -> list[Output]:
        docs = [self._nlp.make_doc(each.text) for each in inputs]
        return [Output(()) for _ in self._nlp.pipe(docs)]


def make_encoders() -> list[System]:
    """RETURNS (list[System]): The encoders."""
    shapes = [(s, d) for s in ("deberta", "bert") for d in ("float32", "bfloat16")]
    return [*(Encoder(shape, dtype) for shape, dtype in shapes), Spancat()]
