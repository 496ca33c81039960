"""What the benchmarks of `annotate --ray` share: a tiny pipeline, corpora of short
synthetic sentences, and the processes of a run."""

import json
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import spacy

NAMES = ["Maria", "John", "Ana", "Peter"]
PLACES = ["Lisbon", "Porto", "Madrid", "Paris"]
SENTENCES = [
    "{name} lives in {place} since {number}.",
    "The University of {place} hosts {name}{number}.",
    "{name}{number} met {other} in {place}.",
    "In {number}, {name} left the city of {place}.",
]
SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>"]


def write_corpus(path: Path, size: int, seed: int = 0) -> None:
    """Write short texts with an id. Numbers in words make new words throughout the
    corpus, as names do in real ones.

    path (Path): The `.jsonl` file.
    size (int): The number of texts.
    seed (int): The seed of the texts.
    """
    choose = random.Random(seed)
    with path.open("w", encoding="utf8") as file:
        for number in range(size):
            text = choose.choice(SENTENCES).format(
                name=choose.choice(NAMES),
                other=choose.choice(NAMES),
                place=choose.choice(PLACES),
                number=number,
            )
            file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")


def save_tiny_pipeline(folder: Path) -> None:
    """Save a pipeline with an untrained adapter on a base of two layers with random
    weights, which finds spans that mean nothing.

    folder (Path): The folder of the pipeline. The base is its sibling.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*SENTENCES, *NAMES, *PLACES], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>",
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        initializer_range=0.3,
    )
    base = folder.with_name(f"{folder.name}-base")
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(base)
    fast.save_pretrained(base)
    save_pipeline(folder, str(base))


def save_pipeline(folder: Path, base: str) -> None:
    """Save a pipeline with an untrained adapter.

    folder (Path): The folder of the pipeline.
    base (str): The name of the base model.
    """
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-genner.LoraCausalLM.v1", "name": base}
    labels = ["ORG", "GPE", "PERSON"]
    nlp.add_pipe("generative_ner", config={"labels": labels, "model": model})
    nlp.initialize()
    nlp.to_disk(folder)


def save_rules_pipeline(folder: Path) -> None:
    """Save a pipeline without a model, which finds names and places by rules.

    folder (Path): The folder of the pipeline.
    """
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("span_ruler", config={"spans_key": "sc"})
    patterns = [{"label": "GPE", "pattern": place} for place in PLACES]
    patterns += [{"label": "PERSON", "pattern": name} for name in NAMES]
    ruler.add_patterns(patterns)  # type: ignore[attr-defined]
    nlp.to_disk(folder)


def command(*arguments: object) -> list[str]:
    """RETURNS (list[str]): The command line of `genner annotate`."""
    return [sys.executable, "-m", "spacy_genner", "annotate", *map(str, arguments)]


def workers_of(driver: int) -> Iterator[psutil.Process]:
    """Find the workers that hold a pipeline or are about to load it.

    driver (int): The process that started the cluster.
    YIELDS (psutil.Process): The workers.
    """
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(driver).children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "MapWorker" in " ".join(process.cmdline()):
                    yield process


def parts_of(folder: Path) -> bytes:
    """RETURNS (bytes): The content of all parts, in order."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part-*")))
