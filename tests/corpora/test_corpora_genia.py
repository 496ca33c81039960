"""The GENIA reader. The sentences are made up in the format of GENIA 3.02."""

import io
import json
import tarfile
from pathlib import Path

import pytest
import spacy

from spacy_genner.corpora.convert import convert_file
from spacy_genner.corpora.documents import ConvertOptions, describe_span
from spacy_genner.corpora.forms import get_converter
from spacy_genner.corpora.forms.genia import genia_type
from spacy_genner.formats import CharSpan

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE set SYSTEM "gpml.dtd">\n'


def cons(text: str, sem: str | None) -> str:
    return f'<cons lex="x" sem="{sem}">{text}</cons>' if sem else f"<cons>{text}</cons>"


def article(name: str, title: str, *abstract: str) -> str:
    sentences = "\n".join(f"<sentence>{text}</sentence>" for text in abstract)
    return (
        f"<article>\n<articleinfo>\n<bibliomisc>{name}</bibliomisc>\n</articleinfo>\n"
        f"<title>\n<sentence>{title}</sentence>\n</title>\n"
        f"<abstract>\n{sentences}\n</abstract>\n</article>\n"
    )


def corpus(*articles: str) -> str:
    return f"{HEAD}<set>\n<import></import>\n{''.join(articles)}</set>\n"


NESTED = cons(
    f"the {cons('Abc1', 'G#protein_molecule')} gene", "G#DNA_domain_or_region"
)
FIRST = article(
    "MEDLINE:1",
    f"🧬 Loss of {NESTED} &amp; more.",
    f"It grows in {cons('B cells', 'G#cell_type')} and {cons('yeast', 'G#mono_cell')}.",
)
SECOND = article("MEDLINE:2", "Nothing.")


def write(tmp_path: Path, content: str, name: str = "genia.xml") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8"))
    return path


def read(path: Path, **options):
    return list(get_converter("genia-xml")(path, ConvertOptions(**options)))


def texts(doc):
    return [(doc.text[s.start : s.end], s.label) for s in doc.spans]


@pytest.mark.parametrize("before, line_end", [("", "\n"), ("\ufeff", "\r\n")])
def test_nested_terms(tmp_path, before, line_end):
    content = before + corpus(FIRST, SECOND).replace("\n", line_end)
    docs = read(write(tmp_path, content))
    assert [(doc.text, doc.doc_id) for doc in docs] == [
        ("🧬 Loss of the Abc1 gene & more.", "MEDLINE:1"),
        ("It grows in B cells and yeast.", "MEDLINE:1"),
        ("Nothing.", "MEDLINE:2"),
    ]
    assert docs[0].spans == [(10, 23, "DNA"), (14, 18, "protein")]
    assert [texts(doc) for doc in docs[1:]] == [[("B cells", "cell_type")], []]


def test_sentences_are_joined_on_request(tmp_path):
    path = write(tmp_path, corpus(FIRST, SECOND))
    first, second = read(path, join_sentences=True)
    assert first.sentence_starts == [0, 32]
    assert ("B cells", "cell_type") in texts(first)
    assert second.text == "Nothing."


@pytest.mark.parametrize(
    "sem, kind",
    [
        ("G#DNA_N/A", "DNA"),
        ("G#RNA_family_or_group", "RNA"),
        ("G#protein_complex", "protein"),
        ("G#cell_line", "cell_line"),
        ("G#cell_type", "cell_type"),
        ("G#cell_component", None),
        ("G#proteins", None),
        ("G#other_name", None),
        ("", None),
    ],
)
def test_types_are_coarse(sem, kind):
    assert genia_type(sem) == kind


def test_coordinations_are_left_out_and_counted(tmp_path):
    parts = (
        f"{cons('B', None)} and {cons('T', None)} "
        f"{cons('cells of ' + cons('line 7', 'G#cell_line'), None)}"
    )
    both = cons(parts, "(AND G#cell_type G#cell_type)")
    names = cons("x or y", "(OR G#other_name G#other_name)")
    path = write(tmp_path, corpus(article("1", f"Of {both}, {names}.")))
    with pytest.warns(UserWarning, match=r"\[W511\].*: 1 coordinated terms"):
        [doc] = read(path)
    assert doc.text == "Of B and T cells of line 7, x or y."
    assert texts(doc) == [("line 7", "cell_line")]


def test_the_last_copy_of_an_article_is_read(tmp_path):
    before = article("MEDLINE:1", "Seen before.")
    path = write(tmp_path, corpus(before, SECOND, FIRST))
    with pytest.warns(UserWarning, match=r"\[W512\].*: 1 articles.*MEDLINE:1"):
        docs = read(path)
    assert [doc.doc_id for doc in docs] == ["MEDLINE:2", "MEDLINE:1", "MEDLINE:1"]
    # An article that is not chosen causes no warning.
    chosen = frozenset({"2"})
    assert [doc.text for doc in read(path, documents=chosen)] == ["Nothing."]


