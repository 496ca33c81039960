"""A tiny corpus and a tiny training config."""

from pathlib import Path

import spacy
from spacy import util
from spacy.tokens import Doc, DocBin, Span
from spacy.training.initialize import init_nlp
from thinc.api import Config

TEXTS = [
    ("Lisbon hosts the University of Lisbon .", [(0, 1, "GPE"), (3, 6, "ORG")]),
    ("Maria lives in Lisbon .", [(3, 4, "GPE")]),
    ("The University of Porto is old .", [(1, 4, "ORG"), (3, 4, "GPE")]),
    ("It rains .", []),
    ("Porto and Lisbon agree .", [(0, 1, "GPE"), (2, 3, "GPE")]),
    ("In 1995 the company left Porto .", [(5, 6, "GPE")]),
]

# Settings, besides the number of steps, that overfit the tiny corpus.
OVERFIT = {
    "components__generative_ner__model__lora": {"rank": 32, "alpha": 64},
    "training__dropout": 0.0,
    "training__batcher__size": 100,
    "training__optimizer__learn_rate__initial_rate": 0.02,
    "training__optimizer__L2": 0.0,
}

CONFIG = """
[paths]
train = null
dev = null

[system]
seed = 3
gpu_allocator = null

[nlp]
lang = "en"
pipeline = ["generative_ner"]

[components]

[components.generative_ner]
factory = "generative_ner"
readings = 1

[components.generative_ner.model]
@architectures = "spacy-genner.LoraCausalLM.v1"
name = "BASE"
dtype = "float32"
device = "cpu"

[components.generative_ner.model.lora]
rank = 4
alpha = 8

[corpora]

[corpora.train]
@readers = "spacy-genner.Corpus.v1"
path = ${paths.train}

[corpora.dev]
@readers = "spacy-genner.Corpus.v1"
path = ${paths.dev}

[training]
seed = ${system.seed}
gpu_allocator = ${system.gpu_allocator}
dropout = 0.1
accumulate_gradient = 2
patience = 0
max_epochs = 0
max_steps = 8
eval_frequency = 4

[training.batcher]
@batchers = "spacy.batch_by_words.v1"
size = 16
tolerance = 0.2

[training.logger]
@loggers = "spacy-genner.JsonLogger.v1"
progress_bar = false

[training.optimizer]
@optimizers = "Adam.v1"
L2 = 0.01
use_averages = false

[training.optimizer.learn_rate]
@schedules = "spacy-genner.CosineWarmup.v1"
initial_rate = 0.01
total_steps = 9

[initialize]

[initialize.components]

[initialize.components.generative_ner]
labels = ["ORG", "GPE"]
"""


def docs(texts=TEXTS):
    vocab = spacy.blank("en").vocab
    for text, spans in texts:
        doc = Doc(vocab, words=text.split())
        doc.spans["sc"] = [Span(doc, *span) for span in spans]
        yield doc


def write_corpus(path: Path, texts=TEXTS) -> Path:
    DocBin(docs=docs(texts), store_user_data=True).to_disk(path)
    return path


def make_config(base: Path, corpus: Path, **changes) -> Config:
    """Make the config of a run. `training__max_steps=3` sets `training.max_steps`."""
    overrides = {
        "paths.train": str(corpus),
        "paths.dev": str(corpus),
        "components.generative_ner.model.name": str(base),
    }
    overrides |= {key.replace("__", "."): value for key, value in changes.items()}
    return Config().from_str(CONFIG, overrides=overrides, interpolate=False)


def write_config(path: Path, config: Config) -> Path:
    config.to_disk(path)
    return path


def start(config: Config):
    """Initialize the pipeline of a config."""
    with util.working_dir(Path.cwd()):
        return init_nlp(config)


def weights(path: Path) -> bytes:
    """Read the bytes of a saved adapter."""
    file = path / "generative_ner" / "adapter" / "adapter_model.safetensors"
    return file.read_bytes()
