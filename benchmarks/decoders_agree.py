"""Check on real sentences that DraftDecoder and StepDecoder give the same outputs.

Both decode the same documents with a trained pipeline, its `head_weight` and its
`opening_bias`, by default in float32. For an output that differs, the reference's
margin at the first different decision is listed; a margin below 1e-4 is a near tie. The
text of every span is compared with the text at its offsets, and the statuses are
counted. Prints one line of JSON. The exit code is 1 if there are errors: outputs that
differ without a near tie, or spans off their text.

    python benchmarks/decoders_agree.py training/genia/model-best \\
        corpus/genia-test.spacy --docs 1000 --with-literals
"""

import argparse
import json
import random
import sys
from collections import Counter
from typing import Any

import spacy
import torch
from recorder import Recorder
from spacy.tokens import Doc, DocBin
from tqdm import tqdm

from spacy_genner.decoding.batcher import DecodingResult
from spacy_genner.decoding.decoder import DraftDecoder, StepDecoder

NEAR_TIE = 1e-4
# Characters of the text that look like the markup of the bracketed format.
LITERALS = set("[]|")


def sample_docs(
    path: str, vocab: Any, count: int, seed: int, literals: bool
) -> list[Doc]:
    """Read a sample of documents.

    path (str): The `.spacy` file.
    vocab (Vocab): The vocabulary.
    count (int): The size of the sample; 0 for all documents.
    seed (int): The seed of the sample.
    literals (bool): Whether to add all documents with literals.
    RETURNS (list[Doc]): The documents, in the order of the file.
    """
    docs = list(DocBin().from_disk(path).get_docs(vocab))
    order = list(range(len(docs)))
    random.Random(seed).shuffle(order)
    kept = set(order[:count]) if count else set(order)
    if literals:
        kept |= {i for i, doc in enumerate(docs) if set(doc.text) & LITERALS}
    return [docs[index] for index in sorted(kept)]


def first_difference(draft: DecodingResult, step: DecodingResult) -> float | None:
    """Compare the results of the decoders for one input.

    draft (DecodingResult): The result of DraftDecoder.
    step (DecodingResult): The result of StepDecoder.
    RETURNS (float | None): The margin of StepDecoder at the first different decision;
        NaN if the outputs differ elsewhere; None if they are the same.
    """
    for ours, reference in zip(draft.decisions, step.decisions, strict=False):
        if ours[:2] != reference[:2]:
            return reference.margin
    return None if draft.ids == step.ids else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="trained pipeline")
    parser.add_argument("data", help="documents (.spacy)")
    parser.add_argument(
        "--docs", type=int, default=1000, help="number of documents, 0 for all"
    )
    parser.add_argument("--dtype", default="float32", help="dtype of the model")
    parser.add_argument(
        "--component", default="generative_ner", help="name of the component"
    )
    parser.add_argument(
        "--with-literals",
        action="store_true",
        help="add all documents with '[', ']' or '|'",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    args = parser.parse_args()
    overrides = {f"components.{args.component}.model.dtype": args.dtype}
    nlp = spacy.load(args.model, config=overrides)
    ner = nlp.get_pipe(args.component)
    docs = sample_docs(args.data, nlp.vocab, args.docs, args.seed, args.with_literals)
    texts = [doc.text for doc in docs]
    bias = ner.decoder.opening_bias
    ner.decoder = recorder = Recorder(DraftDecoder(opening_bias=bias))
    statuses: Counter[str] = Counter()
    off_text = 0
    annotated = tqdm(nlp.pipe(texts, batch_size=64), "draft", len(texts))
    for text, doc in zip(texts, annotated, strict=True):
        group = doc.spans[ner.key]
        statuses[group.attrs["status"]] += 1
        off_text += doc.text != text
        off_text += sum(
            span.text != text[span.start_char : span.end_char] for span in group
        )
    # The second decoder gets the same inputs in the same calls.
    steps = Recorder(StepDecoder(opening_bias=bias))
    for engine, tasks in tqdm(recorder.calls, "step"):
        steps.decode(engine, tasks)
    decoded = {"draft": recorder.results, "step": steps.results}
    seconds = {"draft": recorder.seconds, "step": steps.seconds}
    pairs = list(zip(decoded["draft"], decoded["step"], strict=True))
    margins = [first_difference(draft, step) for draft, step in pairs]
    differing = [margin for margin in margins if margin is not None]
    row = {
        **vars(args),
        "documents": len(texts),
        "literals": sum(bool(set(text) & LITERALS) for text in texts),
        "inputs": len(pairs),
        "identical": len(pairs) - len(differing),
        "near_ties": sorted(round(m, 7) for m in differing if m < NEAR_TIE),
        # NaN is an error, too.
        "errors": sorted(round(m, 7) for m in differing if not m < NEAR_TIE),
        "passes": {k: sum(d.passes for d in v) / len(v) for k, v in decoded.items()},
        "fed": {k: sum(d.fed for d in v) / len(v) for k, v in decoded.items()},
        "step_over_draft_seconds": round(seconds["step"] / seconds["draft"], 2),
        "draft_inputs_a_second": round(len(pairs) / seconds["draft"], 2),
        "statuses": dict(statuses),
        "spans_off_their_text": off_text,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(row))
    if row["errors"] or row["spans_off_their_text"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
