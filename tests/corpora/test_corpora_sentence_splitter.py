"""The component `genner_sentences`, and the warning about a sentencizer."""

import pickle

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_genner.corpora.convert import DocMaker
from spacy_genner.corpora.documents import Annotated
from spacy_genner.corpora.sentences import (
    PIECE,
    SentencexSplitter,
    is_inside,
    token_starts,
    warn_of_sentencizer,
)
from spacy_genner.errors import GennerWarning

FINE = {"nlp": {"tokenizer": {"@tokenizers": "spacy-genner.FineTokenizer.v1"}}}
# Texts of one sentence.
WHOLE = [
    "It cost $4.7 million and weighs 2.5 kg, or £3.20 a kilo.",
    "We met at 9.30 a.m. Friday, not at 5 p.m. EST.",
    "The U.S. market fell, and the U.K. House of Lords met Washington D.C. officials.",
    "Dr. Smith, Ms. Lee, Mrs. Hale and Prof. Okafor left.",
    "He walked through St. James's Park and Mt. Everest Road.",
    "J. K. Rowling, J.R.R. Tolkien and George W. Bush met.",
    "See Fig. 3, Figs. 4 and 5, Vol. 2, p. 34 and No. 5, at max. 5 per cent.",
    "It happened on Jan. 5 and Sept. 11, in ca. 1900, i.e. long ago, e.g. here.",
    "Apple Inc. said so, and Smith Ltd. and Co. agreed.",
    "They detected anti-E. chaffeensis antibodies and the E. coli strain.",
    "Version 2.0.1 is on example.Com/a.B and at 192.168.0.1.",
    "Martin Luther King Jr. spoke to Gen. Lee and Sen. Warren.",
]


def pipeline(tokenizer="fine", lang="en", **config):
    nlp = spacy.blank(lang, config=FINE if tokenizer == "fine" else {})
    nlp.add_pipe("genner_sentences", config=config)
    return nlp


def sentences(nlp, text):
    return [sent.text for sent in nlp(text).sents]


@pytest.mark.parametrize("text", WHOLE)
@pytest.mark.parametrize("tokenizer", ["fine", "blank"])
def test_numbers_initials_and_abbreviations_stay_whole(text, tokenizer):
    nlp = pipeline(tokenizer)
    assert sentences(nlp, text) == [text]
    assert sentences(nlp, f"{text} The end.") == [text, "The end."]


def test_boundaries_after_abbreviations_and_quotes():
    nlp = pipeline()
    assert sentences(nlp, "He left at 5 p.m. The end came.")[1:] == ["The end came."]
    assert sentences(nlp, "She lives in the U.S. He does not.") == [
        "She lives in the U.S.",
        "He does not.",
    ]
    assert len(sentences(nlp, "What? No! Yes. (It is.) “Go.” She went.")) >= 5
    assert len(sentences(nlp, "It was seen.\n\n2. Our study was not.")) == 2
    assert sentences(nlp, "1. One came. 2. Then two.")[0] == "1. One came."


@pytest.mark.parametrize(
    "lang, text, count",
    [
        ("de", "Am 3. Mai kam Dr. Ute H. Maier z.B. nach St. Gallen. Dann ging er.", 2),
        ("it", "Il Sig. Rossi vive a S. Marco. Poi va via.", 2),
        ("pt", "O Dr. Silva mora na Av. Paulista n. 5. Ele saiu.", 2),
        ("es", "El Sr. García vive en EE. UU. desde 1.º de mayo. Fin.", 2),
        ("zh", "他说：“你好。”然后走了。第二句！", 3),
        ("hi", "यह वाक्य है। दूसरा वाक्य।", 2),
        ("ar", "هذا. كيف؟ نعم.", 3),
        # Languages without rules of their own get general ones.
        ("xx", "Dr. Smith paid 4.7 million. He left.", 2),
        ("tn", "Dr. Smith paid 4.7 million. He left.", 2),
    ],
)
def test_languages(lang, text, count):
    nlp = spacy.blank(lang if lang != "zh" else "xx")
    nlp.add_pipe(
        "genner_sentences",
        config={
            "splitter": {"@misc": "spacy-genner.SentencexSplitter.v1", "lang": lang}
        },
    )
    component = nlp.get_pipe("genner_sentences")
    assert len(component.sentence_starts(text)) == count
    assert len(sentences(nlp, " ".join(text))) >= 1


def test_lines():
    text = "It rose to 4.7 km\nand fell. Then\r\n\r\n Dr. Lee came \u2028 at last."
    assert len(sentences(pipeline(), text)) == 3
    assert [s.strip() for s in sentences(pipeline(lines=True), text)] == [
        "It rose to 4.7 km",
        "and fell.",
        "Then",
        "Dr. Lee came",
        "at last.",
    ]


