"""Check a base model that is new to the project, such as a GGUF file, in float32.

The sentences of both decoders are compared before and after a few updates. With
--tokenizer, the base's tokenizer is compared with a published `tokenizer.json` on
difficult texts. Prints one line of JSON. The exit code is 1 if a sentence or a text
differs.

    python benchmarks/new_base.py models/SmolLM2-135M-Instruct.Q4_1.gguf \\
        corpus/train.spacy corpus/test.spacy --labels corpus/labels.json
"""

import argparse
import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import spacy
from decoders_agree import NEAR_TIE, first_difference
from recorder import Recorder
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_genner.decoding.decoder import DraftDecoder, StepDecoder

TEXTS = [
    "In 1995, 3.14159 and 1,000,000 cells (24/7) on 2024-11-30.",
    "  two  spaces   three\t\ttabs\n\nlines\r\n \u00a0nbsp\u2003em",
    "😀 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 👍🏽 漢字かな交じり文 한국어 中文，标点。 ไทย हिन्दी مرحبا שלום",
    "caf\u00e9 cafe\u0301 ﬁ ½ ² Ⅷ ① ١٢٣ İ ß ẞ a\u200bb\ufeff",
    "IL-2)-induced NF-kappa B.  x=3;y='a' don't DON'T we'LL I'm",
    "<eos> <bos> <0x0A> <|im_end|> ▁▁a ▁b [x | GPE]",
]


def difficult_texts(count: int, seed: int) -> list[str]:
    """Mix the characters of difficult texts with ASCII.

    count (int): The number of mixed texts.
    seed (int): The seed.
    RETURNS (list[str]): The texts, and the mixed ones.
    """
    rng = random.Random(seed)
    pool = "".join(TEXTS) + "".join(map(chr, range(32, 127))) + " \t\n" * 3
    mixed = ("".join(rng.choices(pool, k=rng.randint(1, 40))) for _ in range(count))
    return [*TEXTS, *mixed]


def compare_tokenizers(tokenizer: Any, path: str, texts: list[str]) -> list[str]:
    """Compare a tokenizer with a published one.

    tokenizer (PreTrainedTokenizerFast): The tokenizer.
    path (str): The `tokenizer.json`.
    texts (list[str]): The texts.
    RETURNS (list[str]): The texts whose ids differ.
    """
    from tokenizers import Tokenizer

    published = Tokenizer.from_file(path)
    own = tokenizer.backend_tokenizer
    published.encode_special_tokens = own.encode_special_tokens = True
    return [
        text
        for text in texts
        if published.encode(text, add_special_tokens=False).ids
        != own.encode(text, add_special_tokens=False).ids
    ]


def read_docs(path: str, nlp: spacy.Language, count: int, words: int) -> list[Doc]:
    """Read the shortest documents of a file, cut to a number of tokens.

    path (str): The `.spacy` file.
    nlp (Language): The pipeline, for its vocabulary.
    count (int): The number of documents.
    words (int): The maximum number of tokens.
    RETURNS (list[Doc]): The documents, with the spans before the cut.
    """
    docs = sorted(DocBin().from_disk(path).get_docs(nlp.vocab), key=len)[:count]
    return [_cut(nlp, doc, words) for doc in docs]


def _cut(nlp: spacy.Language, doc: Doc, words: int) -> Doc:
    part = doc[:words]
    fresh = Doc(
        nlp.vocab,
        words=[token.text for token in part],
        spaces=[bool(token.whitespace_) for token in part],
    )
    fresh.spans["sc"] = [
        fresh.char_span(span.start_char, span.end_char, span.label_)
        for span in doc.spans["sc"]
        if span.end <= words
    ]
    return fresh


