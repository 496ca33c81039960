"""Sixteen answers that are hard to read, in the forms of spacy-llm's NER.v2 and NER.v3
and in the project's own.

The three forms of an answer say the same, as far as each can. `means` is what they say
of the text; `theirs` is what the two tasks of spacy-llm make of them where that is
something else.
"""

from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "llm.md"
LABELS = ["PERSON", "ORG", "GPE"]

Found = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Hostile:
    """A hard answer.

    name (str): What is hard about it.
    text (str): The text.
    means (Found): What the answer says of it: characters and label.
    v2, v3, ours (str): The answer in three forms.
    format (str): The format of the third.
    issues (Tuple[str, ...]): What is reported of the third.
    failed (bool): Whether that is all there is of it.
    lost (bool): Whether the answer says something that can't be placed.
    theirs (Dict[str, Found]): What "v2" and "v3" get wrong.
    """

    name: str
    text: str
    means: Found
    v2: str
    v3: str
    ours: str
    format: str = "inline_bracketed"
    issues: tuple[str, ...] = ()
    failed: bool = False
    lost: bool = False
    theirs: dict[str, Found] = field(default_factory=dict)


def said(*entries: tuple[str, str]) -> str:
    """The form that NER.v3 asks for."""
    return "\n".join(
        f"{number}. {name} | True | {label} | is one"
        for number, (name, label) in enumerate(entries, 1)
    )


