"""`annotate --teacher`: what stands in the corpus, and what in the review."""

import json

import numpy
import pytest
import spacy
from spacy.tokens import DocBin
from teacher_cases import (
    FAILED,
    NESTED,
    OK,
    PLAIN,
    REPAIRED,
    RUNNER,
    Answers,
    corpus,
    reviewed,
    said,
    spans,
    teach,
    write_texts,
)

from spacy_genner.cli import app
from spacy_genner.formats import CharSpan
from spacy_genner.llm.messages import Completion
from spacy_genner.llm.openai.usage import Usage

SURE, DOUBTED = "Maria left Porto .", "Porto met Lisbon ."
ANAGRAMS = "Porto beats Lisbon .", "Lisbon beats Porto ."


def scored(written, *scores):
    """An answer whose spans have probabilities, in the order of the text."""
    made = []
    for (start, end), score in scores:
        made.append((CharSpan(start, end, "GPE"), score))
    return Completion(written, scored=made)


def convert(room, name="corpus.review.jsonl"):
    output = room / "fixed.spacy"
    arguments = ["convert", str(room / name), str(output), "--from", "jsonl"]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return corpus(output)


def content(docs):
    return sorted((doc.user_data["doc_id"], doc.text, spans(doc)) for doc in docs)


def test_what_failed_is_in_the_review_alone(room):
    write_texts(room, PLAIN, OK, "", FAILED, REPAIRED)
    result = teach(room)
    assert result.exit_code == 0, result.output
    docs = corpus(room / "corpus.spacy")
    assert [doc.text for doc in docs] == [PLAIN, OK, REPAIRED]
    assert [spans(doc) for doc in docs] == [[], NESTED, [(15, 20, "GPE")]]
    attrs = [doc.spans["sc"].attrs for doc in docs]
    assert [each["status"] for each in attrs] == ["ok", "ok", "repaired"]
    assert attrs[1]["scores"].tolist() == [1, 1, 1]
    assert [doc.user_data["doc_id"] for doc in docs] == ["1", "2", "5"]
    rows = reviewed(room)
    assert [row["text"] for row in rows] == [FAILED, REPAIRED, PLAIN, OK]
    assert [row["meta"]["index"] for row in rows] == [4, 5, 1, 2]
    failed, repaired, plain, _ = rows
    assert (failed["status"], failed["answer"]) == ("failed", "ignore")
    assert failed["why"] == "failed: the server is tired"
    assert repaired["why"] == "repaired: extra_text"
    assert repaired["raw"] == Answers.by_text[REPAIRED]
    assert repaired["spans"] == [{"start": 15, "end": 20, "label": "GPE", "score": 1.0}]
    assert (plain["why"], plain["answer"]) == ("", "accept")
    assert "[W760] 1 of 5 documents failed" in said(result)
    assert "The first: the server is tired" in said(result)
    # Nothing else is left behind.
    assert len(list(room.iterdir())) == 4


def test_the_summary_counts(room):
    Answers.usage = Usage(
        requests=7, from_cache=2, prompt_tokens=300, completion_tokens=45, cost=0.5
    )
    write_texts(room, PLAIN, OK, "", FAILED, REPAIRED)
    printed = said(teach(room))
    for words in (
        "3 of 5 documents, 4 spans",
        "GPE 3",
        "ORG 1",
        "(documents with an issue) 50.0%",
        "(documents that failed) 1",
        "(blank documents) 1",
        "What this run asked for, component 'llm':",
        "requests 7",
        "from cache 2",
        "prompt tokens 300",
        "completion tokens 45",
        "cost 0.5000",
    ):
        assert words in printed, printed


def test_the_review_as_it_is_gives_the_corpus(room):
    write_texts(room, PLAIN, OK, "", FAILED, REPAIRED, OK)
    assert teach(room).exit_code == 0
    with pytest.warns(UserWarning, match="W501"):
        fixed = convert_in_process(room)
    assert content(fixed) == content(corpus(room / "corpus.spacy"))


def convert_in_process(room):
    """As the command does, with warnings that a test can see."""
    from spacy_genner.corpora.convert import convert_file

    convert_file(room / "corpus.review.jsonl", room / "fixed.spacy", "jsonl")
    return corpus(room / "fixed.spacy")


