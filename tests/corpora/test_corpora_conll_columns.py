"""Columns of CoNLL files: separators, comments, headers, numbers and names."""

import pytest

from spacy_genner.corpora.documents import ConvertOptions
from spacy_genner.corpora.forms import columns, get_converter

HIPE = (
    "TOKEN\tNE-COARSE-LIT\tNE-COARSE-METO\tNE-FINE-LIT\tNE-FINE-METO\tNE-FINE-COMP\t"
    "NE-NESTED\tNEL-LIT\tNEL-METO\tMISC\n"
    "# hipe2022:document_id = NZZ-1798\n"
    "# hipe2022:date = 1798-01-20\n"
    "Stadt\tB-loc\tO\tB-loc.adm.town\tO\tO\tO\tQ72\t_\t_\n"
    "Zürich\tI-loc\tO\tI-loc.adm.town\tO\tO\tB-loc.adm.town\tQ72\t_\tNoSpaceAfter\n"
    ".\tO\tO\tO\tO\tO\tO\t_\t_\tEndOfSentence\n"
    "\n"
    "# hipe2022:document_id = NZZ-1799\n"
    "Bern\tB-loc\tO\tB-loc.adm.town\tO\tO\tO\tQ70\t_\t_\n"
)
GERMEVAL = (
    "#\thttp://de.wikipedia.org/wiki/Manfred_Korfmann [2009-10-17]\n"
    "1\tDie\tO\tO\n"
    "2\tUni\tB-ORG\tO\n"
    "3\tTübingen\tI-ORG\tB-LOC\n"
    "\n"
    "#\thttp://de.wikipedia.org/wiki/n-tv [2009-10-17]\n"
    "1\tDeutsche\tB-LOCderiv\tO\n"
)
MULTICONER = (
    "# id 5239d808-f300-46ea-aa3b-5093040213a3\tdomain=train\n"
    "in _ _ O\n"
    "new _ _ B-LOC\n"
    "york _ _ I-LOC\n"
    "\n"
    "# id e9f1a1e5-0c1b-4f4a-8b1c-2a2f3b7a9c11\tdomain=train\n"
    "# _ _ O\n"
    "oslo _ _ B-LOC\n"
)
CONLLU = (
    "# newdoc id = d7\n"
    "# sent_id = 1\n"
    "# text = Vai al mare O\n"
    "1\tVai\tandare\tVERB\tV\t_\t0\troot\t_\tNER=O\n"
    "2-3\tal\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "2\ta\ta\tADP\tE\t_\t4\tcase\t_\tNER=O|SpaceAfter=No\n"
    "3\til\til\tDET\tRD\t_\t4\tdet\t_\tNER=B-LOC\n"
    "4\tmare\tmare\tNOUN\tS\t_\t1\tobl\t_\tNER=I-LOC\n"
    "4.1\tva\tandare\tVERB\tV\t_\t_\t_\t0:root\t_\n"
)
UNER = (
    "# sent_id = 1\n1\tIn\tO\t-\tmayhew\n2\tOslo\tB-LOC\t-\tmayhew\n\n"
    "# sent_id = 2\n1\t#\tO\t-\tmayhew\n"
)


def read(tmp_path, content, name="conll", **options):
    path = tmp_path / "c.conll"
    path.write_bytes(content.encode("utf-8"))
    return list(get_converter(name)(path, ConvertOptions(**options)))


def surfaces(docs):
    return [
        (doc.text, [(doc.text[s.start : s.end], s.label) for s in doc.spans])
        for doc in docs
    ]


@pytest.mark.parametrize(
    "content",
    [
        "Kari _ O I-PER\nde Vries _ O I-PER\n",
        "Kari\t_\tO\tI-PER\nde\tVries\t_\tO\tI-PER\n",
        "Kari\tO\nNew York O\n",
        "Kari O\nOslo\tNNP B-GPE\n",
        "Kari  O\nde\tVries O\n",
        "Kari NNP O\nOslo B-GPE\n",
        "Kari\tO\n# O\n",
        "Kari _ O\n# 1 _ B-PER\n",
    ],
)
def test_a_line_with_other_columns_is_named(tmp_path, content):
    code = "G514" if "NNP B-GPE" in content or "Vries O" in content else "G564"
    with pytest.raises(ValueError, match=rf"\[{code}\].*c.conll, line 2: "):
        read(tmp_path, content)
    # With a column for each level, columns of other kinds are faults, too.
    with pytest.raises(ValueError, match=r"\[G5(64|14)\].*c.conll, line [12]: "):
        read(tmp_path, content, "conll-nested")


