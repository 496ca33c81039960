"""The documentation site: docstrings, links, and the completeness of its pages."""

import importlib.util
import re
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = ["CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md"]


def load(name):
    path = DOCS / "_extensions" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


repository = load("repository")
docstrings = load("spacy_docstrings")

SOURCE = '''
from typing import NamedTuple


class Point(NamedTuple):
    """A point.

    x (int): The column.
    y (int): The row, which
        may be negative.
    """

    x: int
    y: int


class Reader:
    """Reads points.

    size (dict[str, int]): The size.

    count (int): The number of points so far.
    """

    def __init__(self, size):
        self.count = 0

    @property
    def width(self):
        """RETURNS (int): The width."""

    def read(self, path, *, limit=None, **options):
        """Read a file.

        A second paragraph (with a note): it stays text.

        path (Path): The file.
        limit (int | None): The maximum number (0 for
            none): see `size`.
        **options (Any): Passed on.
        YIELDS (Point): The points.
        RAISES (ValueError): The file is damaged.
        RAISES (OSError): The file is missing.

            example (str): This is code.
        """
'''


@pytest.fixture(scope="module")
def module():
    import griffe

    extensions = griffe.load_extensions(docstrings.SpacyDocstrings)
    with griffe.temporary_visited_module(SOURCE, extensions=extensions) as module:
        for obj in (
            module["Point"],
            module["Reader"],
            *module["Reader"].members.values(),
        ):
            extensions.call("on_object", obj=obj, loader=None)
        yield module


def sections(obj):
    return [(section.kind.value, section.value) for section in obj.docstring.parsed]


def entries(elements):
    return [
        (getattr(each, "name", ""), str(each.annotation), each.description)
        for each in elements
    ]


def test_fields_of_a_class_are_attributes(module):
    text, attributes = sections(module["Point"])
    assert text == ("text", "A point.")
    assert attributes[0] == "attributes"
    assert entries(attributes[1]) == [
        ("x", "int", "The column."),
        ("y", "int", "The row, which\nmay be negative."),
    ]


def test_a_class_has_arguments_and_attributes(module):
    _, arguments, attributes = sections(module["Reader"])
    assert (arguments[0], attributes[0]) == ("parameters", "attributes")
    assert entries(arguments[1]) == [("size", "dict[str, int]", "The size.")]
    assert [each.name for each in attributes[1]] == ["count"]


def test_a_property_is_described_by_what_it_returns(module):
    assert sections(module["Reader.width"]) == [("text", "The width.")]


def test_every_part_of_a_function(module):
    first, parameters, yields, raises, rest = sections(module["Reader.read"])
    assert first[1].endswith("A second paragraph (with a note): it stays text.")
    assert entries(parameters[1]) == [
        ("path", "Path", "The file."),
        ("limit", "int | None", "The maximum number (0 for\nnone): see `size`."),
        ("**options", "Any", "Passed on."),
    ]
    assert parameters[1][1].default == "None"
    assert (yields[0], entries(yields[1])) == ("yields", [("", "Point", "The points.")])
    assert raises[0] == "raises"
    assert [str(each.annotation) for each in raises[1]] == ["ValueError", "OSError"]
    assert rest == ("text", "    example (str): This is code.")


LINKS = [
    ("llm.md", "../configs/demo.cfg", "repository/configs/demo.cfg"),
    ("llm.md", "formats.md#json", "formats.md#json"),
    ("llm.md", "../README.md", "overview.md"),
    ("api/index.md", "../architecture.md", "../architecture.md"),
    ("api/index.md", "../../LICENSE", "../repository/LICENSE"),
    ("overview.md", "docs/formats.md", "formats.md"),
    ("overview.md", "project.yml", "repository/project.yml"),
    ("project.md", "project.yml", "repository/project.yml"),
    ("contributing.md", "CHANGELOG.md", "changelog.md"),
    ("contributing.md", "#set-up", "#set-up"),
    ("contributing.md", "https://spacy.io/usage", "https://spacy.io/usage"),
    ("contributing.md", "missing.md", "missing.md"),
    ("contributing.md", "../secret.txt", "../secret.txt"),
]


@pytest.mark.parametrize("page, link, expected", LINKS)
def test_links_of_the_repository_are_links_of_the_site(page, link, expected):
    markdown, copied = repository.rewrite_links(f"See [this]({link}).", page, ROOT)
    assert markdown == f"See [this]({expected})."
    is_file = "repository/" in expected
    assert copied == ({expected.partition("repository/")[2]} if is_file else set())


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_exist(page):
    text = (ROOT / page).read_text("utf8")
    named = re.findall(
        r"`((?:spacy_genner|tests|docs|configs|benchmarks)/[^`*]*)`", text
    )
    assert named
    for path in named:
        # NAME stands for the reader's own choice.
        assert "NAME" in path or (ROOT / path).exists(), path


def test_the_modules_of_a_package_are_listed():
    listed = repository.expand_modules("A.\n\n::: spacy_genner.formats.*\n", ROOT)
    directives = listed.splitlines()[2:]
    assert directives[0] == "::: spacy_genner.formats.base"
    assert "::: spacy_genner.formats.__init__" not in directives
    assert repository.expand_modules("::: spacy_genner.errors\n", ROOT) == (
        "::: spacy_genner.errors\n"
    )


def test_the_reference_has_every_module():
    pages = "\n\n".join(path.read_text("utf8") for path in (DOCS / "api").glob("*.md"))
    listed = repository.expand_modules(pages, ROOT)
    named = re.findall(r"^::: (\S+)$", listed, re.MULTILINE)
    assert len(named) == len(set(named))
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "spacy_genner").rglob("*.py")
        if not path.name.startswith("_")
    }
    # Commands explain themselves with --help.
    assert modules - set(named) == {m for m in modules if ".cli." in m}
    for package in set(named) - modules:
        assert (ROOT / Path(*package.split(".")) / "__init__.py").is_file(), package


def test_the_reference_lists_every_registered_name():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    points = config["options.entry_points"]
    expected = set()
    for group in points:
        # The groups of spacy-llm exist under thinc's name, too.
        if group in ("console_scripts", "spacy_cli") or group.startswith("thinc_llm"):
            continue
        for line in points[group].strip().splitlines():
            name, _, place = (part.strip() for part in line.partition("="))
            registry = re.sub("^(spacy|thinc)_", "", group)
            expected.add((name, registry, place.replace(":", ".")))
    text = (DOCS / "api" / "index.md").read_text("utf8")
    rows = re.findall(
        r"^\| `([^`]+)` \| `?(\w+)`? \| `([^`]+)` \|$", text, re.MULTILINE
    )
    assert set(rows) == expected and len(rows) == len(expected)
