"""The tables of kinds of faults name tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "robustness.md"
ROW = re.compile(r"^\| (?!kind |-)(?P<kind>[^|]+) \|[^|]+\| (?P<tests>[^|]+) \|$", re.M)


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_tests_of_each_kind_exist():
    rows = list(ROW.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(rows) > 20
    missing = []
    for row in rows:
        named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", row["tests"])
        assert named, row["kind"]
        for file, function in named:
            path = ROOT / file
            if not path.is_file() or function not in functions(path):
                missing.append(f"{file}::{function}")
    assert missing == []
