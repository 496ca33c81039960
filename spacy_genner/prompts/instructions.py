"""What a model is told to do, in the words of each format."""

_LISTED = "List every named entity of the text, as"

# The form of the output in full, for a model that is not trained on these prompts.
INSTRUCTIONS: dict[str, str] = {
    "inline_bracketed": (
        "Copy the text and mark every named entity in it, in this "
        "way: [entity | LABEL]."
    ),
    "inline_xml": (
        "Copy the text and mark every named entity in it, in this "
        "way: <LABEL>entity</LABEL>."
    ),
    "grouped_json": (
        f"{_LISTED} a JSON object: under each label the list of its entities in the "
        "order of the text, an empty list where there is none."
    ),
    "occurrence_json": (
        f'{_LISTED} a JSON list of objects with "text", "label" and '
        '"occurrence_index": which occurrence of that string in the text is meant, '
        "counted from 1."
    ),
    "offset_json": (
        f'{_LISTED} a JSON list of objects with "text", "label", "start" and "end": '
        "its first character, counted from 0, and the one after its last."
    ),
}

# A model that is tuned on it needs no word on the marks.
_COPY = "Copy the text and mark every named entity in it."
SHORT_INSTRUCTIONS = {
    **INSTRUCTIONS,
    "inline_bracketed": _COPY,
    "inline_xml": _COPY,
}
