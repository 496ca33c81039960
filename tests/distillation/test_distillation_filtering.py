"""`annotate --teacher`: the contents of the corpus and of the review file."""

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
    output_of,
    reviewed,
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
    """An answer whose spans have scores, in the order of the text."""
    made = []
    for (start, end), score in scores:
        made.append((CharSpan(start, end, "GPE"), score))
    return Completion(written, scored=made)


def convert(workdir, name="corpus.review.jsonl"):
    output = workdir / "fixed.spacy"
    arguments = ["convert", str(workdir / name), str(output), "--from", "jsonl"]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return corpus(output)


def content(docs):
    return sorted((doc.user_data["doc_id"], doc.text, spans(doc)) for doc in docs)


def test_failed_documents_are_only_in_the_review(workdir):
    write_texts(workdir, PLAIN, OK, "", FAILED, REPAIRED)
    result = teach(workdir)
    assert result.exit_code == 0, result.output
    docs = corpus(workdir / "corpus.spacy")
    assert [doc.text for doc in docs] == [PLAIN, OK, REPAIRED]
    assert [spans(doc) for doc in docs] == [[], NESTED, [(15, 20, "GPE")]]
    attrs = [doc.spans["sc"].attrs for doc in docs]
    assert [each["status"] for each in attrs] == ["ok", "ok", "repaired"]
    assert attrs[1]["scores"].tolist() == [1, 1, 1]
    assert [doc.user_data["doc_id"] for doc in docs] == ["1", "2", "5"]
    rows = reviewed(workdir)
    assert [row["text"] for row in rows] == [FAILED, REPAIRED, PLAIN, OK]
    assert [row["meta"]["index"] for row in rows] == [4, 5, 1, 2]
    failed, repaired, plain, _ = rows
    assert (failed["status"], failed["answer"]) == ("failed", "ignore")
    assert failed["why"] == "failed: the server is tired"
    assert repaired["why"] == "repaired: extra_text"
    assert repaired["raw"] == Answers.by_text[REPAIRED]
    assert repaired["spans"] == [{"start": 15, "end": 20, "label": "GPE", "score": 1.0}]
    assert (plain["why"], plain["answer"]) == ("", "accept")
    assert "[W760] 1 of 5 documents failed" in output_of(result)
    assert "The first: the server is tired" in output_of(result)
    # No other files remain.
    assert len(list(workdir.iterdir())) == 4


def test_the_summary_shows_the_counts(workdir):
    Answers.usage = Usage(
        requests=7, from_cache=2, prompt_tokens=300, completion_tokens=45, cost=0.5
    )
    write_texts(workdir, PLAIN, OK, "", FAILED, REPAIRED)
    printed = output_of(teach(workdir))
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


def test_an_unchanged_review_has_the_content_of_the_corpus(workdir):
    write_texts(workdir, PLAIN, OK, "", FAILED, REPAIRED, OK)
    assert teach(workdir).exit_code == 0
    with pytest.warns(UserWarning, match="W501"):
        fixed = convert_in_process(workdir)
    assert content(fixed) == content(corpus(workdir / "corpus.spacy"))


def convert_in_process(workdir):
    """Convert as the command does, but let the test catch the warnings."""
    from spacy_genner.corpora.convert import convert_file

    convert_file(workdir / "corpus.review.jsonl", workdir / "fixed.spacy", "jsonl")
    return corpus(workdir / "fixed.spacy")


