"""What a model is told where it is to write in a format without further training on
this project's prompts: each instruction says the form of the output in full."""

_LISTED = "List every named entity of the text, as"

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
