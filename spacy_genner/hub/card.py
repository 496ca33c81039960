"""Model cards: the README.md of a shared pipeline, with the metadata that the Hugging
Face hub reads.

The facts come from the pipeline itself and from the JSON of an evaluation. The section
on use is marked, so that `genner push` can write it for the repository.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spacy.language import Language

from .. import __version__
from ..errors import Errors
from ..evaluation.card import describe_pipeline
from ..models.licenses import base_license, hub_base, source_name, start_license
from .markdown import plain, render

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

USE_START, USE_END = "<!-- genner:use -->", "<!-- /genner:use -->"
TAGS = (
    *("spacy", "spacy-genner", "token-classification", "named-entity-recognition"),
    *("nested-ner", "generative-ner"),
)
LIBRARY = "spacy"
_TASK = "token-classification"
# Identifiers of the hub. Any other license has the identifier "other" and a name.
_HUB_LICENSES = frozenset(
    "mit apache-2.0 bsd bsd-2-clause bsd-3-clause cc0-1.0 cc cc-by-2.0 cc-by-3.0 "
    "cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 "
    "cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 "
    "gpl gpl-2.0 gpl-3.0 "
    "lgpl lgpl-2.1 lgpl-3.0 agpl-3.0 mpl-2.0 unlicense openrail gemma llama2 llama3 "
    "llama3.1 llama3.2 llama3.3 llama4 isc wtfpl zlib eupl-1.1 eupl-1.2 other".split()
)
# With fewer gold spans than this, the score of a label says little.
_FEW = 20
# The entries of an evaluation that a card needs.
_SCORES = ("micro_p", "micro_r", "micro_f", "gold", "documents", "per_type")


@dataclass(frozen=True)
class CardInfo:
    """What a pipeline does not know about itself.

    package (str): The name of the package, such as "en_demo".
    version (str): The version of the package.
    license (str | None): The license of the files of the pipeline. By default that of
        the base, if it is known to apply.
    description (str): What the pipeline is for. May be empty.
    author (str): The author. May be empty.
    data_name (str): The name of the corpus. May be empty.
    data_url (str): The web page of the corpus. May be empty.
    data_license (str): The license of the corpus. May be empty.
    citation (str): How to cite the corpus, as BibTeX or text. May be empty.
    """

    package: str
    version: str
    license: str | None = None
    description: str = ""
    author: str = ""
    data_name: str = ""
    data_url: str = ""
    data_license: str = ""
    citation: str = ""


def make_card(
    nlp: Language,
    key: str,
    info: CardInfo,
    scores: Mapping[str, Any] | None = None,
) -> "ModelCard":
    """Write the model card of a pipeline.

    nlp (Language): The pipeline.
    key (str): The key of the span group that it writes.
    info (CardInfo): What else is known about it.
    scores (Mapping[str, Any] | None): The JSON of an evaluation.
    RETURNS (ModelCard): The card. `str(card)` is the content of README.md.
    RAISES (ValueError): The evaluation is incomplete, or belongs to a pipeline with
        other labels.
    """
    from huggingface_hub import ModelCard, ModelCardData

    facts = describe_pipeline(nlp, info.package, key)
    labels = _labels(nlp, facts)
    if scores is not None:
        check_scores(scores, labels)
    base = facts.get("base", "")
    license = base_license(base)
    training = facts.get("training", {})
    counts = training.get("train", {}).get("labels", {})
    values = {
        "info": info,
        "facts": facts,
        "language": _language(nlp),
        "labels": labels,
        "counts": counts,
        "adapter": facts.get("adapter"),
        "use": _markup(use_section(info, key, base, requirements(nlp))),
        "scores": None if scores is None else _score_table(scores, info),
        "data": [*_data_rows(training, scores)],
        "settings": [*_settings(nlp, facts, scores)],
        "base": source_name(base),
        "hub_base": hub_base(base),
        "license": license,
        "start": source_name(facts.get("start", "")),
        "start_license": start_license(facts.get("start")),
        "limits": [*_limits(nlp, facts, scores)],
    }
    identifier, license_name = _license_id(info.license or license.id)
    data = ModelCardData(
        language="multilingual" if nlp.lang == "xx" else nlp.lang,
        license=identifier,
        license_name=license_name,
        library_name=LIBRARY,
        pipeline_tag=_TASK,
        tags=[*TAGS, *(["lora"] if facts.get("adapter") else [])],
        base_model=hub_base(base),
        base_model_relation="adapter" if hub_base(base) else None,
        metrics=None if scores is None else ["precision", "recall", "f1"],
        model_name=info.package,
        eval_results=None if scores is None else [*_results(scores, info)],
    )
    if scores is None:
        del data.model_name
    return ModelCard(
        f"---\n{data.to_yaml()}\n---\n\n{render('card.md.jinja', **values)}"
    )


def use_section(
    info: CardInfo,
    key: str,
    base: str,
    needed: list[str],
    repo: str | None = None,
    revision: str | None = None,
) -> str:
    """Write the section of a card that shows how to use the pipeline.

    info (CardInfo): The name and the version of the package.
    key (str): The key of the span group.
    base (str): The name of the base.
    needed (list[str]): The requirements of the pipeline.
    repo (str | None): The repository on the hub. Without one the section shows how to
        use the wheel.
    revision (str | None): The branch or tag on the hub.
    RETURNS (str): Markdown between two comments, which mark the section.
    """
    packages = [shlex.quote(f"spacy-genner>={__version__}"), *map(shlex.quote, needed)]
    model = repo or info.package
    if repo is not None:
        commands = [f"pip install {' '.join(packages)}"]
        model = f"{repo}@{revision}" if revision else repo
    else:
        # The requirements of the wheel name the rest.
        wheel = f"{info.package}-{info.version}-py3-none-any.whl"
        commands = [f"pip install {shlex.quote(wheel)}"]
    return render(
        "use.md.jinja",
        commands=commands,
        repo=repo,
        revision=revision,
        package=info.package,
        key=key,
        model=shlex.quote(model),
        base=base,
    ).rstrip("\n")


def replace_use_section(card: str, section: str) -> str:
    """Replace the section on use of a card.

    card (str): The content of README.md.
    section (str): The result of `use_section`.
    RETURNS (str): The new content. A card without the section stays as it is.
    """
    start, end = card.find(USE_START), card.find(USE_END)
    if start < 0 or end < start:
        return card
    return card[:start] + section + card[end + len(USE_END) :]


def check_scores(scores: Any, labels: Mapping[str, str]) -> None:
    """Check that an evaluation can be shown on the card of a pipeline.

    scores (Any): The content of the file.
    labels (Mapping[str, str]): The labels of the pipeline.
    RAISES (ValueError): It is no evaluation, or one of a pipeline with other labels.
    """
    found = scores if isinstance(scores, Mapping) else {}
    missing = [name for name in _SCORES if name not in found]
    if missing:
        raise ValueError(Errors.G908.format(missing=", ".join(missing)))
    evaluated = found.get("pipeline", {}).get("labels")
    if evaluated is not None and set(evaluated) != set(labels):
        only = sorted(set(evaluated) ^ set(labels))
        raise ValueError(Errors.G909.format(found=", ".join(map(repr, only[:8]))))


def requirements(nlp: Language) -> list[str]:
    """RETURNS (list[str]): The packages that the metadata of a pipeline requires, such
    as the one with its base."""
    return [
        str(needed)
        for needed in nlp.meta.get("requirements", ())
        if not str(needed).startswith("spacy-genner")
    ]


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


def _labels(nlp: Language, facts: Mapping[str, Any]) -> dict[str, str]:
    pipe: Any = nlp.get_pipe(facts["component"])
    data = getattr(pipe, "label_data", None) or list(pipe.labels)
    return dict(data) if isinstance(data, dict) else dict.fromkeys(data, "")


def _language(nlp: Language) -> str:
    if nlp.lang == "xx":
        return "several languages"
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(nlp).__name__)
    return f"{name} ({nlp.lang})"


def _license_id(license: str | None) -> tuple[str | None, str | None]:
    """The identifier of a license on the hub, and the name of one that it lacks."""
    if license is None:
        return None, None
    identifier = license.strip().lower()
    if identifier in _HUB_LICENSES:
        return identifier, None
    return "other", plain(license)


def _percent(value: Any) -> str:
    return f"{100 * float(value):.2f}"


def _score_table(scores: Mapping[str, Any], info: CardInfo) -> dict[str, Any]:
    """The values of the section on scores."""

    def row(name: str, prefix: str) -> dict[str, str]:
        return {"name": name} | {
            part: _percent(scores[f"{prefix}_{part}"]) for part in "prf"
        }

    rows = [row("all spans", "micro")]
    for name, prefix in (("nested spans", "nested"), ("other spans", "flat")):
        if f"{prefix}_f" in scores:
            rows.append(row(name, prefix))
    interval, run = scores.get("interval"), scores.get("run", {})
    speed = ""
    if run.get("tokens_per_second"):
        threads = f", {run['threads']} threads" if run.get("device") == "cpu" else ""
        speed = (
            f"{run['tokens_per_second']:,.1f} tokens/s "
            f"(device: {run.get('device')}{threads})"
        )
    return {
        "data": f"{_test_name(info)}: {scores['documents']:,} documents with "
        f"{scores['gold']:,} gold spans",
        "rows": rows,
        "interval": f"{_percent(interval['low'])} to {_percent(interval['high'])}"
        if interval
        else "",
        "speed": speed,
        "labels": [
            {"name": name, "gold": f"{found['gold']:,}"}
            | {part: _percent(found[part]) for part in "prf"}
            for name, found in scores["per_type"].items()
        ],
    }


def _test_name(info: CardInfo) -> str:
    return f"{info.data_name}, test part" if info.data_name else "the test corpus"


def _data_rows(
    training: Mapping[str, Any], scores: Mapping[str, Any] | None
) -> Iterator[dict[str, str]]:
    for part in ("train", "dev"):
        found = training.get(part)
        if found:
            yield {
                "part": part,
                "documents": f"{found['documents']:,}",
                "tokens": f"{found['words']:,}",
                "spans": f"{sum(found.get('labels', {}).values()):,}",
            }
    if scores is not None:
        tokens = scores.get("data", {}).get("tokens")
        yield {
            "part": "test",
            "documents": f"{scores['documents']:,}",
            "tokens": "–" if tokens is None else f"{tokens:,}",
            "spans": f"{scores['gold']:,}",
        }


def _settings(
    nlp: Language, facts: Mapping[str, Any], scores: Mapping[str, Any] | None
) -> Iterator[tuple[str, str]]:
    """The rows on model and training."""
    if facts.get("base"):
        revision = f", revision {facts['revision']}" if facts.get("revision") else ""
        yield "Base", f"{source_name(facts['base'])}{revision}"
    if facts.get("start"):
        yield "Training started from", source_name(facts["start"])
    adapter = facts.get("adapter")
    if adapter:
        modules = adapter.get("target_modules")
        parts = [f"rank {adapter.get('rank')}", f"alpha {adapter.get('alpha')}"]
        if modules:
            parts.append(modules if isinstance(modules, str) else ", ".join(modules))
        yield "LoRA adapter", ", ".join(parts)
        if "bytes" in adapter:
            yield "Size of the adapter", f"{adapter['bytes'] / 1e6:.1f} MB"
    for name, title in (("format", "Output format"), ("readings", "Readings")):
        if name in facts:
            yield title, str(facts[name])
    if facts.get("min_score"):
        yield "min_score", f"{facts['min_score']:g}"
    training = facts.get("training", {})
    if "step" in training:
        yield "Steps", f"{training['step']:,} (epoch {training.get('epoch', 0) + 1})"
    # The config of a pipeline that was trained from Python says nothing about it.
    config = nlp.config.interpolate()
    if training or config.get("paths", {}).get("train"):
        yield from _training_settings(config, "step" not in training)
    if training.get("seed") is not None:
        yield "Seed", str(training["seed"])
    if training.get("seconds"):
        yield "Training time", f"{training['seconds'] / 60:,.1f} minutes"
    versions = training.get("versions") or (scores or {}).get("run", {}).get("versions")
    if versions:
        shown = (
            f"{name.replace('_', '-')} {found}" for name, found in versions.items()
        )
        yield "Software", ", ".join(shown)


def _training_settings(
    config: Mapping[str, Any], with_steps: bool
) -> Iterator[tuple[str, str]]:
    settings = config.get("training", {})
    if with_steps and settings.get("max_steps"):
        yield "Steps", f"at most {settings['max_steps']:,}"
    optimizer = settings.get("optimizer", {})
    rate = optimizer.get("learn_rate")
    if isinstance(rate, Mapping):
        schedule = str(rate.get("@schedules", "")).rsplit(".", 2)
        name = schedule[-2] if len(schedule) > 1 else ""
        yield "Learning rate", f"{rate.get('initial_rate')} ({name})"
    elif rate is not None:
        yield "Learning rate", str(rate)
    if optimizer.get("@optimizers"):
        yield "Optimizer", str(optimizer["@optimizers"])


def _limits(
    nlp: Language, facts: Mapping[str, Any], scores: Mapping[str, Any] | None
) -> Iterator[str]:
    """What a user of the pipeline has to know."""
    yield (
        f"The pipeline was made for {_language(nlp)} and for texts like those of its "
        "corpus. Expect lower scores elsewhere, and evaluate on data of your own."
    )
    if scores is not None:
        yield "The scores are those of one run on one test corpus."
        few = [
            plain(name)
            for name, found in scores["per_type"].items()
            if found["gold"] < _FEW
        ]
        if few:
            yield (
                f"Labels with fewer than {_FEW} gold spans, whose scores are "
                f"unreliable: {', '.join(few)}."
            )
        failed = scores.get("statuses", {}).get("failed", 0)
        if failed:
            yield f"{failed:,} documents of the test corpus failed and count as empty."
        if scores.get("unaligned_gold"):
            yield (
                f"{scores['unaligned_gold']:,} gold spans of the test corpus fit no "
                "token boundary and count as missed."
            )
    if str(facts.get("format", "")).startswith("inline"):
        yield (
            "Spans may be nested, but not cross each other, and every span is one "
            "piece of the text."
        )
    yield (
        "The scores of spans are products of probabilities of the language model. They "
        "are no measured frequencies."
    )


def _results(scores: Mapping[str, Any], info: CardInfo) -> Iterator["EvalResult"]:
    """The scores in the schema of the hub."""
    from huggingface_hub import EvalResult

    name = plain(info.data_name) or "test corpus"
    kind = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "corpus"
    groups = [("micro", " (micro)")]
    groups += [
        (group, f", {group} spans") for group in ("nested",) if "nested_f" in scores
    ]
    metrics = (("p", "precision"), ("r", "recall"), ("f", "f1"))
    for prefix, suffix in groups:
        for part, metric in metrics:
            shown = {"f1": "F1"}.get(metric, metric.capitalize())
            yield EvalResult(
                task_type=_TASK,
                task_name="Nested named entity recognition",
                dataset_type=kind,
                dataset_name=name,
                dataset_split="test",
                metric_type=metric,
                metric_name=f"{shown}{suffix}",
                metric_value=float(scores[f"{prefix}_{part}"]),
            )