def test_a_corrected_review_is_read_back(room):
    write_texts(room, PLAIN, OK, FAILED, REPAIRED)
    assert teach(room).exit_code == 0
    rows = {row["text"]: row for row in reviewed(room)}
    del rows[PLAIN]
    # A span without a score is added to a document that failed, which is accepted.
    rows[FAILED]["spans"].append({"start": 18, "end": 23, "label": "GPE"})
    rows[FAILED]["answer"] = "accept"
    rows[OK]["spans"].pop(0)
    (room / "corrected.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows.values()), encoding="utf-8"
    )
    assert content(convert(room, "corrected.jsonl")) == [
        ("2", OK, NESTED[1:]),
        ("3", FAILED, [(18, 23, "GPE")]),
        ("4", REPAIRED, [(15, 20, "GPE")]),
    ]


def give_doubts():
    Answers.by_text |= {
        SURE: scored("Maria left [Porto | GPE] .", ((11, 16), 0.9)),
        DOUBTED: scored(
            "[Porto | GPE] met [Lisbon | GPE] .", ((0, 5), 0.25), ((10, 16), 0.75)
        ),
    }


def test_a_doubtful_span_takes_its_document_out(room):
    give_doubts()
    write_texts(room, SURE, PLAIN, DOUBTED)
    result = teach(room, "--min-score", "0.5")
    assert [doc.text for doc in corpus(room / "corpus.spacy")] == [SURE, PLAIN]
    first, *others = reviewed(room)
    assert [row["text"] for row in others] == [SURE, PLAIN]
    assert (first["text"], first["answer"]) == (DOUBTED, "ignore")
    assert first["why"] == "'Porto' (GPE) has the score 0.25"
    # All of its spans are there to be corrected.
    assert [span["score"] for span in first["spans"]] == [0.25, 0.75]
    assert "doubtful" not in first
    assert "(documents left out) 1" in said(result)
    assert "W761" not in said(result)


def test_or_it_is_taken_out_of_its_document(room):
    give_doubts()
    write_texts(room, SURE, PLAIN, DOUBTED)
    result = teach(room, "--min-score", "0.5", "--doubtful", "span")
    docs = corpus(room / "corpus.spacy")
    assert [doc.text for doc in docs] == [SURE, PLAIN, DOUBTED]
    assert spans(docs[2]) == [(10, 16, "GPE")]
    assert docs[2].spans["sc"].attrs["scores"].tolist() == [0.75]
    first = reviewed(room)[0]
    assert first["answer"] == "accept"
    assert [span["start"] for span in first["spans"]] == [10]
    doubted = {"start": 0, "end": 5, "label": "GPE", "score": 0.25}
    assert first["doubtful"] == [doubted]
    assert "(doubtful spans taken out) 1" in said(result)
    assert content(convert(room)) == content(docs)


def test_a_score_that_is_the_least_is_kept(room):
    # As the review shows it, and as it is stored.
    given = float(numpy.float32(0.25))
    give_doubts()
    write_texts(room, DOUBTED)
    assert teach(room, "--min-score", given).exit_code == 0
    assert len(corpus(room / "corpus.spacy")) == 1


def test_a_threshold_without_probabilities_is_told(room):
    write_texts(room, OK)
    result = teach(room, "--min-score", "0.5")
    assert result.exit_code == 0
    assert "[W761] --min-score 0.5 has no effect" in said(result)


def test_keep_leaves_repaired_documents_out(room):
    write_texts(room, OK, REPAIRED)
    assert teach(room, "--keep", "ok").exit_code == 0
    assert [doc.text for doc in corpus(room / "corpus.spacy")] == [OK]
    answers = {row["text"]: row["answer"] for row in reviewed(room)}
    assert answers == {REPAIRED: "ignore", OK: "accept"}


def test_windowed_documents_are_kept_or_not(room):
    long = " ".join(["It rains ."] * 60)
    write_texts(room, long, OK)
    config = (room / "teacher.cfg").read_text()
    (room / "teacher.cfg").write_text(config.replace("length = 10000", "length = 400"))
    Answers.context_length = 400
    try:
        assert teach(room).exit_code == 0
        assert len(Answers.asked) > 2
        statuses = {row["meta"]["index"]: row["status"] for row in reviewed(room)}
        assert statuses == {1: "windowed", 2: "ok"}
        assert len(corpus(room / "corpus.spacy")) == 2
        assert teach(room, "--keep", "ok").exit_code == 0
        assert [doc.text for doc in corpus(room / "corpus.spacy")] == [OK]
        rows = {row["status"]: row for row in reviewed(room)}
        assert rows["windowed"]["why"] == "windowed: it was read in parts"
        assert rows["windowed"]["raw"].count("It rains") >= 60
    finally:
        Answers.context_length = 10_000