def test_a_corrected_review_is_converted(workdir):
    write_texts(workdir, PLAIN, OK, FAILED, REPAIRED)
    assert teach(workdir).exit_code == 0
    rows = {row["text"]: row for row in reviewed(workdir)}
    del rows[PLAIN]
    # Accept a failed document and add a span without a score.
    rows[FAILED]["spans"].append({"start": 18, "end": 23, "label": "GPE"})
    rows[FAILED]["answer"] = "accept"
    rows[OK]["spans"].pop(0)
    (workdir / "corrected.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows.values()), encoding="utf-8"
    )
    assert content(convert(workdir, "corrected.jsonl")) == [
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


def test_a_doubtful_span_removes_its_document(workdir):
    give_doubts()
    write_texts(workdir, SURE, PLAIN, DOUBTED)
    result = teach(workdir, "--min-score", "0.5")
    assert [doc.text for doc in corpus(workdir / "corpus.spacy")] == [SURE, PLAIN]
    first, *others = reviewed(workdir)
    assert [row["text"] for row in others] == [SURE, PLAIN]
    assert (first["text"], first["answer"]) == (DOUBTED, "ignore")
    assert first["why"] == "'Porto' (GPE) has the score 0.25"
    # The review has all its spans, for correction.
    assert [span["score"] for span in first["spans"]] == [0.25, 0.75]
    assert "doubtful" not in first
    assert "(documents left out) 1" in output_of(result)
    assert "W761" not in output_of(result)


def test_a_doubtful_span_is_removed_from_its_document(workdir):
    give_doubts()
    write_texts(workdir, SURE, PLAIN, DOUBTED)
    result = teach(workdir, "--min-score", "0.5", "--doubtful", "span")
    docs = corpus(workdir / "corpus.spacy")
    assert [doc.text for doc in docs] == [SURE, PLAIN, DOUBTED]
    assert spans(docs[2]) == [(10, 16, "GPE")]
    assert docs[2].spans["sc"].attrs["scores"].tolist() == [0.75]
    first = reviewed(workdir)[0]
    assert first["answer"] == "accept"
    assert [span["start"] for span in first["spans"]] == [10]
    doubted = {"start": 0, "end": 5, "label": "GPE", "score": 0.25}
    assert first["doubtful"] == [doubted]
    assert "(doubtful spans taken out) 1" in output_of(result)
    assert content(convert(workdir)) == content(docs)


def test_a_score_equal_to_the_threshold_is_kept(workdir):
    # Scores are stored as float32.
    given = float(numpy.float32(0.25))
    give_doubts()
    write_texts(workdir, DOUBTED)
    assert teach(workdir, "--min-score", given).exit_code == 0
    assert len(corpus(workdir / "corpus.spacy")) == 1


def test_a_threshold_without_probabilities_warns(workdir):
    write_texts(workdir, OK)
    result = teach(workdir, "--min-score", "0.5")
    assert result.exit_code == 0
    assert "[W761] --min-score 0.5 has no effect" in output_of(result)


def test_keep_excludes_repaired_documents(workdir):
    write_texts(workdir, OK, REPAIRED)
    assert teach(workdir, "--keep", "ok").exit_code == 0
    assert [doc.text for doc in corpus(workdir / "corpus.spacy")] == [OK]
    answers = {row["text"]: row["answer"] for row in reviewed(workdir)}
    assert answers == {REPAIRED: "ignore", OK: "accept"}


def test_keep_excludes_windowed_documents(workdir):
    long = " ".join(["It rains ."] * 60)
    write_texts(workdir, long, OK)
    config = (workdir / "teacher.cfg").read_text()
    (workdir / "teacher.cfg").write_text(
        config.replace("length = 10000", "length = 400")
    )
    Answers.context_length = 400
    try:
        assert teach(workdir).exit_code == 0
        assert len(Answers.asked) > 2
        statuses = {row["meta"]["index"]: row["status"] for row in reviewed(workdir)}
        assert statuses == {1: "windowed", 2: "ok"}
        assert len(corpus(workdir / "corpus.spacy")) == 2
        assert teach(workdir, "--keep", "ok").exit_code == 0
        assert [doc.text for doc in corpus(workdir / "corpus.spacy")] == [OK]
        rows = {row["status"]: row for row in reviewed(workdir)}
        assert rows["windowed"]["why"] == "windowed: it was read in parts"
        assert rows["windowed"]["raw"].count("It rains") >= 60
    finally:
        Answers.context_length = 10_000


def test_keys_of_the_input_are_kept(workdir):
    rows = [
        {"text": OK, "doc_id": "a-1", "meta": {"source": "ü"}, "n": [1, {"x": None}]},
        {"text": REPAIRED, "answer": "reject", "spans": [[0, 1, "X"]]},
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    (workdir / "in.jsonl").write_text(lines, encoding="utf-8")
    assert teach(workdir, source="in.jsonl").exit_code == 0
    first, second = corpus(workdir / "corpus.spacy")
    assert first.user_data["doc_id"] == "a-1"
    assert second.user_data["doc_id"] == "2"
    assert first.user_data["record"]["meta"] == {"source": "ü"}
    repaired, kept = reviewed(workdir)
    assert kept["n"] == [1, {"x": None}]
    assert kept["meta"] == {"source": "ü", "index": 1}
    # The spans of the input are not spans of the teacher.
    assert repaired["answer"] == "accept"
    assert [span["label"] for span in repaired["spans"]] == ["GPE"]


def test_the_input_may_be_docs(workdir):
    nlp = spacy.blank("en")
    doc = nlp(OK)
    doc.spans["sc"] = [doc.char_span(0, 6, "GOLD")]
    doc.user_data |= {"doc_id": "d7", "genner_unaligned": [[1, 3, "GOLD"]], "own": 1}
    DocBin(docs=[doc], store_user_data=True).to_disk(workdir / "in.spacy")
    assert teach(workdir, source="in.spacy").exit_code == 0
    [made] = corpus(workdir / "corpus.spacy")
    assert spans(made) == NESTED
    assert made.user_data == {"doc_id": "d7", "own": 1}


def test_cached_docs_of_spacy_llm_are_assigned_to_their_texts(workdir):
    """Docs from the cache have the data of an earlier run, and one Doc is returned for
    all texts with the same words."""
    with (workdir / "teacher.cfg").open("a") as file:
        file.write(f'\n[components.llm.cache]\npath = "{workdir / "cache"}"\n')
        file.write('@llm_misc = "spacy.BatchCache.v1"\n')
        file.write("batch_size = 3\nmax_batches_in_mem = 4\n")
    write_texts(workdir, PLAIN, OK, *ANAGRAMS, SURE, PLAIN)
    assert teach(workdir).exit_code == 0
    asked = len(Answers.asked)
    write_texts(workdir, OK, PLAIN, *ANAGRAMS, OK, PLAIN, OK)
    result = teach(workdir)
    assert result.exit_code == 0, result.output
    assert len(Answers.asked) == asked
    rows = {row["meta"]["index"]: row for row in reviewed(workdir)}
    for index, text in enumerate((OK, PLAIN, *ANAGRAMS, OK, PLAIN, OK), 1):
        assert rows[index]["text"] == text
        assert rows[index]["doc_id"] == str(index)
        if text not in ANAGRAMS:
            assert len(rows[index]["spans"]) == (3 if text == OK else 0)
    statuses = sorted(rows[index]["status"] for index in (3, 4))
    assert statuses == ["failed", "ok"]
    assert "[G772]" in " ".join(row["why"] for row in rows.values())
