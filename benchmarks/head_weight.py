"""Score a pipeline with several weights of the draft head and biases of opening.

Annotates the same documents once for each pair, and prints one line of JSON for each:
micro-F1, precision and recall, those of nested spans, and the seconds of processor
time. Choose a pair on development data. The last line is the draft head alone: the
spans that it finds more likely than not.

    python benchmarks/head_weight.py training/genia/model-best corpus/genia-dev.spacy \\
        --docs 500 --pairs 0,0 0.5,0 0.5,0.5 1,0.5
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import spacy
from decoders_agree import sample_docs
from recorder import Recorder
from spacy.tokens import Doc

from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.decoder import DraftDecoder
from spacy_genner.decoding.engine import Engine
from spacy_genner.evaluation.scores import gold_spans, group_spans, score_documents
from spacy_genner.formats import CharSpan

SCORES = ("micro_f", "micro_p", "micro_r", "nested_f", "nested_p", "nested_r")
# The number of prompts in a pass of the head alone.
PROMPTS = 16


def head_spans(
    engine: Engine, tasks: list[DecodingTask], labels: Sequence[str]
) -> list[list[CharSpan]]:
    """Find the spans that the draft head alone proposes.

    engine (Engine): The model with its draft head.
    tasks (list[DecodingTask]): The tasks.
    labels (Sequence[str]): The labels, in order.
    RETURNS (list[list[CharSpan]]): The spans of the text of each task.
    """
    found = []
    for first in range(0, len(tasks), PROMPTS):
        group = tasks[first : first + PROMPTS]
        rows = engine.rows(len(group), max(len(task.prompt) for task in group))
        prompts = [task.prompt for task in group]
        states = rows.feed(range(len(group)), prompts, [0] * len(group))
        for task, hidden in zip(group, states, strict=True):
            source = task.grammar.source
            spans = engine.span_proposer(hidden[list(task.word_ends)]).likely_spans()
            found.append(
                [
                    CharSpan(source.starts[start], source.ends[end - 1], labels[label])
                    for start, end, label in spans
                ]
            )
    return found


def rounded(scores: dict[str, Any]) -> dict[str, float]:
    """RETURNS (dict[str, float]): The scores that are printed, in percent."""
    return {name: round(100 * scores[name], 2) for name in SCORES}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="trained pipeline with a draft head")
    parser.add_argument("data", help="annotated documents (.spacy)")
    parser.add_argument("--pairs", nargs="+", default=["0,0", "0.5,0", "0.5,0.5"])
    parser.add_argument("--docs", type=int, default=500, help="0 for all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--component", default="generative_ner")
    args = parser.parse_args()
    nlp = spacy.load(args.model)
    ner: Any = nlp.get_pipe(args.component)
    docs = sample_docs(args.data, nlp.vocab, args.docs, args.seed, literals=False)
    # Whole documents, so that the head alone sees what the decoder sees.
    texts = [
        Doc(nlp.vocab, [t.text for t in d], [bool(t.whitespace_) for t in d])
        for d in docs
    ]
    gold = [gold_spans(doc, ner.key) for doc in docs]
    batch_tokens, recorder = ner.decoder.batch_tokens, None
    for pair in args.pairs:
        weight, bias = map(float, pair.split(","))
        decoder = DraftDecoder(batch_tokens, None, bias)
        ner.decoder = recorder = Recorder(decoder)
        ner.predictor.engine().head_weight = weight
        started = time.process_time()
        found = list(nlp.pipe([text.copy() for text in texts], batch_size=64))
        seconds = round(time.process_time() - started, 1)
        scores = score_documents(gold, [group_spans(doc, ner.key) for doc in found])
        line = {"head_weight": weight, "opening_bias": bias, **rounded(scores)}
        print(json.dumps({**line, "seconds": seconds}), flush=True)
    assert recorder is not None
    alone = [s for call in recorder.calls for s in head_spans(*call, ner.labels)]
    if len(alone) == len(gold):
        line = rounded(score_documents(gold, alone))
        print(json.dumps({"head": "alone", **line}))
    else:
        print("The head alone is not scored: some documents have several windows.")


if __name__ == "__main__":
    main()
