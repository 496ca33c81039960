"""Unconstrained outputs of a trained component: greedy decoding without the grammar."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from spacy.tokens import Doc

from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.engine import Engine
from spacy_genner.evaluation.scores import gold_spans, score_documents
from spacy_genner.formats import Format, Parsed, drop_crossing

BATCH_SIZE = 16


def unconstrained_scores(ner: Any, docs: list[Doc]) -> dict[str, Any]:
    """Score unconstrained outputs.

    ner (GenerativeNER): A trained component.
    docs (list[Doc]): Annotated documents. Each must fit into one input.
    RETURNS (dict[str, Any]): `documents`, their number; `well_formed`, the share of
        outputs in which parsing repaired nothing; `micro_p`, `micro_r` and `micro_f`
        of the spans that parsing finds in all outputs; `issues`, their number by code.
    """
    gold = [gold_spans(doc, ner.key) for doc in docs]
    outputs = unconstrained_outputs(ner, docs)
    parsed = [
        # The prompt ends with the last token, without white space after it.
        ner.format.parse(output, doc[:].text, list(ner.labels))
        for output, doc in zip(outputs, docs, strict=True)
    ]
    scores = score_documents(gold, [list(each.spans) for each in parsed])
    return {
        "documents": len(docs),
        "well_formed": sum(map(is_well_formed, parsed)) / max(1, len(parsed)),
        **{key: scores[key] for key in ("micro_p", "micro_r", "micro_f")},
        "issues": dict(Counter(i.code for each in parsed for i in each.issues)),
    }


def is_well_formed(parsed: Parsed) -> bool:
    """Check that parsing repaired nothing. A string of a list that has several possible
    places in the text is allowed.

    parsed (Parsed): The result of parsing.
    RETURNS (bool): Whether the output was well formed.
    """
    return all(issue.code == "ambiguous_place" for issue in parsed.issues)


def unconstrained_outputs(ner: Any, docs: list[Doc]) -> list[str]:
    """Decode greedily without the grammar.

    The output under the grammar is the draft. One forward pass verifies it against the
    choices of the model over its whole vocabulary. From the first difference on, the
    output is decoded token by token.

    ner (GenerativeNER): A trained component.
    docs (list[Doc]): Annotated documents. The annotation only limits the length: an
        output is cut at twice the length of the gold output.
    RETURNS (list[str]): The outputs, in the component's format.
    """
    engine, encoder = ner.predictor.engine(), ner.predictor.encoder
    tokenizer = ner.lm.tokenizer
    outputs: dict[int, str] = {}
    # Batches of similar length waste few passes on finished sequences.
    order = sorted(range(len(docs)), key=lambda index: len(docs[index]))
    for start in range(0, len(docs), BATCH_SIZE):
        batch = order[start : start + BATCH_SIZE]
        tasks, max_tokens = [], []
        for doc in (docs[index] for index in batch):
            source = encoder.source_of(doc)
            tasks.append(DecodingTask(encoder.grammar(source), encoder.prompt(source)))
            gold = tokenizer(gold_output(ner, doc), add_special_tokens=False)
            max_tokens.append(2 * len(gold["input_ids"]) + 32)
        drafts = [result.ids for result in ner.decoder.decode(engine, tasks)]
        prompts = [task.prompt for task in tasks]
        written = _greedy(engine, prompts, drafts, max_tokens, tokenizer.eos_token_id)
        for index, ids in zip(batch, written, strict=True):
            outputs[index] = tokenizer.decode(ids, skip_special_tokens=True)
    return [
        markup_after_space(outputs[index], doc[:].text, ner.format, ner.labels)
        for index, doc in enumerate(docs)
    ]


@torch.inference_mode()
def _greedy(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    drafts: Sequence[Sequence[int]],
    max_tokens: Sequence[int],
    end: int,
) -> list[list[int]]:
    """Choose the most probable token of the whole vocabulary at each position.

    engine (Engine): The model with the prefix of the prompts.
    prompts (Sequence[Sequence[int]]): The ids of each prompt after the prefix.
    drafts (Sequence[Sequence[int]]): A draft of each output.
    max_tokens (Sequence[int]): The most tokens of each output.
    end (int): The token id that ends an output.
    RETURNS (list[list[int]]): The outputs. A complete one includes the end token.
    """
    capacity = max(
        len(prompt) + max(len(draft), limit)
        for prompt, draft, limit in zip(prompts, drafts, max_tokens, strict=True)
    )
    rows = engine.rows(len(prompts), capacity + 1)
    sequences = [[*p, *d] for p, d in zip(prompts, drafts, strict=True)]
    hidden = rows.feed(range(len(prompts)), sequences, [0] * len(prompts))
    outputs: list[list[int]] = []
    for prompt, draft, states in zip(prompts, drafts, hidden, strict=True):
        best = _best_ids(engine, states[len(prompt) - 1 :])
        accepted = takewhile(
            lambda pair: pair[0] == pair[1], zip(best, draft, strict=False)
        )
        outputs.append(best[: sum(1 for _ in accepted) + 1])
    while True:
        open_rows = [
            index
            for index, output in enumerate(outputs)
            if output[-1] != end and len(output) < max_tokens[index]
        ]
        if not open_rows:
            return outputs
        starts = [len(prompts[row]) + len(outputs[row]) - 1 for row in open_rows]
        last = [outputs[row][-1:] for row in open_rows]
        best = _best_ids(engine, torch.cat(rows.feed(open_rows, last, starts)))
        for row, id_ in zip(open_rows, best, strict=True):
            outputs[row].append(id_)


def _best_ids(engine: Engine, hidden: torch.Tensor) -> list[int]:
    logits = engine.head.full(engine.last_layer(hidden))
    ids: list[int] = logits.argmax(1).tolist()
    return ids


def markup_after_space(
    output: str, text: str, fmt: Format, labels: Sequence[str]
) -> str:
    """Convert an output from the model's layout to the layout of its format.

    The model writes markup before white space, `the[ University`. The inline formats
    have it after white space. Characters of the text that look like markup stay as they
    are. The JSON formats have one layout, so their outputs stay as they are.

    output (str): The output.
    text (str): The text that the output marks.
    fmt (Format): The format.
    labels (Sequence[str]): The labels.
    RETURNS (str): The output in the layout of the format.
    """
    if fmt.allows_crossing:
        return output
    opening, closing = (
        "|".join(sorted({re.escape(mark(label)) for label in labels}))
        for mark in (fmt.open_tag, fmt.close_tag)
    )
    before_space = re.compile(rf"((?:{opening})+)(\s+)")
    any_mark = re.compile(rf"{opening}|{closing}")
    made = []
    # Positions in the output and in the text.
    at = place = 0
    while at < len(output):
        moved = before_space.match(output, at)
        mark = any_mark.match(output, at)
        if moved and text[place : place + 1].isspace():
            made.append(moved[2] + moved[1])
            place += len(moved[2])
            at = moved.end()
        elif mark and not text.startswith(mark[0], place):
            made.append(mark[0])
            at = mark.end()
        else:
            made.append(output[at])
            place += text[place : place + 1] == output[at]
            at += 1
    return "".join(made)


def gold_output(ner: Any, doc: Doc) -> str:
    """Write the output that the annotation of a document asks for.

    ner (GenerativeNER): A component.
    doc (Doc): An annotated document.
    RETURNS (str): The output. Spans that the format cannot represent are left out.
    """
    spans = [
        span
        for span in gold_spans(doc, ner.key)
        if span.label in ner.labels and _is_stripped(doc.text[span.start : span.end])
    ]
    if not ner.format.allows_crossing:
        spans, _ = drop_crossing(spans)
    return ner.format.render(doc.text, spans, list(ner.labels))


def _is_stripped(text: str) -> bool:
    return bool(text) and text == text.strip()