def test_the_text_and_the_tokens_stay_unchanged():
    nlp = pipeline(lines=True)
    text = "  Zoë läuft. \n\n Él 😀 come.\u200d\tNext é. \x00 And\u2028so. "
    doc = nlp.make_doc(text)
    tokens = [token.text_with_ws for token in doc]
    doc = nlp.get_pipe("genner_sentences")(doc)
    assert doc.text == text and [token.text_with_ws for token in doc] == tokens
    assert len(list(doc.sents)) > 2


@pytest.mark.parametrize("text", ["", " ", "\n", " \n\t ", ".", "...", "a"])
@pytest.mark.parametrize("lines", [True, False])
def test_texts_without_sentences(text, lines):
    doc = pipeline(lines=lines)(text)
    assert doc.text == text
    assert len(list(doc.sents)) == min(1, len(doc))


@pytest.mark.parametrize("text", ["One. \n Two.", " \n One.\n\n\nTwo. \n", "Ab.\n \n"])
def test_white_space_does_not_start_a_sentence(text):
    for tokenizer in ("fine", "blank"):
        doc = pipeline(tokenizer, lines=True)(text)
        assert not any(sent[0].is_space for sent in list(doc.sents)[1:])
        assert len(list(doc.sents)) == text.count(".")


def test_a_boundary_inside_a_token_moves_to_the_nearer_edge():
    nlp = spacy.blank("en")
    doc = Doc(
        nlp.vocab, words=["end.N", "ext", " ", ".Next", "word"], spaces=[False] * 5
    )
    assert doc.text == "end.Next .Nextword"
    assert token_starts(doc, [0]) == [0]
    assert token_starts(doc, [4]) == [1]
    assert token_starts(doc, [10]) == [3]
    # White space does not start a sentence.
    assert token_starts(doc, [8]) == [3]
    assert token_starts(doc, [17]) == []

    component = pipeline("blank").get_pipe("genner_sentences")
    component.splitter = lambda text, lang: [0, 8, 16]
    values = [token.is_sent_start for token in component(doc)]
    assert values == [True, False, False, True, False]


def test_boundaries_that_are_set_are_kept():
    def boundaries(overwrite):
        nlp = pipeline("blank", overwrite=overwrite)
        doc = nlp.make_doc("One two. Three four. Five six.")
        # A boundary that the splitter lacks, and one that it has.
        doc[1].is_sent_start = True
        doc[3].is_sent_start = False
        doc = nlp.get_pipe("genner_sentences")(doc)
        return [token.i for token in doc if token.is_sent_start]

    assert boundaries(overwrite=False) == [0, 1, 6]
    assert boundaries(overwrite=True) == [0, 3, 6]


def test_parsed_documents():
    nlp = pipeline("blank", overwrite=True)
    words = ["One", "two", ".", "Three", "."]
    doc = Doc(nlp.vocab, words=words, heads=[0] * 5, deps=["dep"] * 5)
    component = nlp.get_pipe("genner_sentences")
    assert [sent.text for sent in component(doc).sents] == ["One two .", "Three ."]


def test_use_in_a_pipeline(tmp_path):
    nlp = pipeline(lines=True, overwrite=True)
    texts = ["It is 4.7 km.\nYes. No.", "", " ", "Dr. Lee left."]
    expected = [[sent.text for sent in nlp(text).sents] for text in texts]
    assert [len(each) for each in expected] == [3, 0, 1, 1]
    docs = list(nlp.pipe(texts, batch_size=2))
    assert [[sent.text for sent in doc.sents] for doc in docs] == expected
    nlp.to_disk(tmp_path)
    for loaded in (
        spacy.load(tmp_path),
        spacy.blank("en", config=FINE).from_disk(tmp_path),
        pickle.loads(pickle.dumps(nlp)),
        spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes()),
    ):
        if "genner_sentences" not in loaded.pipe_names:
            continue
        component = loaded.get_pipe("genner_sentences")
        assert component.lines and component.overwrite
        docs = list(loaded.pipe(texts))
        assert [[sent.text for sent in doc.sents] for doc in docs] == expected


def test_what_the_factory_declares():
    nlp = pipeline()
    meta = nlp.get_pipe_meta("genner_sentences")
    assert list(meta.assigns) == ["token.is_sent_start", "doc.sents"]
    assert nlp.analyze_pipes()["problems"] == {"genner_sentences": []}
    # Its scores select no model.
    assert set(meta.default_score_weights.values()) == {None}
    reference = nlp("One. Two.")
    examples = [Example(nlp.make_doc(reference.text), reference)]
    assert nlp.evaluate(examples)["sents_f"] == 1.0


def test_a_splitter_of_the_user():
    calls = []

    @spacy.registry.misc("sentences_test.Halves.v1")
    def make_halves():
        def halves(text, lang):
            calls.append((text, lang))
            return [0, len(text) // 2, len(text)]

        return halves

    nlp = pipeline("blank", splitter={"@misc": "sentences_test.Halves.v1"})
    assert sentences(nlp, "One two three four") == ["One two", "three four"]
    assert calls == [("One two three four", "en")]


@pytest.mark.parametrize("found", [[-1], [99], ["3"], [True], [1.0]])
def test_a_splitter_that_returns_something_else(found):
    nlp = pipeline()
    nlp.get_pipe("genner_sentences").splitter = lambda text, lang: found
    with pytest.raises(ValueError, match=r"G568.*genner_sentences.*splitter"):
        nlp("One. Two.")
    # The error handler gets the document.
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.extend(docs))
    list(nlp.pipe(["One. Two."]))
    assert [doc.text for doc in failed] == ["One. Two."]


