"""A tiny corpus, tiny pipelines and fake decoders for tests of the component."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_genner.decoding.batcher import DecodingResult, ScoredSpan

NAME = "generative_ner"
RATE = 0.01
TEXTS = [
    ("Lisbon hosts the University of Lisbon .", [(0, 1, "GPE"), (3, 6, "ORG")]),
    ("Maria lives in Porto .", [(3, 4, "GPE")]),
    ("The University of Porto is old .", [(1, 4, "ORG"), (3, 4, "GPE")]),
    ("It rains .", []),
]
# Spans nested three deep, and two labels on the same tokens.
NESTED = [
    ("the Porto city hall", [(0, 4, "ORG"), (1, 4, "ORG"), (1, 2, "GPE")]),
    ("Lisbon wins", [(0, 1, "GPE"), (0, 1, "ORG")]),
    ("It rains .", []),
]
LABELS = ["ORG", "GPE"]


def pipeline(base: Path, **changes: Any) -> Language:
    """Create a blank pipeline with the component.

    base (Path): The folder of the base.
    changes (Any): Settings of the component. `model__merge=True` sets `merge` in the
        block `model`.
    """
    config: dict[str, Any] = {
        "labels": LABELS,
        "readings": 1,
        # The only loss without random sampling.
        "loss": "constrained",
        "model": {
            "name": str(base),
            "dtype": "float32",
            "device": "cpu",
            "lora": {"rank": 32, "alpha": 64},
        },
    }
    for key, value in changes.items():
        block, _, inner = key.partition("__")
        if inner:
            config[block] = {**config.get(block, {}), inner: value}
        else:
            config[key] = value
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config=config)
    return nlp


def component(nlp: Language) -> Any:
    return nlp.get_pipe(NAME)


def make_doc(nlp: Language, text: str) -> Doc:
    """Create a document whose words are separated by spaces."""
    return Doc(nlp.vocab, words=text.split())


def make_example(
    nlp: Language, text: str, spans: Iterable[tuple[int, int, str]], key: str = "sc"
) -> Example:
    reference = make_doc(nlp, text)
    reference.spans[key] = [Span(reference, *span) for span in spans]
    return Example(make_doc(nlp, text), reference)


def make_examples(nlp: Language, texts: Any = TEXTS, key: str = "sc") -> list[Example]:
    return [make_example(nlp, text, spans, key) for text, spans in texts]


def found(doc: Doc, key: str = "sc") -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.label_) for span in doc.spans[key]]


def result(doc: Doc, key: str = "sc") -> tuple[Any, ...]:
    """Everything that the component writes to a document."""
    attrs = doc.spans[key].attrs
    ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
    scores = [float(score) for score in attrs["scores"]]
    return found(doc, key), scores, attrs["status"], attrs["issues"], ents


def results(nlp: Language, texts: Any = TEXTS) -> list[tuple[Any, ...]]:
    return [result(nlp(make_doc(nlp, text))) for text, _ in texts]


def overfit(nlp: Language, texts: Any = TEXTS, steps: int = 40) -> list[float]:
    """Overfit a corpus and return the losses."""
    fix_random_seed(0)
    examples = make_examples(nlp, texts)
    nlp.initialize(lambda: examples)
    sgd = Adam(RATE, L2=0.0)
    return [nlp.update(examples, sgd=sgd)[NAME] for _ in range(steps)]


_trained: dict[tuple[str, str], bytes] = {}


def trained_pipeline(base: Path, texts: Any = TEXTS, **changes: Any) -> Language:
    """A pipeline that reproduces a corpus. It is trained once per session."""
    key = (str(base), repr(texts))
    if key not in _trained:
        nlp = pipeline(base)
        overfit(nlp, texts)
        _trained[key] = nlp.to_bytes()
    return pipeline(base, **changes).from_bytes(_trained[key])


def perturb(nlp: Language, seed: int = 0) -> Language:
    """Change the weights of the adapter at random."""
    lm = component(nlp).lm
    generator = torch.Generator().manual_seed(seed)
    for weights in lm.adapter_parameters().values():
        weights.data += 0.1 * torch.randn(weights.shape, generator=generator)
    lm.mark_changed()
    return nlp


def digest(model: Any) -> str:
    """A checksum of all tensors of a network."""
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        state.update(name.encode())
        state.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


class FixedDecoder:
    """A decoder that returns fixed spans.

    spans (dict[str, Sequence[tuple[int, int, int, float]]]): For each text, spans over
        its words as (start, end, label index, score).
    """

    def __init__(self, spans: dict[str, Sequence[tuple[int, int, int, float]]]):
        self.spans = spans
        self.texts: list[str] = []

    def decode(self, engine: Any, tasks: Sequence[Any]) -> list[DecodingResult]:
        made = []
        for task in tasks:
            text = task.grammar.source.text.strip()
            self.texts.append(text)
            spans = tuple(ScoredSpan(*span) for span in self.spans.get(text, ()))
            made.append(DecodingResult((), spans, (), 0, 0))
        return made


class FailingDecoder:
    """A decoder that raises an error for texts with a certain word.

    inner (Any): The decoder for the other texts.
    error (Callable[[], Exception]): Creates the error.
    word (str): The word.
    """

    def __init__(self, inner: Any, error: Callable[[], Exception], word: str = "bad"):
        self.inner = inner
        self.error = error
        self.word = word
        self.calls = 0
        self.lock = threading.Lock()

    def decode(self, engine: Any, tasks: Sequence[Any]) -> list[DecodingResult]:
        with self.lock:
            self.calls += 1
        if any(self.word in task.grammar.source.text for task in tasks):
            raise self.error()
        return self.inner.decode(engine, tasks)


def annotate_with(nlp: Language, text: str, *spans: tuple[int, int, str, float]) -> Doc:
    """Annotate a text with a decoder that returns these spans."""
    pipe = component(nlp)
    fixed = [
        (start, end, pipe.labels.index(label), score)
        for start, end, label, score in spans
    ]
    pipe.decoder = FixedDecoder({text: fixed})
    return nlp(make_doc(nlp, text))
