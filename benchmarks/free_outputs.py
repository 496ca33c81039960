"""What a trained component writes when nothing holds it to its format."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

import torch
from spacy.tokens import Doc

from spacy_genner.decoding.batcher import DecodingTask
from spacy_genner.decoding.engine import Engine
from spacy_genner.evaluation.scores import gold_spans, score_documents
from spacy_genner.formats import Parsed, drop_crossing

BATCH = 16


def free_scores(ner, docs: list[Doc]) -> dict:
    """Score free answers: how many are well formed, and what the others still say.

    ner (GenerativeNER): A trained component.
    docs (List[Doc]): Annotated documents, short enough for one input each.
    RETURNS (Dict[str, Any]): `documents`; `well_formed`, the share of answers that
        parsing has nothing to repair in (that a list of strings leaves a place open is
        no fault of the answer); `micro_p`, `micro_r` and `micro_f` of what it
        makes of all of them; `issues`, by code.
    """
    gold = [gold_spans(doc, ner.key) for doc in docs]
    outputs = free_outputs(ner, docs)
    parsed = [
        # The prompt has no white space after the last token.
        ner.format.parse(output, doc[:].text, list(ner.labels))
        for output, doc in zip(outputs, docs, strict=True)
    ]
    scores = score_documents(gold, [list(each.spans) for each in parsed])
    return {
        "documents": len(docs),
        "well_formed": sum(map(well_formed, parsed)) / max(1, len(parsed)),
        **{key: scores[key] for key in ("micro_p", "micro_r", "micro_f")},
        "issues": dict(Counter(i.code for each in parsed for i in each.issues)),
    }


def well_formed(parsed: Parsed) -> bool:
    """Whether parsing had nothing to repair; that a list of strings leaves a place open
    is no fault of the answer.

    parsed (Parsed): What was read.
    RETURNS (bool): Whether it was well formed.
    """
    return all(issue.code == "ambiguous_place" for issue in parsed.issues)


def free_outputs(ner, docs: list[Doc]) -> list[str]:
    """Let a component write, greedily, any token at any place.

    What it writes under its grammar is the draft: one pass shows how far it would have
    written the same without, and from there it goes on token by token.

    ner (GenerativeNER): A trained component.
    docs (List[Doc]): Annotated documents. Of their annotation nothing is used but its
        length: an answer is cut at twice that of the right one.
    RETURNS (List[str]): The answers, in the component's format.
    """
    runtime = ner._runtime()
    engine, encoder = runtime.annotator(ner.decoder).engine, runtime.encoder
    tokenizer = ner.lm.tokenizer
    outputs: dict[int, str] = {}
    # Like lengths together, so that no row waits long for another.
    order = sorted(range(len(docs)), key=lambda index: len(docs[index]))
    for start in range(0, len(docs), BATCH):
        chosen = order[start : start + BATCH]
        tasks, room = [], []
        for doc in (docs[index] for index in chosen):
            words = [token.text for token in doc]
            spaces = [bool(token.whitespace_) for token in doc]
            source = encoder.source(words, spaces)
            tasks.append(DecodingTask(encoder.grammar(source), encoder.prompt(source)))
            right = tokenizer(_right_answer(ner, doc), add_special_tokens=False)
            room.append(2 * len(right["input_ids"]) + 32)
        drafts = [made.ids for made in ner.decoder.decode(engine, tasks)]
        prompts = [task.prompt for task in tasks]
        written = _greedy(engine, prompts, drafts, room, tokenizer.eos_token_id)
        for index, ids in zip(chosen, written, strict=True):
            outputs[index] = tokenizer.decode(ids, skip_special_tokens=True)
    return [
        marks_after_space(outputs[index], doc[:].text, ner.format, ner.labels)
        for index, doc in enumerate(docs)
    ]


@torch.inference_mode()
def _greedy(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    drafts: Sequence[Sequence[int]],
    room: Sequence[int],
    end: int,
) -> list[list[int]]:
    """The most probable token of the whole vocabulary at each place.

    engine (Engine): The model behind the prefix of the prompts.
    prompts (Sequence[Sequence[int]]): The ids of each prompt behind the prefix.
    drafts (Sequence[Sequence[int]]): What each output may begin with.
    room (Sequence[int]): The most tokens of each output.
    end (int): The id that ends an output.
    RETURNS (List[List[int]]): The outputs, each with its end where it has one.
    """
    capacity = max(
        len(prompt) + max(len(draft), most)
        for prompt, draft, most in zip(prompts, drafts, room, strict=True)
    )
    rows = engine.rows(len(prompts), capacity + 1)
    feeding = [[*p, *d] for p, d in zip(prompts, drafts, strict=True)]
    hidden = rows.feed(range(len(prompts)), feeding, [0] * len(prompts))
    outputs: list[list[int]] = []
    for prompt, draft, states in zip(prompts, drafts, hidden, strict=True):
        best = (
            engine.head.full(engine.last_layer(states[len(prompt) - 1 :]))
            .argmax(1)
            .tolist()
        )
        same = takewhile(
            lambda pair: pair[0] == pair[1], zip(best, draft, strict=False)
        )
        outputs.append(best[: sum(1 for _ in same) + 1])
    while True:
        still = [
            index
            for index, output in enumerate(outputs)
            if output[-1] != end and len(output) < room[index]
        ]
        if not still:
            return outputs
        starts = [len(prompts[index]) + len(outputs[index]) - 1 for index in still]
        states = rows.feed(still, [outputs[index][-1:] for index in still], starts)
        best = engine.head.full(engine.last_layer(torch.cat(states))).argmax(1).tolist()
        for index, id_ in zip(still, best, strict=True):
            outputs[index].append(id_)


def marks_after_space(output: str, text: str, fmt, labels) -> str:
    """Bring an answer from the model's own layout into that of its format.

    In the model's a mark stands before white space, `the[ University`, in an inline
    format after it. What opens like a mark in the text itself stays as it is.

    output (str): The answer.
    text (str): The text it marks.
    fmt (Format): The format; the JSON formats have one layout.
    labels (Sequence[str]): The labels.
    RETURNS (str): The answer in the format.
    """
    if fmt.allows_crossing:
        return output
    opening, closing = (
        "|".join(sorted({re.escape(mark(label)) for label in labels}))
        for mark in (fmt.open_mark, fmt.close_mark)
    )
    before_space = re.compile(rf"((?:{opening})+)(\s+)")
    any_mark = re.compile(rf"{opening}|{closing}")
    made = []
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


def _right_answer(ner, doc: Doc) -> str:
    spans = [
        span
        for span in gold_spans(doc, ner.key)
        if span.label in ner.labels and _solid(doc.text[span.start : span.end])
    ]
    if not ner.format.allows_crossing:
        spans, _ = drop_crossing(spans)
    return ner.format.render(doc.text, spans, list(ner.labels))


def _solid(found: str) -> bool:
    return bool(found) and found == found.strip()
