"""The corpus readers for training: samples, and outermost spans as entities."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_genner.corpora.convert import DocMaker
from spacy_genner.corpora.corpus import make_corpus, make_outer_ents_corpus
from spacy_genner.corpora.docbin import UNALIGNED
from spacy_genner.corpora.documents import Annotated
from spacy_genner.corpora.tokenizer import make_fine_tokenizer
from spacy_genner.formats import CharSpan

SIZE = 30


@pytest.fixture
def corpus(tmp_path) -> Path:
    maker = DocMaker()
    texts = [
        Annotated(f"Text NF-kappa {i}-B.", [CharSpan(5, 13, "P")], str(i), None)
        for i in range(SIZE)
    ]
    docs = list(maker(texts))
    DocBin(docs=docs[:20], store_user_data=True).to_disk(tmp_path / "a.spacy")
    DocBin(docs=docs[20:], store_user_data=True).to_disk(tmp_path / "b.spacy")
    return tmp_path


def ids(examples) -> list[int]:
    return [int(example.reference.user_data["doc_id"]) for example in examples]


def test_all_are_read_with_their_user_data(corpus):
    nlp = spacy.blank("en")
    examples = list(make_corpus(str(corpus))(nlp))
    assert ids(examples) == list(range(SIZE))
    assert UNALIGNED in examples[0].reference.user_data
    assert len(examples[0].predicted.spans) == 0
    assert examples[0].predicted.text == examples[0].reference.text


def test_the_limit_takes_a_fixed_sample(corpus):
    nlp = spacy.blank("en")
    reader = make_corpus(str(corpus), limit=8, seed=1)
    chosen = ids(reader(nlp))
    assert len(chosen) == 8
    assert chosen == sorted(chosen) == ids(reader(nlp))
    assert chosen != list(range(8))
    assert any(i >= 20 for i in chosen)
    assert ids(make_corpus(str(corpus), limit=8, seed=2)(nlp)) != chosen
    assert ids(make_corpus(str(corpus), limit=99)(nlp)) == list(range(SIZE))


def test_predicted_docs_use_the_tokenizer_of_the_pipeline(corpus):
    nlp = spacy.blank("en")
    nlp.tokenizer = make_fine_tokenizer()(nlp)
    example = next(iter(make_corpus(str(corpus))(nlp)))
    assert len(example.predicted) > len(example.reference)


def test_invalid_settings_are_errors():
    with pytest.raises(ValueError, match="G505"):
        make_corpus(None)
    with pytest.raises(ValueError, match="G506"):
        make_corpus("x.spacy", limit=-1)
    with pytest.raises(ValueError, match="G505"):
        make_outer_ents_corpus(None)


@pytest.fixture
def nested(tmp_path) -> Path:
    maker = DocMaker()
    spans = [
        CharSpan(4, 23, "ORG"),
        CharSpan(18, 23, "GPE"),
        # Of equally long spans the first is kept.
        CharSpan(28, 34, "GPE"),
        CharSpan(28, 34, "ORG"),
    ]
    text = "The University of Porto and Lisbon agree."
    annotated = [Annotated(text, spans, str(i), None) for i in range(SIZE)]
    DocBin(docs=maker(annotated), store_user_data=True).to_disk(tmp_path / "n.spacy")
    return tmp_path / "n.spacy"


def test_the_outermost_spans_become_entities(nested):
    nlp = spacy.blank("en")
    corpus = make_outer_ents_corpus(str(nested))
    examples = list(corpus(nlp))
    assert len(examples) == SIZE
    doc = examples[0].reference
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("University of Porto", "ORG"),
        ("Lisbon", "GPE"),
    ]
    assert len(doc.spans["sc"]) == 4
    assert len(examples[0].predicted.ents) == 0


@pytest.mark.parametrize("limit", [0, 3])
def test_other_groups_without_entities_are_an_error(nested, limit):
    reader = make_outer_ents_corpus(str(nested), spans_key="other", limit=limit)
    with pytest.raises(ValueError, match=r"\[G603\].*'other'.*\['sc'\]"):
        next(iter(reader(spacy.blank("en"))))


def write_with_entities(path: Path, groups) -> Path:
    """Write a file of Docs. Each has an entity, and one of these groups, if any."""
    docs = []
    for key in groups:
        doc = spacy.blank("en")("In Porto now.")
        if key:
            doc.spans[key] = [doc.char_span(0, 8, label="GPE")]
        doc.set_ents([doc.char_span(3, 8, label="LOC")])
        docs.append(doc)
    DocBin(docs=docs).to_disk(path)
    return path


def entities(path: Path, key: str) -> list[list[tuple[str, str]]]:
    examples = make_outer_ents_corpus(str(path), spans_key=key)(spacy.blank("en"))
    docs = [example.reference for example in examples]
    return [[(ent.text, ent.label_) for ent in doc.ents] for doc in docs]


def test_entities_stay_without_the_group(tmp_path):
    path = write_with_entities(tmp_path / "ents.spacy", [None, None])
    assert entities(path, "sc") == [[("Porto", "LOC")]] * 2
    path = write_with_entities(tmp_path / "some.spacy", [None, "sc"])
    assert entities(path, "sc") == [[("Porto", "LOC")], [("In Porto", "GPE")]]


def test_entities_beside_other_groups_are_used_with_a_warning(tmp_path):
    path = write_with_entities(tmp_path / "other.spacy", ["sc", None])
    with pytest.warns(UserWarning, match=r"\[W519\].*'other'.*\['sc'\]"):
        assert entities(path, "other") == [[("Porto", "LOC")]] * 2


def test_both_readers_take_the_same_sample(corpus):
    nlp = spacy.blank("en")
    chosen = ids(make_outer_ents_corpus(str(corpus), limit=8, seed=1)(nlp))
    assert chosen == ids(make_corpus(str(corpus), limit=8, seed=1)(nlp))


def test_a_sample_without_user_data(tmp_path):
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(f"Text {i}.") for i in range(9)]
    DocBin(docs=docs).to_disk(tmp_path / "plain.spacy")
    examples = list(make_corpus(str(tmp_path / "plain.spacy"), limit=3)(nlp))
    texts = [example.reference.text for example in examples]
    assert len(set(texts)) == 3 and set(texts) <= {doc.text for doc in docs}
