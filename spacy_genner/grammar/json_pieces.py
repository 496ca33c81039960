"""What stands around the strings of a JSON output, as token ids."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import Errors
from .source import Encode, Source

Ids = tuple[int, ...]

GROUPED, OCCURRENCE, OFFSET = "grouped_json", "occurrence_json", "offset_json"
_PLACE_KEY = {OCCURRENCE: "occurrence_index", OFFSET: "start"}


@dataclass(frozen=True)
class JsonPieces:
    """The fixed parts of a JSON format for one set of labels under one tokenizer. Each
    is encoded by itself.

    format (str): The format's name.
    labels (Tuple[str, ...]): The labels; outputs name them by index.
    empty (Ids): An empty list.
    first (Ids): From the start of a list to that of its first text.
    more (Ids): From the end of an entry to the text of the next one.
    stop (Ids): From the end of an entry to that of the list.
    closing (Ids): From the end of a text to its label; empty for the grouped format.
    named (Tuple[Ids, ...]): For each label, itself and what follows up to the number
        that says the place; in the grouped format what stands before the label's list.
    between (Ids): From the first number of a place to the second; may be empty.
    end (Ids): What stands after the last label's list; may be empty.
    """

    format: str
    labels: tuple[str, ...]
    empty: Ids
    first: Ids
    more: Ids
    stop: Ids
    closing: Ids
    named: tuple[Ids, ...]
    between: Ids
    end: Ids


def make_json_pieces(name: str, labels: Sequence[str], encode: Encode) -> JsonPieces:
    """Encode the fixed parts of a JSON format.

    name (str): The format's name.
    labels (Sequence[str]): The labels, in their order.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    RETURNS (JsonPieces): The pieces.
    RAISES (ValueError): Two labels can't be told apart under the tokenizer.
    """

    def ids(text: str) -> Ids:
        return tuple(encode(text))

    written = [escaped(label) for label in labels]
    if name == GROUPED:
        named = tuple(
            ids(f'{"{" if place == 0 else ", "}"{label}": ')
            for place, label in enumerate(written)
        )
        return JsonPieces(
            format=name,
            labels=tuple(labels),
            empty=ids("[]"),
            first=ids('["'),
            more=ids('", "'),
            stop=ids('"]'),
            closing=(),
            named=named,
            between=(),
            end=ids("}"),
        )
    follows = ids(f'", "{_PLACE_KEY[name]}": ')
    label_ids = [ids(label) for label in written]
    for place, label in enumerate(label_ids):
        if label in label_ids[:place]:
            other = labels[label_ids.index(label)]
            raise ValueError(
                Errors.G101.format(mark=labels[place], ids=list(label), others=[other])
            )
    return JsonPieces(
        format=name,
        labels=tuple(labels),
        empty=ids("[]"),
        first=ids('[{"text": "'),
        more=ids('}, {"text": "'),
        stop=ids("}]"),
        closing=ids('", "label": "'),
        named=tuple(label + follows for label in label_ids),
        between=ids(', "end": ') if name == OFFSET else (),
        end=(),
    )


def escaped(text: str) -> str:
    """RETURNS (str): A text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def string_ids(source: Source, encode: Encode) -> tuple[list[Ids], list[Ids]]:
    """Encode the units of a source as parts of JSON strings.

    source (Source): The source.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    RETURNS (Tuple[List[Ids], List[Ids]]): The ids of each unit where a string starts
        with it, without the white space before it, and where a string goes on with it.
    """
    starting, going_on = [], []
    for unit, piece in enumerate(source.pieces):
        word = source.text[source.starts[unit] : source.ends[unit]]
        starting.append(tuple(encode(escaped(word))))
        said = escaped(piece)
        going_on.append(source.ids[unit] if said == piece else tuple(encode(said)))
    return starting, going_on
