"""Sharding: long documents are cut into windows, and their predictions merged."""

import pytest
import spacy
from spacy.tokens import Doc
from task_cases import codes, found, llm_pipeline, status, tag_words

from spacy_genner.errors import GennerWarning
from spacy_genner.llm.messages import Completion
from spacy_genner.llm.sharding import (
    ContextLength,
    Shards,
    estimated,
    merge_shards,
    shards_of,
)
from spacy_genner.pipeline.results import FAILED, Prediction, TokenSpan
from spacy_genner.prompts.windows import Window

# The template around the text.
AROUND = ["Mark: ", "\nMarked: "]


def words_in(text):
    return len(text.split())


def sentences(count, size=10):
    """A document of `count` sentences of `size` words, which end with "Lisbon ."."""
    words = [w for _ in range(count) for w in ["It"] * (size - 2) + ["Lisbon", "."]]
    starts = [i % size == 0 for i in range(len(words))]
    return Doc(spacy.blank("en").vocab, words=words, sent_starts=starts)


def without_sentences(count):
    """The same document without sentence boundaries."""
    doc = sentences(count)
    return Doc(doc.vocab, words=[token.text for token in doc])


def bounds(shards):
    return [(w.start, w.end) for w in shards.windows]


def test_a_document_without_a_limit_is_one_window():
    doc = sentences(30)
    assert bounds(shards_of(doc, AROUND, None)) == [(0, 300)]
    assert bounds(shards_of(doc, AROUND, 10_000)) == [(0, 300)]
    assert not shards_of(doc, AROUND, None).windows[0].cut
    assert bounds(shards_of(Doc(doc.vocab, words=[" ", "\n"]), AROUND, 9)) == []


def test_windows_contain_whole_sentences():
    # A window takes three times its words: once in the prompt, and twice for the
    # output with markup.
    limit = ContextLength(3 + 3 * 25, words_in)
    shards = shards_of(sentences(5), AROUND, limit)
    assert bounds(shards) == [(0, 20), (20, 40), (40, 50)]
    assert not any(window.cut for window in shards.windows)


def test_windows_fit_the_context_length():
    for doc in (sentences(9), without_sentences(9), sentences(3, size=40)):
        shards = shards_of(doc, AROUND, ContextLength(3 + 3 * 25, words_in))
        assert all(len(span) <= 25 for span in shards)
        covered = {i for span in shards for i in range(span.start, span.end)}
        assert covered == set(range(len(doc)))


def test_windows_overlap_without_sentences():
    limit = ContextLength(3 + 3 * 25, words_in)
    shards = shards_of(without_sentences(5), AROUND, limit)
    pairs = zip(bounds(shards), bounds(shards)[1:], strict=False)
    assert all(after[0] < before[1] for before, after in pairs)
    assert all(window.cut for window in shards.windows)


def test_a_template_without_room_for_text():
    with pytest.raises(ValueError, match="G734"):
        shards_of(sentences(1), AROUND, ContextLength(5, words_in))


def test_the_estimate_counts_scripts_without_spaces():
    assert estimated("one two three four five six seven eight nine ten") >= 11
    assert estimated("里斯本有一所大学") == 8
    assert estimated("") == 0


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("limit", [100, 130, 200, 400])
def test_each_entity_of_a_long_text_is_found_once(split, limit):
    doc = sentences(20) if split else without_sentences(20)
    complete = tag_words({"Lisbon": "GPE"})
    # The words of the template count as well.
    nlp = llm_pipeline(complete, context_length=limit, template="Mark:\n{{ text }}")
    whole = [(i, i + 1, "GPE") for i, token in enumerate(doc) if token.text == "Lisbon"]
    annotated = nlp(doc)
    assert len(nlp.get_pipe("llm")._model.prompts[0]) > 1
    assert annotated is doc
    assert found(doc) == whole and len(whole) == 20
    assert status(doc) == ("ok" if split else "windowed")


