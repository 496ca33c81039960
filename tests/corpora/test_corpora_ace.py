"""The ACE 2005 reader. The sentences are made up in the format of the LDC."""

from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import get_converter

SGM = """<DOC>
<DOCID> OWN_ENG_20200101.0001 </DOCID>
<DOCTYPE SOURCE="newswire"> NEWS STORY </DOCTYPE>
<BODY>
<TEXT>
🧬 The mayor of Porto
met Silva &amp; Sons of
Lisbon<QUOTE PREVIOUSPOST="an
older post"> today.
</TEXT>
</BODY>
</DOC>
"""
# The text as offsets count it: without tags, with `&amp;` as five characters.
COUNTED = (
    "\n OWN_ENG_20200101.0001 \n NEWS STORY \n\n\n🧬 The mayor of Porto\n"
    "met Silva &amp; Sons of\nLisbon today.\n\n\n\n"
)
TEXT = COUNTED.replace("&amp;", "&")


def charseq(words: str, shift: int = 0) -> str:
    start = COUNTED.index(words) + shift
    end = start + len(words) - 1
    surface = escape(words.replace("&amp;", "&"))
    return f'<charseq START="{start}" END="{end}">{surface}</charseq>'


def entity(kind: str, *mentions: str) -> str:
    """Write an entity. A mention is given as `extent` or `extent|head`."""
    lines = [f'<entity ID="E1" TYPE={quoteattr(kind)} SUBTYPE="x" CLASS="SPC">']
    for mention in mentions:
        extent, _, head = mention.partition("|")
        lines += [
            '<entity_mention ID="E1-1" TYPE="NAM">',
            f"<extent>{charseq(extent)}</extent>",
            f"<head>{charseq(head or extent)}</head>",
            "</entity_mention>",
        ]
    name = f'<name NAME="x">{charseq("Porto")}</name>'
    lines.append(f"<entity_attributes>{name}</entity_attributes></entity>")
    return "\n".join(lines)


def apf(*entities: str) -> str:
    others = (
        '<timex2 ID="T1"><timex2_mention ID="T1-1"><extent>'
        f"{charseq('today')}</extent></timex2_mention></timex2>"
    )
    return "\n".join(
        [
            '<?xml version="1.0"?>',
            '<!DOCTYPE source_file SYSTEM "apf.v5.1.1.dtd">',
            '<source_file URI="x.sgm" SOURCE="newswire" TYPE="text">',
            '<document DOCID="OWN_ENG_20200101.0001">',
            *entities,
            others,
            "</document>",
            "</source_file>",
            "",
        ]
    )


APF = apf(
    entity("PER", "The mayor of Porto|mayor"),
    entity("GPE", "Porto", "Lisbon"),
    entity("ORG", "Silva &amp; Sons of\nLisbon|Silva &amp; Sons"),
)
FULL = [
    ("The mayor of Porto", "PER"),
    ("Porto", "GPE"),
    ("Lisbon", "GPE"),
    ("Silva & Sons of\nLisbon", "ORG"),
]