HOSTILE = {
    "quotes": "“a. b. ",
    "tags": "<a href='x' ",
    "one word": "U.S.",
    "letters": "a",
    "ellipses": "... ",
    "line breaks": "\n",
    "brackets": "“‘«(A! ",
    "Han": "中。",
    "references": "..[111 ",
}


@pytest.mark.parametrize("name", list(HOSTILE))
@pytest.mark.parametrize("lines", [True, False])
def test_hostile_texts_take_linear_time(name, lines, processor_seconds):
    component = pipeline(lines=lines).get_pipe("genner_sentences")
    unit = HOSTILE[name]

    def seconds(size):
        text = unit * (size // len(unit))
        return processor_seconds(component.sentence_starts, text, repeats=3)

    seconds(1000)
    # Quadratic time would be 16 times as long. Short times are noisy.
    assert seconds(80_000) < 8 * max(seconds(20_000), 0.03)


@pytest.mark.parametrize("text", ["U\u2028. A", "B\xa0. A", "U\x85. A", "\ud800. A b."])
def test_characters_that_the_library_cannot_read(text):
    # spaCy cannot read lone surrogates, either.
    starts = pipeline().get_pipe("genner_sentences").sentence_starts(text)
    assert starts[0] == 0 and starts == sorted(starts)


def test_long_texts_have_the_boundaries_of_short_ones():
    """The library gets long texts in pieces."""
    short = ["It is 4.7 km from here.", "Dr. Lee of the U.S. left.", "“Go,” she said."]
    count = 2 * PIECE // len(" ".join(short))
    text = " ".join(short * count)
    assert len(text) > PIECE * 1.5
    component = pipeline().get_pipe("genner_sentences")
    starts = component.sentence_starts(text)
    ends = [*starts[1:], len(text)]
    found = [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    assert found == short * count
    # A sentence that is longer than a piece, between others.
    long = "One. The " + "word " * PIECE + "end. Two."
    starts = component.sentence_starts(long)
    assert [long[start:].split()[0] for start in starts] == ["One.", "The", "Two."]


def test_the_splitter_yields_offsets_in_characters():
    text = "Zoë 😀 läuft. Él come. Next é."
    assert SentencexSplitter()(text, "en") == [13, 22]
    assert SentencexSplitter("de")("Am 3. Mai kam er.", "en") == []
    assert SentencexSplitter()("Am 3. Mai kam er.", "en") != []


def test_proposals_that_are_rejected():
    def inside(before, after):
        return is_inside(before + after, len(before), "en")

    assert (
        inside("It is 4.", "7") and inside("the CD3.", "TcR") and inside("Ms. ", "Lee")
    )
    assert inside("(W. ", "Q. Lee") and inside("9.30 a.m. ", "Friday")
    assert not inside("It is 4. ", "Then") and not inside("the cells. ", "c-Fos is")
    assert not inside("他说。", "然后") and not inside("at 5 p.m. ", "The end")
    # An empty line ends a sentence after anything.
    assert not inside("by Ms.\n\n", "Lee") and inside("by Ms.\n", "Lee")


def test_the_warning_about_a_sentencizer():
    def warn_in(config, *names, **settings):
        nlp = spacy.blank("en", config=config)
        for name in names:
            nlp.add_pipe(name, config=settings.get(name, {}))
        nlp.add_pipe("entity_ruler")
        warn_of_sentencizer(nlp, "entity_ruler")

    with pytest.warns(GennerWarning, match=r"W520.*'sentencizer'.*genner_sentences"):
        warn_in(FINE, "sentencizer")
    # None of these cuts `4.7`.
    warn_in({}, "sentencizer")
    warn_in(FINE, "genner_sentences")
    warn_in(FINE)
    warn_in(FINE, "sentencizer", sentencizer={"punct_chars": ["\n"]})


def test_gold_spans_of_converted_documents_stay_whole():
    text = (
        "The U.S. market fell $4.7 million at 9.30 a.m., "
        "Dr. Smith of St. James's Park said."
    )
    names = ["U.S.", "$4.7 million", "9.30 a.m.", "Smith", "St. James's Park"]
    spans = [(text.index(n), text.index(n) + len(n), "X") for n in names]
    maker = DocMaker(tokenizer="fine")
    [doc] = maker([Annotated(text, spans, "1", None)])
    assert maker.counts.unaligned == 0
    doc = pipeline().get_pipe("genner_sentences")(doc)
    for span in doc.spans["sc"]:
        assert not any(token.is_sent_start for token in doc[span.start + 1 : span.end])