def test_keys_of_the_input_are_kept(room):
    rows = [
        {"text": OK, "doc_id": "a-1", "meta": {"source": "ü"}, "n": [1, {"x": None}]},
        {"text": REPAIRED, "answer": "reject", "spans": [[0, 1, "X"]]},
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    (room / "in.jsonl").write_text(lines, encoding="utf-8")
    assert teach(room, source="in.jsonl").exit_code == 0
    first, second = corpus(room / "corpus.spacy")
    assert first.user_data["doc_id"] == "a-1"
    assert second.user_data["doc_id"] == "2"
    assert first.user_data["record"]["meta"] == {"source": "ü"}
    repaired, kept = reviewed(room)
    assert kept["n"] == [1, {"x": None}]
    assert kept["meta"] == {"source": "ü", "index": 1}
    # What the input said of its spans is none of the teacher's.
    assert repaired["answer"] == "accept"
    assert [span["label"] for span in repaired["spans"]] == ["GPE"]


def test_docs_go_in(room):
    nlp = spacy.blank("en")
    doc = nlp(OK)
    doc.spans["sc"] = [doc.char_span(0, 6, "GOLD")]
    doc.user_data |= {"doc_id": "d7", "genner_unaligned": [[1, 3, "GOLD"]], "own": 1}
    DocBin(docs=[doc], store_user_data=True).to_disk(room / "in.spacy")
    assert teach(room, source="in.spacy").exit_code == 0
    [made] = corpus(room / "corpus.spacy")
    assert spans(made) == NESTED
    assert made.user_data == {"doc_id": "d7", "own": 1}


def test_a_large_corpus_is_a_folder(room, monkeypatch):
    monkeypatch.setattr("spacy_genner.distillation.corpus.PART", 2)
    texts = [f"{OK} {number}" for number in range(5)]
    source = write_texts(room, *texts)
    arguments = ["--teacher", room / "teacher.cfg", source, room / "corpus"]
    from teacher_cases import run

    assert run(*arguments).exit_code == 0
    names = ["00001.spacy", "00002.spacy", "00003.spacy"]
    assert sorted(path.name for path in (room / "corpus").iterdir()) == names
    from spacy_genner.corpora.corpus import make_corpus

    read = make_corpus(str(room / "corpus"))(spacy.blank("en"))
    assert sorted(example.reference.text for example in read) == texts
    assert len(reviewed(room)) == 5
    # Its own files are replaced, others never.
    write_texts(room, OK)
    assert run(*arguments).exit_code == 0
    assert [path.name for path in (room / "corpus").iterdir()] == names[:1]
    (room / "corpus" / "mine.txt").write_text("mine")
    result = run(*arguments)
    assert (result.exit_code, "[G771]" in result.output) == (1, True)
    assert (room / "corpus" / "mine.txt").read_text() == "mine"


def test_the_cache_of_spacy_llm_gives_each_text_its_own(room):
    """Documents out of the cache come with what an earlier run said of them, and one
    document stands for all texts with the same words."""
    with (room / "teacher.cfg").open("a") as file:
        file.write(f'\n[components.llm.cache]\npath = "{room / "cache"}"\n')
        file.write('@llm_misc = "spacy.BatchCache.v1"\n')
        file.write("batch_size = 3\nmax_batches_in_mem = 4\n")
    write_texts(room, PLAIN, OK, *ANAGRAMS, SURE, PLAIN)
    assert teach(room).exit_code == 0
    asked = len(Answers.asked)
    write_texts(room, OK, PLAIN, *ANAGRAMS, OK, PLAIN, OK)
    result = teach(room)
    assert result.exit_code == 0, result.output
    assert len(Answers.asked) == asked
    rows = {row["meta"]["index"]: row for row in reviewed(room)}
    for index, text in enumerate((OK, PLAIN, *ANAGRAMS, OK, PLAIN, OK), 1):
        assert rows[index]["text"] == text
        assert rows[index]["doc_id"] == str(index)
        if text not in ANAGRAMS:
            assert len(rows[index]["spans"]) == (3 if text == OK else 0)
    statuses = sorted(rows[index]["status"] for index in (3, 4))
    assert statuses == ["failed", "ok"]
    assert "[G772]" in " ".join(row["why"] for row in rows.values())
