"""The picture of nested spans is what its script draws."""

import importlib.util
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


@pytest.fixture(scope="module")
def script():
    path = ROOT / "docs" / "_extensions" / "spans_picture.py"
    spec = importlib.util.spec_from_file_location("spans_picture", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_what_the_script_draws(script, tmp_path):
    script.main(str(IMAGES / "nested-spans.jsonl"), str(tmp_path / "new.svg"))
    drawn = (tmp_path / "new.svg").read_text("utf8")
    assert drawn == (IMAGES / "nested-spans.svg").read_text("utf8")


def test_the_picture_has_every_span_and_loads_nothing(script):
    record = json.loads((IMAGES / "nested-spans.jsonl").read_text("utf8"))
    drawn = script.picture(record)
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    texts = root.findall(f"{space}text")
    labels = [each.text for each in texts if each.get("class") == "label"]
    assert labels == [span["label"] for span in record["spans"]]
    words = [each.text for each in texts if each.get("class") != "label"]
    assert "".join(words) == record["text"].replace(" ", "")
    # Three levels of nesting have three heights, each below the one around it.
    tops = [float(each.get("y")) for each in texts if each.get("class") == "label"]
    assert tops[1] < tops[2] < tops[3] and tops[0] == tops[1] == tops[4]
    assert "prefers-color-scheme: dark" in drawn
    assert not re.search(r"href|url\(|<script|@import", drawn)


def test_texts_and_labels_are_escaped(script):
    span = {"start": 0, "end": 1, "label": "A&B", "score": None}
    drawn = script.picture({"text": "x <b> & y", "spans": [span]})
    assert ElementTree.fromstring(drawn) is not None
    assert "<b>" not in drawn and "&lt;" in drawn