def test_a_name_across_a_cut_is_found():
    """One window contains the whole name and decides, wherever the name is."""

    def complete(prompt):
        return prompt.subject.text.replace("New York City", "[New York City | GPE]")

    nlp = llm_pipeline(complete, context_length=90, template="Mark:\n{{ text }}")
    for place in range(60):
        words = ["it"] * 60
        words[place : place + 1] = ["New", "York", "City"]
        doc = nlp(Doc(nlp.vocab, words=words))
        assert len(nlp.get_pipe("llm")._model.prompts[-1]) > 1
        assert found(doc) == [(place, place + 3, "GPE")]


def test_one_failed_window_fails_the_document():
    def complete(prompt):
        if "Porto" in prompt.subject.words:
            return Completion(error=TimeoutError("no answer in 30 s"))
        return tag_words({"Lisbon": "GPE"})(prompt)

    nlp = llm_pipeline(
        complete, context_length=130, template="Mark:\n{{ text }}", keep_raw=True
    )
    doc = sentences(8)
    words = ["Porto" if i == 42 else token.text for i, token in enumerate(doc)]
    starts = [token.is_sent_start for token in doc]
    broken = Doc(doc.vocab, words=words, sent_starts=starts)
    with pytest.warns(GennerWarning, match=r"1 of 2 .*no answer in 30 s"):
        docs = list(nlp.pipe([broken, doc]))
    assert [status(d) for d in docs] == ["failed", "ok"]
    assert found(broken) == []
    [issue] = broken.spans["sc"].attrs["issues"]
    count = len(nlp.get_pipe("llm")._model.prompts[0])
    raw = broken.spans["sc"].attrs["answer"].split("\n")
    assert count == len(raw) > issue["shard"] > 0
    assert [number for number, text in enumerate(raw) if not text] == [issue["shard"]]
    assert len(found(doc)) == 8


def test_issues_have_the_window_and_the_position_in_the_document():
    def complete(prompt):
        return prompt.subject.text.replace("Lisbon", "[Lis | GPE]bon", 1)

    nlp = llm_pipeline(complete, context_length=130, template="Mark:\n{{ text }}")
    doc = nlp(sentences(8))
    issues = doc.spans["sc"].attrs["issues"]
    assert set(codes(doc)) == {"off_tokens"} and status(doc) == "repaired"
    assert [issue["shard"] for issue in issues] == list(range(len(issues)))
    assert {doc.text[i["start"] : i["end"]] for i in issues} == {"Lis"}
    assert len({issue["start"] for issue in issues}) == len(issues)


def test_crossing_spans_are_dropped_if_the_format_refuses_them():
    doc = without_sentences(2)
    windows = (
        Window(0, 12, ((8, 20),), True),
        Window(8, 20, ((0, 12),), True),
    )
    predictions = [
        Prediction([TokenSpan(5, 11, "ORG", 0.5)]),
        Prediction([TokenSpan(2, 8, "GPE", 0.9)]),
    ]
    shards = Shards(doc, windows)
    merged = merge_shards(shards, predictions, ["ORG", "GPE"], allow_crossing=False)
    assert [span[:3] for span in merged.spans] == [(10, 16, "GPE")]
    assert merged.status == "repaired"
    assert [issue["code"] for issue in merged.issues] == ["crossing"]
    both = merge_shards(shards, predictions, ["ORG", "GPE"], allow_crossing=True)
    assert len(both.spans) == 2 and both.status == "windowed"


def test_the_worst_status_of_the_windows_is_kept():
    doc = sentences(2)
    shards = Shards(doc, (Window(0, 10), Window(10, 20)))
    for statuses, expected in [
        (("ok", "ok"), "ok"),
        (("ok", "repaired"), "repaired"),
        (("failed", "repaired"), FAILED),
    ]:
        predictions = [Prediction(status=each) for each in statuses]
        assert merge_shards(shards, predictions, ["A"], False).status == expected