def test_levels_do_not_change_within_a_file(tmp_path):
    with pytest.raises(ValueError, match=r"\[G564\].*line 2: .*3, .*line 1 number 2"):
        read(tmp_path, "a O\nb O B-X\n", "conll-nested")


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u2009", "\u0085", "\u2028"])
@pytest.mark.parametrize("sign", [" ", "\t", "  "])
def test_other_white_space_is_a_part_of_a_word(tmp_path, space, sign):
    word = f"10{space}000"
    found = read(tmp_path, f"pay{sign}O\n{word}{sign}B-MONEY\n")
    assert surfaces(found) == [(f"pay {word}", [(word, "MONEY")])]


def test_a_word_with_a_space_needs_tabs(tmp_path):
    found = read(tmp_path, "a\tO\nde Vries\tB-PER\n")
    assert surfaces(found) == [("a de Vries", [("de Vries", "PER")])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_every_line_end(tmp_path, end):
    content = end.join(["Oslo B-GPE", ". O", "", "Hm O", ""])
    expected = [("Oslo .", [("Oslo", "GPE")]), ("Hm", [])]
    assert surfaces(read(tmp_path, content)) == expected
    with pytest.raises(ValueError, match=r"\[G514\].*line 5"):
        read(tmp_path, content.replace("Hm O", f"Hm O{end}x"))


def test_empty_columns_at_the_end_may_be_missing(tmp_path):
    content = "a\tB-X\tB-Y\t\nb\tI-X\t\t\nc\tO\tO\nd\tO\tO\t\t\n"
    [doc] = read(tmp_path, content, "conll-nested")
    assert sorted(doc.spans) == [(0, 1, "Y"), (0, 3, "X")]


def test_a_file_of_hashes_has_no_comments(tmp_path):
    assert surfaces(read(tmp_path, "# O\n#1 B-X\n")) == [("# #1", [("#1", "X")])]


@pytest.mark.parametrize("sign", [" ", "\t"])
def test_a_hash_with_columns_is_a_word(tmp_path, sign):
    content = (
        f"#{sign}NN{sign}O\n# sent_id = 4\n# x\n#7{sign}NN{sign}B-X\nc{sign}C{sign}O\n"
    )
    assert surfaces(read(tmp_path, content)) == [("# #7 c", [("#7", "X")])]
    with pytest.raises(ValueError, match=r"line 3"):
        read(tmp_path, f"a{sign}C{sign}O\n\n#{sign}NN{sign}X-GPE\n")


def test_hipe(tmp_path):
    first, second = read(tmp_path, HIPE)
    assert surfaces([first]) == [("Stadt Zürich .", [("Stadt Zürich", "loc")])]
    assert (first.doc_id, second.doc_id) == ("NZZ-1798", "NZZ-1799")
    first, second = read(tmp_path, HIPE, "conll-nested")
    assert surfaces([first]) == [
        (
            "Stadt Zürich .",
            [("Stadt Zürich", "loc.adm.town"), ("Zürich", "loc.adm.town")],
        )
    ]
    for column in ("NE-NESTED", "7"):
        first, _ = read(tmp_path, HIPE, tag_columns=(column,))
        assert surfaces([first])[0][1] == [("Zürich", "loc.adm.town")]
    # A file that is made of several files repeats the header.
    assert len(read(tmp_path, HIPE + "\n" + HIPE)) == 4
    # A column that is not annotated in this corpus is no gold.
    with pytest.raises(ValueError, match=r"\[G514\].*line 4"):
        read(tmp_path, HIPE, tag_columns=("NEL-METO",))


def test_germeval(tmp_path):
    first, second = read(tmp_path, GERMEVAL, "conll-nested")
    assert surfaces([first, second]) == [
        ("Die Uni Tübingen", [("Uni Tübingen", "ORG"), ("Tübingen", "LOC")]),
        ("Deutsche", [("Deutsche", "LOCderiv")]),
    ]
    first, _ = read(tmp_path, GERMEVAL)
    assert surfaces([first])[0][1] == [("Tübingen", "LOC")]
    first, _ = read(tmp_path, GERMEVAL, tag_columns=("3",))
    assert surfaces([first])[0][1] == [("Uni Tübingen", "ORG")]


def test_multiconer(tmp_path):
    first, second = read(tmp_path, MULTICONER)
    assert surfaces([first, second]) == [
        ("in new york", [("new york", "LOC")]),
        ("# oslo", [("oslo", "LOC")]),
    ]
    assert first.doc_id == "5239d808-f300-46ea-aa3b-5093040213a3"


def test_conllu(tmp_path):
    for name in ("conll", "conll-nested"):
        [doc] = read(tmp_path, CONLLU, name)
        assert surfaces([doc]) == [("Vai a il mare", [("il mare", "LOC")])]
        assert doc.doc_id == "d7"
    [doc] = read(tmp_path, CONLLU, token_column="3", tag_columns=("10",))
    assert surfaces([doc]) == [("andare a il mare", [("il mare", "LOC")])]


def test_conllu_with_a_column_of_its_own(tmp_path):
    expected = [("In Oslo", [("Oslo", "LOC")]), ("#", [])]
    assert surfaces(read(tmp_path, UNER)) == expected
    assert surfaces(read(tmp_path, UNER, "conll-nested")) == expected
    plus = "# global.columns = ID FORM UPOS PARSEME:NE NE\n"
    content = plus + "1\tIn\tADP\t*\tO\n2\tOslo\tPROPN\t*\tB-LOC\n"
    expected = [("In Oslo", [("Oslo", "LOC")])]
    assert surfaces(read(tmp_path, content)) == expected
    content = plus.replace("PARSEME:NE NE", "NE NOTE") + content.partition("\n")[2]
    content = content.replace("*\tO", "O\t*").replace("*\tB-LOC", "B-LOC\t*")
    assert surfaces(read(tmp_path, content, tag_columns=("NE",))) == expected
    assert surfaces(read(tmp_path, content)) == expected


def test_conllu_with_several_attributes(tmp_path):
    content = CONLLU.replace("NER=", "name=O|NER=")
    with pytest.raises(ValueError, match=r"\[G565\].*under name, NER"):
        read(tmp_path, content)
    [doc] = read(tmp_path, content, tag_columns=("NER",))
    assert surfaces([doc]) == [("Vai a il mare", [("il mare", "LOC")])]


def test_sentences_of_one_word_have_an_index(tmp_path):
    content = "# text = Oslo\n1\tOslo\tO\t_\tNER=B-LOC\n\n# text = Hm\n1\tHm\tO\t_\t_\n"
    assert [doc.text for doc in read(tmp_path, content)] == ["Oslo", "Hm"]
    content = "#\thttp://x.org [2009]\n1\tOslo\tB-LOC\tO\n"
    assert read(tmp_path, content, "conll-nested")[0].text == "Oslo"
    assert read(tmp_path, "1 CD O\n")[0].text == "1"


def test_columns_without_content_are_no_levels(tmp_path):
    first, second = read(tmp_path, MULTICONER, "conll-nested")
    assert [doc.text for doc in (first, second)] == ["in new york", "# oslo"]
    assert first.spans == [(3, 11, "LOC")]


def test_a_header_row(tmp_path):
    content = "id\tword\tner\tpos\n7\tIn\tO\tADP\n9\tOslo\tB-LOC\tPROPN\n"
    expected = [("In Oslo", [("Oslo", "LOC")])]
    assert surfaces(read(tmp_path, content)) == expected
    options = {"token_column": "word", "tag_columns": ("ner",)}
    assert surfaces(read(tmp_path, content, **options)) == expected
    assert surfaces(read(tmp_path, content.replace("\t", " "), **options)) == expected
    own = content.replace("word", "Wort").replace("ner", "Klasse")
    options = {"token_column": "Wort", "tag_columns": ("Klasse",)}
    assert surfaces(read(tmp_path, own, **options)) == expected
    assert surfaces(read(tmp_path, content, tag_columns=("NER",))) == expected
    with pytest.raises(ValueError, match=r"\[G565\].*'kind'.*id, word, ner, pos"):
        read(tmp_path, content, tag_columns=("kind",))


def test_the_word_text_in_the_first_row_is_no_header(tmp_path):
    assert surfaces(read(tmp_path, "text O\nOslo B-LOC\n"))[0][0] == "text Oslo"
    with pytest.raises(ValueError, match=r"\[G514\].*line 1"):
        read(tmp_path, "text X-LOC\nOslo B-LOC\n")


@pytest.mark.parametrize("column", ["0", "4", "-1", "x", "²"])
def test_a_column_that_does_not_exist(tmp_path, column):
    content = "Oslo NNP B-LOC\n"
    for options in ({"tag_columns": (column,)}, {"token_column": column}):
        with pytest.raises(ValueError, match=r"\[G565\].*3 columns"):
            read(tmp_path, content, **options)


def test_several_columns_of_tags(tmp_path):
    content = "Oslo B-LOC B-loc NNP\n"
    with pytest.raises(ValueError, match=r"\[G565\].*: 2, 3"):
        read(tmp_path, content)
    with pytest.raises(ValueError, match=r"\[G565\].*one column of tags"):
        read(tmp_path, content, tag_columns=("2", "3"))
    [doc] = read(tmp_path, content, "conll-nested", tag_columns=("2", "3"))
    assert [span.label for span in doc.spans] == ["LOC", "loc"]


def test_numbers_as_words_are_no_index(tmp_path):
    assert read(tmp_path, "1 O\n2 O\n")[0].text == "1 2"
    assert read(tmp_path, "1 CD O\n3 CD O\n")[0].text == "1 3"
    [doc] = read(tmp_path, "1\tO\tO\n2\tB-X\tO\n", "conll-nested")
    assert surfaces([doc]) == [("1 2", [("2", "X")])]


def tokens(count, *tags):
    return "".join("\t".join([f"w{i}", *tags]) + "\n" for i in range(count))


def test_a_survey_covers_more_than_the_first_lines(tmp_path):
    """Nothing about the first thousand lines is decided before the later ones."""
    # A level without any tag so far.
    content = tokens(1200, "B-X", "") + "a\tB-X\tB-Y\n"
    docs = read(tmp_path, content, "conll-nested")
    assert sum(span.label == "Y" for doc in docs for span in doc.spans) == 1
    # Another last column, in which no tag occurs.
    content = tokens(1200, "B-X", "note")
    with pytest.raises(ValueError, match=r"\[G565\]"):
        read(tmp_path, content)
    # Numbers that count tokens up to some line.
    content = "".join(f"{i + 1}\tw\tO\n" for i in range(1200)) + "x\tw\tB-X\n"
    [doc] = read(tmp_path, content)
    assert doc.text.split()[:2] == ["1", "2"]


def test_lines_are_checked_after_the_survey(tmp_path):
    for line in ("a\tb\tO", "a", "a\tX-Y"):
        with pytest.raises(ValueError, match=r"line 1301"):
            read(tmp_path, tokens(1300, "B-X") + line + "\n")


@pytest.mark.parametrize("name", ["conll", "conll-nested"])
def test_the_survey_of_a_usual_file_is_short(tmp_path, monkeypatch, name):
    """The lines are examined until the layout is certain, and read once."""
    examined = []
    examine = columns._Survey.examine
    monkeypatch.setattr(
        columns._Survey,
        "examine",
        lambda survey: (examined.append(len(survey.waiting)), examine(survey)),
    )
    levels = ["B-X"] if name == "conll" else ["B-X", "O"]
    assert len(read(tmp_path, (tokens(50, *levels) + "\n") * 200, name)) == 200
    assert sum(examined) < 1000


@pytest.mark.parametrize(
    "content, hint",
    [
        ("Oslo b-loc\n", "Write the tag 'b-loc' as 'B-loc'"),
        ("Oslo\tB_LOC\n", "Write the tag 'B_LOC' as 'B-LOC'"),
        ("Oslo LOC-B\n", "Write the tag 'LOC-B' as 'B-LOC'"),
        ("Oslo I:LOC\n", "Write the tag 'I:LOC' as 'I-LOC'"),
        ("APC2 B\n", "The tag 'B' has no label: write 'B-LABEL'"),
        ("Oslo,B-LOC\n", "Separate the columns by tabs or spaces, not by ','"),
        ("Sentence #,Word,Tag\n1,Oslo,O\n", "not by ','"),
        ("Oslo;O\n", "not by ';'"),
        ("Oslo|B-LOC\n", "not by '|'"),
    ],
)
def test_other_notations_are_named(tmp_path, content, hint):
    for name in ("conll", "conll-nested"):
        with pytest.raises(ValueError) as raised:
            read(tmp_path, content, name)
        assert "[G514]" in str(raised.value) and hint in str(raised.value)


def test_a_word_of_one_tag_has_no_hint(tmp_path):
    for content in ("Oslo LOC\n", "Oslo x-LOC\n", "Oslo NN\n", "Oslo, LOC\n"):
        with pytest.raises(ValueError) as raised:
            read(tmp_path, content)
        assert "rite" not in str(raised.value) and "Sep" not in str(raised.value)


def test_whole_spans_of_bmewo(tmp_path):
    [doc] = read(tmp_path, "A W-X\nb B-X\nc M-X\nd E-X\ne W-X\n")
    assert [tuple(span) for span in doc.spans] == [
        (0, 1, "X"),
        (2, 7, "X"),
        (8, 9, "X"),
    ]


def test_a_no_break_space_may_be_the_first_word(tmp_path):
    found = read(tmp_path, "\u00a0\tO\nOslo\tB-LOC\n")
    assert surfaces(found) == [("\u00a0 Oslo", [("Oslo", "LOC")])]


def test_other_columns_of_tags_are_counted(tmp_path):
    """A file of nested spans is not read as one of flat spans silently."""
    content = "Uni\tB-ORG\tO\nOslo\tI-ORG\tB-LOC\n\nHm\tO\tO\n"
    first, second = read(tmp_path, content)
    [note] = first.diagnostics
    assert note.kind == "other_columns_of_tags" and "columns 2," in note.message
    assert "conll-nested" in note.message and second.diagnostics == ()
    for other in ("a NN B-NP O\nb NN B-NP O\n", "a\tB-X\t\nb\tO\t\n"):
        assert read(tmp_path, other)[0].diagnostics == ()
    assert read(tmp_path, content, tag_columns=("2",))[0].diagnostics == ()
