"""Sixteen completions that are difficult to parse, for spacy-llm's NER.v2 and NER.v3
and for the project's own tasks.

The three versions of a completion describe the same spans, if their formats allow it.
"""

from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "llm.md"
LABELS = ["PERSON", "ORG", "GPE"]

# Start and end in characters, and label.
Spans = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class DifficultCompletion:
    """A completion that is difficult to parse.

    name (str): The difficulty.
    text (str): The text.
    means (Spans): The spans that the completion describes.
    v2 (str): The completion in the format of NER.v2.
    v3 (str): The completion in the format of NER.v3.
    ours (str): The completion in one of the project's formats.
    format (str): The format of `ours`.
    issues (tuple[str, ...]): The codes of the issues of `ours`.
    failed (bool): Whether the document fails with `ours`.
    lost (bool): Whether the completion describes a span that has no position in the
        text.
    theirs (dict[str, Spans]): The spans that the task "v2" or "v3" of spacy-llm
        predicts, if they differ from `means`.
    """

    name: str
    text: str
    means: Spans
    v2: str
    v3: str
    ours: str
    format: str = "inline_bracketed"
    issues: tuple[str, ...] = ()
    failed: bool = False
    lost: bool = False
    theirs: dict[str, Spans] = field(default_factory=dict)


def as_v3(*entries: tuple[str, str]) -> str:
    """Render names and labels in the format of NER.v3."""
    return "\n".join(
        f"{number}. {name} | True | {label} | is one"
        for number, (name, label) in enumerate(entries, 1)
    )


