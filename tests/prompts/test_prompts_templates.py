"""Built-in and custom templates of prompts."""

import pytest

from spacy_genner.prompts import Demonstration, PromptLayout, PromptSettings
from spacy_genner.prompts.layout import TEMPLATES, read_template, render_around

LABELS = ("ORG", "GPE")


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("readings", [1, 2])
def test_built_in_templates_render_everything(name, readings):
    layout = PromptLayout(
        LABELS,
        {"ORG": "an organisation {{ text }}"},
        readings=readings,
        demonstrations=(("a text", "[a | ORG] text"),),
        template=read_template(name),
    )
    prompt = layout.render("the source")
    assert prompt.count("the source") == readings
    assert "- ORG: an organisation {{ text }}\n- GPE\n" in prompt
    assert "\na text\n" in prompt and "\n[a | ORG] text\n" in prompt
    assert len(layout.around()) == readings + 1


def test_the_study_template_is_that_of_an_alpaca_file():
    layout = PromptLayout(LABELS, template=read_template("study"), readings=1)
    assert layout.render("x") == (
        "Copy the text and mark every named entity in it, in this way: "
        "[entity | LABEL].\nLabels: ORG, GPE\nText:\nx\n"
    )


def test_a_custom_template(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text(
        "{{ format }}:{% for l in labels %} {{ l.name }}{% endfor %}|{{ text }}|",
        "utf8",
    )
    settings = PromptSettings.from_config({"template": str(path)})
    layout = PromptLayout(LABELS, template=settings.template)
    assert layout.prefix == "inline_bracketed: ORG GPE|"
    assert layout.around() == ("", "|")


@pytest.mark.parametrize(
    "source, code",
    [
        ("no text", "G110"),
        ("{{ text | upper }}{% if %}", "G109"),
        ("{{ text }}{{ nothing }}", "G109"),
        ("{{ text }}{{ ''.__class__.__mro__ }}", "G109"),
        ("{{ text.encode() }}{{ labels.append(1) }}{{ text }}", "G109"),
    ],
)
def test_invalid_templates(source, code):
    with pytest.raises(ValueError, match=code):
        PromptLayout(LABELS, template=source).around()


@pytest.mark.parametrize(
    "config, code",
    [
        ({"template": "compct"}, "G107.*compct.*compact, study"),
        ({"temperature": 1}, "G112.*temperature"),
        ({"chat": "maybe"}, "G407.*prompt.chat"),
    ],
)
def test_invalid_settings(config, code):
    with pytest.raises(ValueError, match=code):
        PromptSettings.from_config(config)


def test_a_missing_file_is_an_error_at_first_use():
    settings = PromptSettings.from_config({"template": "nowhere.jinja"})
    with pytest.raises(ValueError, match="G108.*nowhere"):
        settings.template  # noqa: B018


def test_a_definition_may_contain_the_placeholder_of_the_text():
    assert render_around("{{ text }}", {}) == ("", "")
    source = "{{ definition }}|{{ text }}"
    for value in ("\ue0f8", "\ue0f8\ue0f8", "\ue0f8" * 5):
        assert render_around(source, {"definition": value}) == (value + "|", "")


class FixedNeighbours:
    """Returns the same demonstrations for all texts."""

    def __init__(self, *shown):
        self.shown = [Demonstration(text, text.upper()) for text in shown]

    def of(self, text):
        return self.shown


@pytest.mark.parametrize("name", TEMPLATES)
def test_nearest_demonstrations_follow_the_shared_prefix(name):
    template = read_template(name)
    plain = PromptLayout(LABELS, template=template)
    layout = PromptLayout(
        LABELS, template=template, neighbours=FixedNeighbours("near", "far")
    )
    assert layout.prefix.endswith("\n")
    assert plain.prefix.startswith(layout.prefix)
    assert layout.render("x") == plain.render("x")
    shown = layout.neighbours.of("x")
    prompt = layout.render("x", shown)
    fixed = PromptLayout(
        LABELS, template=template, demonstrations=tuple(map(tuple, shown[::-1]))
    )
    assert prompt == fixed.render("x")
    assert prompt.index("FAR") < prompt.index("NEAR") < prompt.index("\nx\n")
