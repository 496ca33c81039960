"""The table of messages and its use in the package."""

import re
import string
from pathlib import Path

import pytest

import spacy_genner
from spacy_genner.errors import Errors, GennerWarning, Warnings, warn

TABLES = {"Errors": Errors, "Warnings": Warnings}
CODES = [
    (table, code)
    for table, cls in TABLES.items()
    for code in vars(cls)
    if not code.startswith("__")
]


def test_codes_and_their_use_agree():
    package = Path(spacy_genner.__file__).parent
    modules = [path for path in package.rglob("*.py") if path.name != "errors.py"]
    source = "\n".join(path.read_text("utf8") for path in modules)
    unused = [code for _, code in CODES if not re.search(rf"\b{code}\b", source)]
    assert unused == []
    used = set(re.findall(r"\b(Errors|Warnings)\.([A-Z]\d+)", source))
    assert used <= set(CODES)


@pytest.mark.parametrize("table, code", CODES)
def test_every_message_is_well_formed(table, code):
    message = getattr(TABLES[table], code)
    letter = "G" if table == "Errors" else "W"
    assert re.match(rf"\[{letter}\d{{3}}\] \S", message) and message == message.strip()
    assert "  " not in message
    # Raises an error for unbalanced braces.
    list(string.Formatter().parse(message))


def test_codes_are_in_order():
    for table in TABLES:
        codes = [code for name, code in CODES if name == table]
        assert codes == sorted(set(codes))


def test_a_warning_has_the_project_s_category():
    with pytest.warns(GennerWarning, match="^a message$"):
        warn("a message")