MAY = (0, 3, "PERSON")
CASES = [
    DifficultCompletion(
        "repeated mention",
        "Lisbon beat Porto, then Lisbon lost.",
        ((0, 6, "GPE"), (12, 17, "GPE"), (24, 30, "GPE")),
        "GPE: Lisbon, Porto, Lisbon",
        as_v3(("Lisbon", "GPE"), ("Porto", "GPE"), ("Lisbon", "GPE")),
        "[Lisbon | GPE] beat [Porto | GPE], then [Lisbon | GPE] lost.",
    ),
    DifficultCompletion(
        "two labels for one string",
        "Washington visited Washington.",
        ((0, 10, "PERSON"), (19, 29, "GPE")),
        "PERSON: Washington\nGPE: Washington",
        as_v3(("Washington", "PERSON"), ("Washington", "GPE")),
        "[Washington | PERSON] visited [Washington | GPE].",
        theirs={"v2": ((0, 10, "PERSON"), (19, 29, "PERSON"))},
    ),
    DifficultCompletion(
        "the verb `may` beside the person May",
        "May may call when May is back.",
        (MAY, (18, 21, "PERSON")),
        "PERSON: May",
        as_v3(("May", "PERSON"), ("May", "PERSON")),
        "[May | PERSON] may call when [May | PERSON] is back.",
        theirs={
            "v2": (MAY, (4, 7, "PERSON"), (18, 21, "PERSON")),
            "v3": (MAY, (4, 7, "PERSON")),
        },
    ),
    DifficultCompletion(
        "`Tiffany, Inc.`",
        "Tiffany, Inc. opened in Porto.",
        ((0, 13, "ORG"), (24, 29, "GPE")),
        "ORG: Tiffany, Inc.\nGPE: Porto",
        as_v3(("Tiffany, Inc.", "ORG"), ("Porto", "GPE")),
        "[Tiffany, Inc. | ORG] opened in [Porto | GPE].",
        theirs={"v2": ((0, 7, "ORG"), (9, 13, "ORG"), (24, 29, "GPE"))},
    ),
    DifficultCompletion(
        # The parser of NER.v3 documents its numbers as optional.
        "names with full stops, in a list without numbers",
        "J. P. Morgan met St. John in Porto.",
        ((0, 12, "PERSON"), (17, 25, "PERSON"), (29, 34, "GPE")),
        "PERSON: J. P. Morgan, St. John\nGPE: Porto",
        "J. P. Morgan | True | PERSON | is one\n"
        "St. John | True | PERSON | is one\n"
        "Porto | True | GPE | is one",
        "[J. P. Morgan | PERSON] met [St. John | PERSON] in [Porto | GPE].",
        theirs={"v3": ((3, 12, "PERSON"), (21, 25, "PERSON"), (29, 34, "GPE"))},
    ),
    DifficultCompletion(
        "a list with hyphens",
        "Maria lives in Lisbon.",
        ((0, 5, "PERSON"), (15, 21, "GPE")),
        "- PERSON: Maria\n- GPE: Lisbon",
        "- Maria | True | PERSON | is one\n- Lisbon | True | GPE | is one",
        "- [Maria | PERSON] lives in [Lisbon | GPE].",
        issues=("extra_text",),
        theirs={"v2": (), "v3": ()},
    ),
    DifficultCompletion(
        "prose before and after",
        "Maria lives in Lisbon.",
        ((0, 5, "PERSON"), (15, 21, "GPE")),
        "Sure! Here they are:\n\nPERSON: Maria\nGPE: Lisbon\n\nAnything else?",
        f"Sure! Here they are:\n\n{as_v3(('Maria', 'PERSON'), ('Lisbon', 'GPE'))}"
        "\n\nAnything else?",
        "Sure! Here they are:\n\n[Maria | PERSON] lives in [Lisbon | GPE].\n\n"
        "Anything else?",
        issues=("extra_text", "extra_text"),
    ),
    DifficultCompletion(
        "an unknown label",
        "Maria swims in the Tagus.",
        ((0, 5, "PERSON"),),
        "PERSON: Maria\nRIVER: Tagus",
        as_v3(("Maria", "PERSON"), ("Tagus", "RIVER")),
        "[Maria | PERSON] swims in the [Tagus | RIVER].",
        issues=("unknown_label",),
        lost=True,
    ),
    DifficultCompletion(
        "an invented name",
        "Maria lives in Lisbon.",
        ((0, 5, "PERSON"), (15, 21, "GPE")),
        "PERSON: Maria\nGPE: Lisbon, Madrid",
        as_v3(("Maria", "PERSON"), ("Lisbon", "GPE"), ("Madrid", "GPE")),
        '{"PERSON": ["Maria"], "ORG": [], "GPE": ["Lisbon", "Madrid"]}',
        format="grouped_json",
        issues=("not_in_text",),
        lost=True,
    ),
    DifficultCompletion(
        "doubled spaces",
        "Maria  Silva lives in New  York.",
        ((0, 12, "PERSON"), (22, 31, "GPE")),
        "PERSON: Maria Silva\nGPE: New York",
        as_v3(("Maria Silva", "PERSON"), ("New York", "GPE")),
        "[Maria Silva | PERSON] lives in [New York | GPE].",
        issues=("copy_differs",),
        theirs={"v2": (), "v3": ()},
    ),
    DifficultCompletion(
        "a dotted capital I (`İ`)",
        "İstanbul and Ankara grew.",
        ((0, 8, "GPE"), (13, 19, "GPE")),
        "GPE: İstanbul, Ankara",
        as_v3(("İstanbul", "GPE"), ("Ankara", "GPE")),
        "[İstanbul | GPE] and [Ankara | GPE] grew.",
        theirs={"v2": ((0, 8, "GPE"),), "v3": ((0, 8, "GPE"),)},
    ),
    DifficultCompletion(
        "mentions out of order",
        "Maria left Lisbon for Porto.",
        ((0, 5, "PERSON"), (11, 17, "GPE"), (22, 27, "GPE")),
        "GPE: Porto, Lisbon\nPERSON: Maria",
        as_v3(("Porto", "GPE"), ("Lisbon", "GPE"), ("Maria", "PERSON")),
        '[{"text": "Porto", "label": "GPE", "occurrence_index": 1}, '
        '{"text": "Lisbon", "label": "GPE", "occurrence_index": 1}, '
        '{"text": "Maria", "label": "PERSON", "occurrence_index": 1}]',
        format="occurrence_json",
        issues=("bad_json",),
        theirs={"v3": ((22, 27, "GPE"),)},
    ),
    DifficultCompletion(
        "a name inside a word",
        "The banner shows Ann.",
        ((17, 20, "PERSON"),),
        "PERSON: Ann",
        as_v3(("Ann", "PERSON")),
        "The banner shows [Ann | PERSON].",
        theirs={"v3": ()},
    ),
    DifficultCompletion(
        "pipes in the text",
        "The A|B Group hired Maria.",
        ((4, 13, "ORG"), (20, 25, "PERSON")),
        "ORG: A|B Group\nPERSON: Maria",
        as_v3(("A|B Group", "ORG"), ("Maria", "PERSON")),
        "The [A|B Group | ORG] hired [Maria | PERSON].",
        theirs={"v3": ((20, 25, "PERSON"),)},
    ),
    DifficultCompletion(
        "garbage",
        "Maria lives in Lisbon.",
        (),
        "I'm sorry, but as a language model I can't do this.",
        "I'm sorry, but as a language model I can't do this.",
        "I'm sorry, but as a language model I can't do this.",
        issues=("failed",),
        failed=True,
        lost=True,
    ),
    DifficultCompletion(
        "a cut-off answer",
        "Maria left Lisbon early for Porto.",
        ((0, 5, "PERSON"), (11, 17, "GPE")),
        "PERSON: Maria\nGPE: Lisbon, Por",
        f"{as_v3(('Maria', 'PERSON'), ('Lisbon', 'GPE'))}\n3. Porto | Tr",
        "[Maria | PERSON] left [Lisbon | GPE] early for [Por",
        issues=("truncated", "unbalanced"),
        lost=True,
    ),
]


def verdict(case: DifficultCompletion, version: str) -> str:
    """Describe the result of spacy-llm's task in one word."""
    if version in case.theirs:
        return "wrong"
    return "silent" if case.lost else "right"


def our_verdict(case: DifficultCompletion) -> str:
    """Describe the result of the project's task."""
    codes = ", ".join(f"`{code}`" for code in dict.fromkeys(case.issues))
    if case.failed:
        return "failed, with the reason"
    return f"right, reported: {codes}" if case.issues else "right"


def table() -> str:
    """Render the table of docs/llm.md."""
    rows = ["| the answer | `NER.v2` | `NER.v3` | here |", "|---|---|---|---|"]
    rows += [
        f"| {case.name.replace('|', chr(92) + '|')} | {verdict(case, 'v2')} | "
        f"{verdict(case, 'v3')} | {our_verdict(case)} |"
        for case in CASES
    ]
    return "\n".join(rows)
