"""The width of spancat's suggestions, computed from the training spans."""

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.initialize import init_nlp
from thinc.api import Config
from training_cases import CONFIG, TEXTS, docs, write_corpus

from spacy_genner.training.spancat_width import SpanWidths, cover_spans, span_widths

SUGGESTER = {"@misc": "spacy.ngram_range_suggester.v1", "min_size": 1, "max_size": 1}
FINDER = {"factory": "spancat", "spans_key": "sc", "suggester": SUGGESTER}
COVER = {
    "@callbacks": "spacy-genner.CoverSpans.v1",
    "component": "finder",
    "share": 1.0,
}


def config_of_finder() -> str:
    """The tiny config, with a spancat instead of the language model."""
    config = Config().from_str(CONFIG, interpolate=False)
    config["nlp"]["pipeline"] = ["finder"]
    config["components"] = {"finder": FINDER}
    config["initialize"] = {"before_init": COVER}
    config["corpora"]["dev"]["path"] = "${paths.train}"
    return config.to_str(interpolate=False)


def start(path, **changes):
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    overrides["paths.train"] = str(path)
    return init_nlp(
        Config().from_str(config_of_finder(), overrides=overrides, interpolate=False)
    )


def suggested(nlp, words):
    spans = nlp.get_pipe("finder").suggester([Doc(nlp.vocab, words=words)])
    return sorted({int(end - start) for start, end in spans.dataXd})


def test_the_smallest_width_that_covers_a_share():
    widths = SpanWidths({1: 90, 2: 5, 4: 4, 9: 1})
    assert widths.spans == 100
    assert [widths.covering(share) for share in (0.5, 0.9, 0.95, 0.99, 1)] == [
        *(1, 1, 2, 4, 9)
    ]
    assert [widths.within(width) for width in (0, 3, 4, 99)] == [0, 95, 99, 100]
    assert SpanWidths({}).covering(0.99) == 0


def test_widths_in_tokens_of_the_pipeline():
    nlp = spacy.blank("en")
    [reference] = docs([("The NF-kappa B site .", [(1, 3, "P"), (2, 3, "P")])])
    reference.user_data["genner_unaligned"] = [[4, 6, "P"]]
    # In the predicted Doc the first span has another token, and the second no boundary
    # at its start.
    words = ["The", "NF", "-", "kappa B", "site", "."]
    predicted = Doc(nlp.vocab, words=words, spaces=[True, False, False, True, True, 0])
    assert predicted.text == reference.text[: len(predicted.text)]
    found = span_widths([Example(predicted, reference)], "sc")
    assert found == SpanWidths({3: 1}, off_grid=2)


def test_the_suggester_covers_the_training_spans(tmp_path, capsys):
    nlp = start(write_corpus(tmp_path / "train.spacy"))
    words = ["a"] * 6
    assert suggested(nlp, words) == [1, 2, 3]
    output = " ".join(capsys.readouterr().out.split())
    assert "spans of 1 to 3 tokens: 8 of 8 training spans" in output
    # The saved pipeline has the same suggester, which is spaCy's own.
    nlp.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    assert suggested(loaded, words) == [1, 2, 3]
    assert loaded.config["components"]["finder"]["suggester"] == {
        "@misc": "spacy.ngram_range_suggester.v1",
        "min_size": 1,
        "max_size": 3,
    }


def test_wider_spans_are_counted(tmp_path, capsys):
    path = write_corpus(tmp_path / "train.spacy")
    nlp = start(path, initialize__before_init__share=0.75)
    assert suggested(nlp, ["a"] * 6) == [1]
    output = " ".join(capsys.readouterr().out.split())
    assert "6 of 8 training spans (75.0 %); 2 are wider" in output


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"initialize__before_init__share": 0}, "G330"),
        ({"initialize__before_init__share": 1.5}, "G330"),
        ({"initialize__before_init__component": "spancat"}, "G331"),
        ({"components__finder__spans_key": "other"}, "G307"),
    ],
)
def test_invalid_settings(tmp_path, changes, code):
    path = write_corpus(tmp_path / "train.spacy", TEXTS)
    with pytest.raises(ValueError, match=code):
        start(path, **changes)
    with pytest.raises(ValueError, match="G308"):
        cover_spans(share="most")