MAY = (0, 3, "PERSON")
CASES = [
    Hostile(
        "repeated mention",
        "Lisbon beat Porto, then Lisbon lost.",
        ((0, 6, "GPE"), (12, 17, "GPE"), (24, 30, "GPE")),
        "GPE: Lisbon, Porto, Lisbon",
        said(("Lisbon", "GPE"), ("Porto", "GPE"), ("Lisbon", "GPE")),
        "[Lisbon | GPE] beat [Porto | GPE], then [Lisbon | GPE] lost.",
    ),
    Hostile(
        "two labels for one string",
        "Washington visited Washington.",
        ((0, 10, "PERSON"), (19, 29, "GPE")),
        "PERSON: Washington\nGPE: Washington",
        said(("Washington", "PERSON"), ("Washington", "GPE")),
        "[Washington | PERSON] visited [Washington | GPE].",
        theirs={"v2": ((0, 10, "PERSON"), (19, 29, "PERSON"))},
    ),
    Hostile(
        "the verb `may` beside the person May",
        "May may call when May is back.",
        (MAY, (18, 21, "PERSON")),
        "PERSON: May",
        said(("May", "PERSON"), ("May", "PERSON")),
        "[May | PERSON] may call when [May | PERSON] is back.",
        theirs={
            "v2": (MAY, (4, 7, "PERSON"), (18, 21, "PERSON")),
            "v3": (MAY, (4, 7, "PERSON")),
        },
    ),
    Hostile(
        "`Tiffany, Inc.`",
        "Tiffany, Inc. opened in Porto.",
        ((0, 13, "ORG"), (24, 29, "GPE")),
        "ORG: Tiffany, Inc.\nGPE: Porto",
        said(("Tiffany, Inc.", "ORG"), ("Porto", "GPE")),
        "[Tiffany, Inc. | ORG] opened in [Porto | GPE].",
        theirs={"v2": ((0, 7, "ORG"), (9, 13, "ORG"), (24, 29, "GPE"))},
    ),
    Hostile(
        # Of the numbers of NER.v3 its parser says that they are optional.
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
    Hostile(
        "a list with hyphens",
        "Maria lives in Lisbon.",
        ((0, 5, "PERSON"), (15, 21, "GPE")),
        "- PERSON: Maria\n- GPE: Lisbon",
        "- Maria | True | PERSON | is one\n- Lisbon | True | GPE | is one",
        "- [Maria | PERSON] lives in [Lisbon | GPE].",
        issues=("extra_text",),
        theirs={"v2": (), "v3": ()},
    ),
    Hostile(
        "prose before and after",
        "Maria lives in Lisbon.",
        ((0, 5, "PERSON"), (15, 21, "GPE")),
        "Sure! Here they are:\n\nPERSON: Maria\nGPE: Lisbon\n\nAnything else?",
        f"Sure! Here they are:\n\n{said(('Maria', 'PERSON'), ('Lisbon', 'GPE'))}"
        "\n\nAnything else?",
        "Sure! Here they are:\n\n[Maria | PERSON] lives in [Lisbon | GPE].\n\n"
        "Anything else?",
        issues=("extra_text", "extra_text"),
    ),
    Hostile(
        "an unknown label",
        "Maria swims in the Tagus.",
        ((0, 5, "PERSON"),),
        "PERSON: Maria\nRIVER: Tagus",
        said(("Maria", "PERSON"), ("Tagus", "RIVER")),
        "[Maria | PERSON] swims in the [Tagus | RIVER].",
        issues=("unknown_label",),
        lost=True,
    ),
    Hostile(
        "an invented name",
        "Maria lives in Lisbon.",
        ((0, 5, "PERSON"), (15, 21, "GPE")),
        "PERSON: Maria\nGPE: Lisbon, Madrid",
        said(("Maria", "PERSON"), ("Lisbon", "GPE"), ("Madrid", "GPE")),
        '{"PERSON": ["Maria"], "ORG": [], "GPE": ["Lisbon", "Madrid"]}',
        format="grouped_json",
        issues=("not_in_text",),
        lost=True,
    ),
    Hostile(
        "doubled spaces",
        "Maria  Silva lives in New  York.",
        ((0, 12, "PERSON"), (22, 31, "GPE")),
        "PERSON: Maria Silva\nGPE: New York",
        said(("Maria Silva", "PERSON"), ("New York", "GPE")),
        "[Maria Silva | PERSON] lives in [New York | GPE].",
        issues=("copy_differs",),
        theirs={"v2": (), "v3": ()},
    ),
    Hostile(
        "a dotted capital I (`İ`)",
        "İstanbul and Ankara grew.",
        ((0, 8, "GPE"), (13, 19, "GPE")),
        "GPE: İstanbul, Ankara",
        said(("İstanbul", "GPE"), ("Ankara", "GPE")),
        "[İstanbul | GPE] and [Ankara | GPE] grew.",
        theirs={"v2": ((0, 8, "GPE"),), "v3": ((0, 8, "GPE"),)},
    ),
    Hostile(
        "mentions out of order",
        "Maria left Lisbon for Porto.",
        ((0, 5, "PERSON"), (11, 17, "GPE"), (22, 27, "GPE")),
        "GPE: Porto, Lisbon\nPERSON: Maria",
        said(("Porto", "GPE"), ("Lisbon", "GPE"), ("Maria", "PERSON")),
        '[{"text": "Porto", "label": "GPE", "occurrence_index": 1}, '
        '{"text": "Lisbon", "label": "GPE", "occurrence_index": 1}, '
        '{"text": "Maria", "label": "PERSON", "occurrence_index": 1}]',
        format="occurrence_json",
        issues=("bad_json",),
        theirs={"v3": ((22, 27, "GPE"),)},
    ),
    Hostile(
        "a name inside a word",
        "The banner shows Ann.",
        ((17, 20, "PERSON"),),
        "PERSON: Ann",
        said(("Ann", "PERSON")),
        "The banner shows [Ann | PERSON].",
        theirs={"v3": ()},
    ),
    Hostile(
        "pipes in the text",
        "The A|B Group hired Maria.",
        ((4, 13, "ORG"), (20, 25, "PERSON")),
        "ORG: A|B Group\nPERSON: Maria",
        said(("A|B Group", "ORG"), ("Maria", "PERSON")),
        "The [A|B Group | ORG] hired [Maria | PERSON].",
        theirs={"v3": ((20, 25, "PERSON"),)},
    ),
    Hostile(
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
    Hostile(
        "a cut-off answer",
        "Maria left Lisbon early for Porto.",
        ((0, 5, "PERSON"), (11, 17, "GPE")),
        "PERSON: Maria\nGPE: Lisbon, Por",
        f"{said(('Maria', 'PERSON'), ('Lisbon', 'GPE'))}\n3. Porto | Tr",
        "[Maria | PERSON] left [Lisbon | GPE] early for [Por",
        issues=("truncated", "unbalanced"),
        lost=True,
    ),
]


def verdict(case: Hostile, form: str) -> str:
    """What spacy-llm makes of an answer, in a word."""
    if form in case.theirs:
        return "wrong"
    return "silent" if case.lost else "right"


def our_verdict(case: Hostile) -> str:
    codes = ", ".join(f"`{code}`" for code in dict.fromkeys(case.issues))
    if case.failed:
        return "failed, with the reason"
    return f"right, reported: {codes}" if case.issues else "right"


def table() -> str:
    """The table of docs/llm.md."""
    rows = ["| the answer | `NER.v2` | `NER.v3` | here |", "|---|---|---|---|"]
    rows += [
        f"| {case.name.replace('|', chr(92) + '|')} | {verdict(case, 'v2')} | "
        f"{verdict(case, 'v3')} | {our_verdict(case)} |"
        for case in CASES
    ]
    return "\n".join(rows)