def make_archive(path: Path, **members: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            data = content.encode("utf-8")
            info = tarfile.TarInfo(f"GENIA/{name.replace('_', '.')}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_the_archive_is_read(tmp_path):
    content = corpus(FIRST)
    path = make_archive(tmp_path / "g.tgz", a_dtd="<!-- -->", a_xml=content)
    assert read(path) == read(write(tmp_path, content))


def test_an_invalid_archive_is_named(tmp_path):
    several = make_archive(tmp_path / "g.tar.gz", a_xml="<set/>", b_xml="<set/>")
    with pytest.raises(ValueError, match=r"\[G537\].*GENIA/a.xml, GENIA/b.xml"):
        read(several)
    whole = make_archive(tmp_path / "g.tgz", a_xml=corpus(FIRST) * 50).read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        (tmp_path / "cut.tgz").write_bytes(content)
        with pytest.raises(ValueError, match=r"\[G537\].*cut.tgz"):
            read(tmp_path / "cut.tgz")


@pytest.mark.parametrize(
    "content, line",
    [("", 1), ("no XML", 1), (corpus(FIRST)[:-20], 14), ("<set>\n<a></b>\n</set>", 2)],
)
def test_malformed_xml_names_its_line(tmp_path, content, line):
    with pytest.raises(ValueError, match=rf"\[G535\].*genia.xml, line {line}: "):
        read(write(tmp_path, content))


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE set [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE set [<!ENTITY e "ee">]>',
        '<!DOCTYPE set SYSTEM "gpml.dtd">',
    ],
)
def test_entities_are_never_read(tmp_path, declaration):
    """Entities are refused, whether the file or an external DTD declares them."""
    content = f"{declaration}\n<set>{article('1', 'A &e; b.')}</set>"
    with pytest.raises(ValueError, match=r"\[G536\].*line \d: the entity 'e'"):
        read(write(tmp_path, content))


@pytest.mark.parametrize(
    "content, line, reason",
    [
        ("<set><sentence>A</sentence></set>", 1, "outside an article"),
        (f"<set>\n{article('', 'A')}</set>", 7, "outside an article with an ID"),
        (f"<set>\n{cons('A', 'G#DNA_N/A')}</set>", 2, "outside a sentence"),
        (f"<set>\n{article('1', 'A')}B</set>", 13, "'B' is outside a sentence"),
        (corpus(article("1", cons("", "G#cell_line"))), 10, "has no text"),
        (
            corpus(article("1", "A <sentence>B</sentence>")),
            10,
            "a sentence is inside another sentence",
        ),
    ],
)
def test_other_xml_than_genia_names_its_line(tmp_path, content, line, reason):
    with pytest.raises(ValueError, match=rf"\[G538\].*line {line}: .*{reason}"):
        read(write(tmp_path, content))


def test_xml_without_articles_contains_no_document(tmp_path):
    path = write(tmp_path, "<set></set>")
    with pytest.raises(ValueError, match=r"\[G504\]"):
        convert_file(path, tmp_path / "c.spacy", "genia-xml")


@pytest.mark.filterwarnings("ignore:.*W51")
def test_genia_matches_the_published_split(data_dir):
    path = data_dir("genia", "GENIAcorpus3.02.tgz")
    found = read(path)
    expected = []
    sizes = {}
    for part in ("train", "dev", "test"):
        lines = data_dir("genia", f"{part}.jsonl").read_text("utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        expected.extend(records)
        documents = len({record["doc_id"] for record in records})
        spans = sum(len(record["entities"]) for record in records)
        sizes[part] = (documents, len(records), spans)
    assert sizes == {
        "train": (1601, 15038, 46203),
        "dev": (199, 1765, 4714),
        "test": (199, 1732, 5119),
    }
    # Some spans occur in two elements.
    assert sum(len(doc.spans) for doc in found) == 56036 + 33
    # The documents of the parts are in the order of the file.
    assert [(doc.doc_id, doc.text) for doc in found] == [
        (record["doc_id"], record["text"]) for record in expected
    ]
    for doc, record in zip(found, expected, strict=True):
        assert set(doc.spans) == {
            (entity["start"], entity["end"], entity["type"])
            for entity in record["entities"]
        }


def test_a_long_sentence_takes_linear_time(tmp_path, processor_seconds):
    """A sentence of megabytes is read in seconds, and its descriptions cost no copy."""
    words = "".join(
        f"{cons(f'IL-{number}', 'G#protein_x')} " for number in range(40_000)
    )
    path = write(tmp_path, corpus(article("MEDLINE:1", words)))
    sentences = []
    assert processor_seconds(lambda: sentences.extend(read(path))) < 10
    assert sum(len(doc.spans) for doc in sentences) == 40_000


def test_the_description_of_a_span_does_not_join_the_document():
    doc = spacy.blank("en")("x " * 500 + "IL-2)-induced growth")
    place = doc.text.index("IL-2")
    assert describe_span(doc, CharSpan(place + 1, place + 3, "p")).startswith(
        "'L-' (p)"
    )

    class Counting:
        """A Doc whose whole text must not be used."""

        user_data = doc.user_data
        char_span = doc.char_span

    described = describe_span(Counting(), CharSpan(place, place + 4, "p"))
    assert described.startswith("'IL-2' (p)")