def write(
    folder: Path, sgm: str | None = SGM, annotation: str | None = APF, name: str = "own"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in ((".sgm", sgm), (".apf.xml", annotation)):
        if content is not None:
            (folder / (name + ending)).write_bytes(content.encode("utf-8"))
    return folder


def read(path: Path, **options):
    return list(get_converter("ace2005")(path, ConvertOptions(**options)))


def texts(doc):
    return [(doc.text[s.start : s.end], s.label) for s in doc.spans]


@pytest.mark.parametrize("before, line_end", [("", "\n"), ("\ufeff", "\r\n")])
def test_full_mentions(tmp_path, before, line_end):
    folder = write(
        tmp_path,
        before + SGM.replace("\n", line_end),
        before + APF.replace("\n", line_end),
    )
    [doc] = read(folder)
    assert (doc.text, doc.doc_id, doc.sentence_starts) == (TEXT, "own", None)
    assert texts(doc) == FULL


def test_offsets_match_the_annotation(tmp_path):
    """Offsets match exactly before the first XML entity in the text."""
    [doc] = read(write(tmp_path))
    start = COUNTED.index("The mayor")
    assert doc.spans[0] == (start, start + len("The mayor of Porto"), "PER")


def test_heads(tmp_path):
    [doc] = read(write(tmp_path), extent="head")
    assert texts(doc) == [
        ("mayor", "PER"),
        ("Porto", "GPE"),
        ("Lisbon", "GPE"),
        ("Silva & Sons", "ORG"),
    ]


@pytest.mark.parametrize("kind", ["PER", "ORG", "GPE", "LOC", "FAC", "VEH", "WEA"])
def test_every_type_is_read(tmp_path, kind):
    [doc] = read(write(tmp_path, annotation=apf(entity(kind, "Porto"))))
    assert texts(doc) == [("Porto", kind)]


def test_a_folder_is_read_in_sorted_order(tmp_path):
    write(tmp_path / "nw", name="b.1")
    write(tmp_path / "bc", name="c")
    write(tmp_path / "bc", name="a")
    assert [doc.doc_id for doc in read(tmp_path)] == ["a", "c", "b.1"]
    assert [d.doc_id for d in read(tmp_path, documents=frozenset({"c"}))] == ["c"]
    for ending in (".sgm", ".apf.xml"):
        [doc] = read(tmp_path / "nw" / f"b.1{ending}")
        assert (doc.doc_id, texts(doc)) == ("b.1", FULL)


def test_the_last_stage_of_annotation_is_read(tmp_path):
    for stage in ("fp1", "fp2", "adj", "timex2norm"):
        write(tmp_path / "nw" / stage, annotation=apf())
    write(tmp_path / "nw" / "timex2norm")
    write(tmp_path / "bc" / "adj", name="a")
    with pytest.warns(UserWarning, match=r"\[W514\].*: 3 files.*\(timex2norm\)"):
        docs = read(tmp_path)
    assert [(doc.doc_id, texts(doc)) for doc in docs] == [("a", FULL), ("own", FULL)]


@pytest.mark.parametrize("folders", [("fp1", "fp2"), ("x", "y")])
def test_a_duplicate_document_is_an_error(tmp_path, folders):
    for folder in folders:
        write(tmp_path / folder)
    with pytest.raises(ValueError, match=r"\[G543\] The document 'own' occurs twice"):
        read(tmp_path)


@pytest.mark.parametrize(
    "present, missing", [("own.sgm", "own.apf.xml"), ("own.apf.xml", "own.sgm")]
)
def test_a_missing_file_is_an_error(tmp_path, present, missing):
    write(tmp_path)
    (tmp_path / missing).unlink()
    for path in (tmp_path, tmp_path / present):
        with pytest.raises(
            ValueError, match=rf"\[G540\].*{present} .*but {missing} is missing"
        ):
            read(path)


def test_offsets_that_do_not_fit_are_an_error(tmp_path):
    right, wrong = charseq("Porto"), charseq("Porto", shift=1)
    annotation = apf(entity("GPE", "Porto")).replace(right, wrong)
    message = r"\[G542\].*own.apf.xml, line 7: .*has 'Porto' from \d+ to \d+, but 'orto"
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path, annotation=annotation))
    far = wrong.replace('END="', 'END="9')
    with pytest.raises(
        ValueError, match=r"\[G542\].*but '' is at this position in .*own.sgm"
    ):
        read(write(tmp_path, annotation=annotation.replace(wrong, far)))


@pytest.mark.parametrize(
    "annotation, number, reason",
    [
        (apf(entity("TIM", "Porto")), 5, "an entity has the type 'TIM'"),
        (apf(entity("", "Porto")), 5, "an entity has the type ''"),
        (apf(entity("GPE", "Porto")).replace("START=", "AT="), 7, "START is ''"),
        (apf(entity("GPE", "Porto")).replace('END="', 'END="-'), 7, "END is '-"),
        (apf(entity("GPE", "Porto")).replace("extent>", "x>"), 9, "no 'extent'"),
    ],
)
def test_a_malformed_annotation_names_its_line(tmp_path, annotation, number, reason):
    message = rf"\[G541\].*own.apf.xml, line {number}: .*{reason}"
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path, annotation=annotation))


@pytest.mark.parametrize("annotation", ["", APF[:-30]])
def test_malformed_xml_names_its_line(tmp_path, annotation):
    with pytest.raises(ValueError, match=r"\[G535\].*own.apf.xml, line \d+"):
        read(write(tmp_path, annotation=annotation))


def test_an_empty_text_is_read(tmp_path):
    [doc] = read(write(tmp_path, sgm="", annotation="<source_file/>"))
    assert (doc.text, doc.spans) == ("", [])