def compare_decoders(nlp: spacy.Language, docs: list[Doc]) -> dict[str, Any]:
    """Decode documents with both decoders.

    nlp (Language): The pipeline.
    docs (list[Doc]): The documents.
    RETURNS (dict[str, Any]): The numbers of `inputs` and `identical` outputs, the
        margins of the `errors`, and the mean passes and the CPU seconds of each.
    """
    ner = nlp.get_pipe("generative_ner")
    ner.decoder = drafts = Recorder(DraftDecoder())
    list(nlp.pipe([doc.text for doc in docs]))
    steps = Recorder(StepDecoder())
    for engine, tasks in drafts.calls:
        steps.decode(engine, tasks)
    pairs = list(zip(drafts.results, steps.results, strict=True))
    margins = [first_difference(draft, step) for draft, step in pairs]
    differing = [margin for margin in margins if margin is not None]
    return {
        "inputs": len(pairs),
        "identical": len(pairs) - len(differing),
        "errors": [margin for margin in differing if not margin < NEAR_TIE],
        "draft_passes": sum(d.passes for d, _ in pairs) / len(pairs),
        "step_passes": sum(s.passes for _, s in pairs) / len(pairs),
        "step_over_draft_seconds": round(steps.seconds / drafts.seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("base", help="name of the base: a GGUF file, a folder, a hub id")
    add("train", help="training documents (.spacy)")
    add("test", help="documents to decode (.spacy)")
    add("--labels", help="JSON file of labels with definitions")
    add("--docs", type=int, default=4, help="number of documents to decode")
    add("--words", type=int, default=100, help="maximum tokens of a document")
    add("--steps", type=int, default=6, help="number of updates")
    add("--batch", type=int, default=2, help="documents in an update")
    add("--checkpointing", action="store_true", help="gradient checkpointing")
    add("--tokenizer", help="published tokenizer.json to compare with")
    add("--texts", type=int, default=3000, help="texts for the tokenizers")
    add("--seed", type=int, default=0, help="seed of texts and weights")
    args = parser.parse_args()
    fix_random_seed(args.seed)
    nlp = spacy.blank("en")
    model = {"name": args.base, "dtype": "float32", "lora": {"rank": 16, "alpha": 32}}
    model["gradient_checkpointing"] = args.checkpointing
    config = {"readings": 1, "loss": "constrained", "crossing": "drop", "model": model}
    ner = nlp.add_pipe("generative_ner", config=config)
    docs = read_docs(args.train, nlp, 12, args.words)
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    labels = json.loads(Path(args.labels).read_text("utf8")) if args.labels else None
    ner.initialize(lambda: examples, nlp=nlp, labels=labels)
    started = time.process_time()
    ner.load()
    row: dict[str, Any] = {
        **vars(args),
        "parameters": sum(p.numel() for p in ner.lm.base.model.parameters()),
        "load_cpu_seconds": round(time.process_time() - started, 1),
        "loaded_gb": _peak_gb(),
    }
    test = read_docs(args.test, nlp, args.docs, args.words)
    row["untrained"] = compare_decoders(nlp, test)
    optimizer = Adam(1e-3, L2_is_weight_decay=True)
    started, words, losses = time.process_time(), 0, []
    for step in range(args.steps):
        first = step * args.batch
        batch = [examples[(first + i) % len(examples)] for i in range(args.batch)]
        words += sum(map(len, batch))
        losses.append(
            round(float(nlp.update(batch, sgd=optimizer)["generative_ner"]), 3)
        )
    row["losses"] = losses
    row["train_words_per_cpu_second"] = round(
        words / max(time.process_time() - started, 1e-9), 1
    )
    row["peak_gb"] = _peak_gb()
    row["trained"] = compare_decoders(nlp, test)
    if args.tokenizer:
        texts = difficult_texts(args.texts, args.seed)
        found = compare_tokenizers(ner.lm.base.tokenizer, args.tokenizer, texts)
        row["tokenizer_texts"], row["tokenizer_differs"] = len(texts), found[:5]
    print(json.dumps(row))
    wrong = row["untrained"]["errors"] or row["trained"]["errors"]
    if wrong or row.get("tokenizer_differs"):
        sys.exit(1)


def _peak_gb() -> float:
    """The peak of the resident memory so far. Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e9 if sys.platform == "darwin" else 1e6), 2)


if __name__ == "__main__":
    main()
