"""Built-in and custom templates of prompts."""

from time import perf_counter

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

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


NS = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}"
HOSTILE = {
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}"
    "{% endfor %}{% endfor %}",
    "loops without a pass": "{% for a in range(99999) %}{% for i in range(99999) "
    "if i < 0 %}{% endfor %}{% endfor %}",
    "recursive loop": "{% for a in range(9999) recursive %}{{ loop(range(9999)) }}"
    "{% endfor %}",
    "recursive macro": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}"
    "{% endmacro %}{{ f(60) }}",
    "long loop": "{% for a in range(99999) %}" + "x" * 5000 + "{% endfor %}",
    "long block": "{% set b %}{% for a in range(99999) %}" + "x" * 5000 + "{% endfor %}"
    "{% endset %}",
    "long source": "x" * 5_000_000,
    "repeated string": "{{ 'x' * 10**10 }}",
    "repeated list": "{{ [0] * 10**9 }}",
    "repeated lists": "{{ [[0] * 99999] * 99999 }}",
    "power": "{{ 10 ** (10 ** 10) }}",
    "products": "{% set ns = namespace(x=3) %}{% for i in range(99) %}"
    "{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "doubled by ~": NS + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "doubled by +": NS + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubled by %": NS + "{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}",
    "doubled by format": NS + "{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
    "doubled by a block": NS + "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"
    "{% endfor %}",
    "doubled by replace": NS + "{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}",
    "doubled list": NS + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "doubled namespace": "{% set ns = namespace(x=1) %}{% for i in range(60) %}"
    "{% set ns.x = namespace(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x }}",
    "width of %": "{{ '%1000000000d' % 1 }}",
    "width of the filter format": "{{ '%1000000000d' | format(1) }}",
    "width of the method format": "{{ '{:1000000000}'.format(1) }}",
    "variable width": "{{ '{:{}}'.format(1, 10**9) }}",
    "center": "{{ 'x' | center(10**9) }}",
    "center as a block": "{% filter center(10**9) %}x{% endfilter %}",
    "ljust": "{{ 'x'.ljust(10**9) }}",
    "zfill": "{{ 'x'.zfill(10**9) }}",
    "expandtabs": "{{ ('\\t' * 99999).expandtabs(99999) }}",
    "indent": "{{ ('x\\n' * 9999) | indent(99999) }}",
    "wordwrap": "{{ ('x' * 99999) | wordwrap(1, wrapstring='y' * 99999) }}",
    "join": "{{ range(99999) | list | join('x' * 99999) }}",
    "join of a method": "{{ ('x' * 99999).join(range(99999) | map('string')) }}",
    "map": "{{ range(99999) | map('center', 99999) | join }}",
    "batch": "{{ range(99999) | batch(10**9, 'x') | list }}",
    "slice": "{{ range(99999) | slice(10**9) | list }}",
    "sum of lists": "{{ ([[0] * 999] * 999) | sum(start=[]) | length }}",
    "sums": "{% for a in range(99999) %}{{ range(99999) | sum }}{% endfor %}",
    "search": "{% for a in range(99999) %}{{ 0.5 in range(99999) | list }}{% endfor %}",
    "translate": "{{ 'a'.translate({97: 'x' * 99999}) }}",
    "lipsum": "{{ lipsum(n=100000) }}",
    "urlize": "{{ ('x ' * 999999) | urlize }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_templates_have_limits(name):
    """The work, the size of values and of the prompt, and the time are limited."""
    started = perf_counter()
    with pytest.raises(ValueError, match="G109"):
        PromptLayout(LABELS, template=HOSTILE[name] + "{{ text }}").around()
    # The limit of time is 5 seconds.
    assert perf_counter() - started < 20


def test_the_limits_are_those_of_one_template():
    for _ in range(3):
        source = "{% for i in range(60000) %}x{% endfor %}{{ text }}"
        for _ in range(20):
            assert len(render_around(source, {})[0]) == 60000


ORDINARY = [
    "{% for l in labels %}{{ loop.index }}. {{ '%-20s' | format(l.name) }}"
    "{{ 'x'.ljust(40) }}{{ ', ' if not loop.last }}{% endfor %}",
    "{{ labels | map(attribute='name') | join(', ') | upper }}{{ labels | length }}",
    "{% set names = labels | map(attribute='name') | sort %}{% for n in names %}"
    "{{ n ~ ':' ~ loop.index0 }}{% else %}none{% endfor %}",
    "{% macro m(x) %}<{{ x }}>{{ caller() }}{% endmacro %}"
    "{% call m(format) %}y{% endcall %}{{ '-' * 80 }}{{ labels | tojson }}",
    "{% for row in labels | batch(3) %}{% for l in row %}"
    "{{ l.name | default('x') | trim | replace('L', 'l') }}{% endfor %}{% endfor %}",
    "{% for key, group in labels | groupby('name') %}{{ key }}{% endfor %}",
    "{% for a, b in [(1, 2), (3, 4)] if a > 1 %}{{ a }}{{ b }}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for l in labels %}{% set ns.n = ns.n + 1 %}"
    "{% endfor %}{{ ns.n }}{{ {'a': 1}.items() | list }}{{ 7 // 2 }}{{ 2 ** 8 }}",
    "{{ '{:>5}'.format('a') }}{{ 'a,b'.split(',') | last }}{{ labels[:2] }}",
    "{{ examples[0].text | truncate(30) | indent(2) }}{{ [1, [2, (3,)]] }}{{ none }}",
]


@pytest.mark.parametrize("source", ORDINARY)
def test_limits_do_not_change_ordinary_templates(source):
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    variables = {
        "labels": [{"name": f"L{i}", "definition": "d" * 50} for i in range(300)],
        "examples": [{"text": "a b\n" * 50, "output": "[a | b]"}] * 200,
        "format": "inline_xml",
    }
    expected = environment.from_string(source).render(variables)
    assert render_around(source + "{{ text }}", variables) == (expected, "")
