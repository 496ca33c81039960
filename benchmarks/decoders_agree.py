"""DraftDecoder against StepDecoder on real sentences, with a trained pipeline.

Both decode the same documents, by default in float32. Where the outputs differ, the
reference's own margin at the first differing decision is listed: below 1e-4 it was in
doubt itself. Every span's text is held against the text at its offsets, and the
statuses are counted. Prints one line of JSON, and ends with 1 where there are errors:
outputs that differ although the reference was in no doubt, or spans off their text.

    python benchmarks/decoders_agree.py training/genia/model-best \
        corpus/genia-test.spacy --docs 1000 --with-literals
"""

import argparse
import json
import random
import sys
from collections import Counter

import spacy
import torch
from recorder import Recorder
from spacy.tokens import DocBin
from tqdm import tqdm

from spacy_genner.decoding.decoder import DraftDecoder, StepDecoder

NEAR_TIE = 1e-4


def chosen_docs(path: str, vocab, count: int, seed: int, literals: bool) -> list:
    docs = list(DocBin().from_disk(path).get_docs(vocab))
    order = list(range(len(docs)))
    random.Random(seed).shuffle(order)
    kept = set(order[:count]) if count else set(order)
    if literals:
        kept |= {i for i, doc in enumerate(docs) if set(doc.text) & set("[]|")}
    return [docs[index] for index in sorted(kept)]


def first_difference(mine, its) -> float | None:
    """The reference's margin where the outputs part; None where they do not."""
    for draft, step in zip(mine.decisions, its.decisions, strict=False):
        if draft[:2] != step[:2]:
            return step.margin
    return None if mine.ids == its.ids else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--docs", type=int, default=1000, help="0 for all")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--component", default="generative_ner")
    parser.add_argument(
        "--with-literals", action="store_true", help="also all with '[', ']' or '|'"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    changes = {f"components.{args.component}.model.dtype": args.dtype}
    nlp = spacy.load(args.model, config=changes)
    ner = nlp.get_pipe(args.component)
    gold = chosen_docs(args.data, nlp.vocab, args.docs, args.seed, args.with_literals)
    texts = [doc.text for doc in gold]
    ner.decoder = recorder = Recorder(DraftDecoder())
    statuses: Counter[str] = Counter()
    off = 0
    documents = nlp.pipe(texts, batch_size=64)
    for text, doc in zip(texts, tqdm(documents, "draft", len(texts)), strict=True):
        group = doc.spans[ner.key]
        statuses[group.attrs["status"]] += 1
        off += doc.text != text
        off += sum(span.text != text[span.start_char : span.end_char] for span in group)
    # The same inputs once more, in the same company.
    steps = Recorder(StepDecoder())
    for engine, tasks in tqdm(recorder.calls, "step"):
        steps.decode(engine, tasks)
    decoded = {"draft": recorder.results, "step": steps.results}
    seconds = {"draft": recorder.seconds, "step": steps.seconds}
    pairs = list(zip(decoded["draft"], decoded["step"], strict=True))
    margins = [first_difference(mine, its) for mine, its in pairs]
    differing = [margin for margin in margins if margin is not None]
    row = {
        **vars(args),
        "documents": len(texts),
        "literals": sum(bool(set(text) & set("[]|")) for text in texts),
        "inputs": len(pairs),
        "identical": len(pairs) - len(differing),
        "near_ties": sorted(round(m, 7) for m in differing if m < NEAR_TIE),
        "errors": sorted(round(m, 7) for m in differing if not m < NEAR_TIE),
        "passes": {k: sum(d.passes for d in v) / len(v) for k, v in decoded.items()},
        "fed": {k: sum(d.fed for d in v) / len(v) for k, v in decoded.items()},
        "step_over_draft_seconds": round(seconds["step"] / seconds["draft"], 2),
        "draft_inputs_a_second": round(len(pairs) / seconds["draft"], 2),
        "statuses": dict(statuses),
        "spans_off_their_text": off,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(row))
    if row["errors"] or row["spans_off_their_text"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
