"""A sweep: trained pipelines over a grid of settings, scored and compared.

A recipe is one choice of the settings that a sweep varies, and a run is a recipe with a
seed. This module makes the runs and their configs, scores a trained run, and summarizes
the rows of all runs. `genner sweep` trains them.

Recipes are compared by their scores on the development data. The test data is for the
chosen recipe: a recipe that is chosen by its test score has a test score that is too
high.
"""

import difflib
import hashlib
import itertools
import json
import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc
from spacy.util import load_config_from_str, load_model_from_config, registry
from thinc.api import Config

from ..errors import Errors
from ..io import parse_json, read_text, replaced_file, write_bytes
from ..models.gguf import joined_sha256
from ..pipeline.loading import find_component
from ..training.loop import check_training_config
from ..training.schedules import NAME as SCHEDULE
from .card import timed_run
from .evaluate import annotate, check_gold, evaluate
from .plots import Plot, interval_plot
from .records import write_evaluation
from .scores import percent

RESULTS, TABLE, PAGE = "results.jsonl", "table.md", "sweep.html"
# The files in the folder of a run.
CONFIG, RESULT, LOG = "config.cfg", "result.json", "log.txt"
_KEYS = ("cases", "grid", "seeds")
# Where a config has its seed.
SEEDS = ("system.seed", "training.seed")
_NAME_LENGTH = 60

Overrides = dict[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class SweepRun:
    """A run of a sweep.

    overrides (dict[str, Any]): The settings of its recipe, by their dotted keys.
    seed (int | None): The seed. None leaves that of the config.
    """

    overrides: Overrides
    seed: int | None

    @property
    def name(self) -> str:
        """RETURNS (str): The name of its folder. It depends on the settings and the
        seed only, so that a sweep can be extended."""
        facts = {**self.overrides, **({} if self.seed is None else {"seed": self.seed})}
        text = json.dumps([self.overrides, self.seed], sort_keys=True)
        digest = hashlib.sha256(text.encode("utf8")).hexdigest()[:8]
        shown = "_".join(
            f"{k.rpartition('.')[2]}={_value(v)}" for k, v in facts.items()
        )
        shown = re.sub(r"[^\w.=+-]+", "-", shown, flags=re.ASCII)[:_NAME_LENGTH]
        return f"{shown or 'config'}-{digest}"


@dataclass(frozen=True)
class Sweep:
    """The settings that a sweep varies.

    grid (dict[str, list[Any]]): The values of each setting, by its dotted key. Every
        combination is a recipe.
    cases (list[dict[str, Any]]): Settings that vary together. Each case is combined
        with the grid.
    seeds (list[int]): The seeds of each recipe. Empty for that of the config.
    """

    grid: dict[str, list[Any]]
    cases: list[Overrides]
    seeds: list[int]

    @property
    def recipes(self) -> list[Overrides]:
        """RETURNS (list[dict[str, Any]]): The distinct recipes, in order."""
        combinations = itertools.product(*self.grid.values())
        found: dict[str, Overrides] = {}
        for values in combinations:
            for case in self.cases or [{}]:
                recipe = {**case, **dict(zip(self.grid, values, strict=True))}
                found.setdefault(json.dumps(recipe, sort_keys=True), recipe)
        return list(found.values())

    @property
    def runs(self) -> list[SweepRun]:
        """RETURNS (list[SweepRun]): The runs: all recipes with the first seed, then all
        with the second, so that an interrupted sweep has compared them all."""
        seeds: list[int | None] = [*dict.fromkeys(self.seeds)] or [None]
        return [SweepRun(recipe, seed) for seed in seeds for recipe in self.recipes]


def read_sweep(path: Path) -> Sweep:
    """Read the file of a sweep.

    path (Path): A JSON file, an object with any of `grid`, `cases` and `seeds`; or a
        `.cfg` file with the section `[grid]`, and `cases` and `seeds` in `[sweep]`.
    RETURNS (Sweep): The sweep.
    RAISES (ValueError): The file can't be read, or has other content.
    """
    text = read_text(path)
    try:
        is_config = path.suffix == ".cfg"
        data = _from_config(text) if is_config else parse_json(text, unique=True)
    except ValueError as err:
        reason = " ".join(str(err).split())
        raise ValueError(Errors.G920.format(path=path, reason=reason)) from err
    if not isinstance(data, dict) or not set(data) <= set(_KEYS):
        found = sorted(set(data) - set(_KEYS)) if isinstance(data, dict) else data
        reason = f"found {str(found)[:80]}"
        raise ValueError(Errors.G920.format(path=path, reason=reason))
    grid, cases, seeds = (
        data.get(k, d) for k, d in (("grid", {}), ("cases", []), ("seeds", []))
    )
    if not isinstance(grid, dict):
        raise ValueError(Errors.G921.format(path=path, key="grid", found=grid))
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ValueError(Errors.G921.format(path=path, key=key, found=values))
    if not isinstance(cases, list) or not all(isinstance(c, dict) for c in cases):
        raise ValueError(Errors.G921.format(path=path, key="cases", found=cases))
    if not isinstance(seeds, list) or not all(map(_is_seed, seeds)):
        raise ValueError(Errors.G921.format(path=path, key="seeds", found=seeds))
    if not grid and not cases and not seeds:
        reason = "it varies nothing"
        raise ValueError(Errors.G920.format(path=path, reason=reason))
    for key in {*grid, *(key for case in cases for key in case)}:
        if key in SEEDS or "." not in key or not all(key.split(".")):
            raise ValueError(Errors.G922.format(path=path, key=key))
    for case in cases:
        check_distinct(path, [*grid, *case])
    check_distinct(path, grid)
    return Sweep(grid, cases, seeds)


def _is_seed(value: Any) -> bool:
    # The range of NumPy's seeds.
    return type(value) is int and 0 <= value < 2**32


def check_distinct(path: Path, keys: Iterable[str]) -> None:
    """Check that settings are different ones, and that none contains another.

    path (Path): The file of the sweep, for the message.
    keys (Iterable[str]): The dotted keys.
    RAISES (ValueError): A setting would replace another one.
    """
    # The keys that a key contains follow it.
    ordered = sorted(keys, key=lambda key: key.split("."))
    for first, second in itertools.pairwise(ordered):
        if second == first or second.startswith(f"{first}."):
            raise ValueError(Errors.G993.format(path=path, first=first, second=second))


def _from_config(text: str) -> dict[str, Any]:
    config = Config().from_str(text, interpolate=False)
    settings = config.get("sweep", {})
    if set(config) - {"sweep", "grid"} or not isinstance(settings, dict):
        return {str(key): None for key in config}
    return {**settings, **({"grid": dict(config["grid"])} if "grid" in config else {})}


def make_config(text: str, run: SweepRun, overrides: Mapping[str, Any]) -> Config:
    """Make the config of a run.

    text (str): The config that the sweep varies.
    run (SweepRun): The run.
    overrides (Mapping[str, Any]): Settings of all runs, which those of the run replace.
    RETURNS (Config): The config, not interpolated.
    RAISES (ValueError): A setting belongs to no section of the config. The error may be
        one of spaCy.
    """
    chosen = {**overrides, **run.overrides}
    if run.seed is not None:
        plain = load_config_from_str(text, interpolate=False)
        places = [key for key in SEEDS if _has(plain, key)] or ["training.seed"]
        chosen |= dict.fromkeys(places, run.seed)
    return load_config_from_str(text, overrides=chosen, interpolate=False)


def check_config(config: Config, path: Path) -> None:
    """Check the config of a run before any run is trained, as far as this is possible
    without loading a base.

    config (Config): The config, not interpolated.
    path (Path): The file of the sweep's config, for messages.
    RAISES (ValueError): A setting is not valid. The error may be one of spaCy.
    """
    check_training_config(config, path)
    nlp = load_model_from_config(config.interpolate(), auto_fill=True)
    # A run is scored by its component, after the training.
    find_component(nlp, str(path))
    training = nlp.config.interpolate()["training"]
    _fill_steps(training)
    registry.resolve(training, schema=ConfigSchemaTraining)  # type: ignore[arg-type]


def check_overrides(plan: Sweep, overrides: Iterable[str], path: Path) -> None:
    """Check that the overrides of a command have an effect.

    plan (Sweep): The sweep.
    overrides (Iterable[str]): The dotted keys of the overrides.
    path (Path): The file of the sweep, for the message.
    RAISES (ValueError): The sweep sets the same value.
    """
    varied = {key for recipe in plan.recipes for key in recipe}
    for key in overrides:
        for other in sorted(varied.union(SEEDS if plan.seeds else ())):
            check_distinct(path, (key, other))


def check_keys(config: Config, keys: Iterable[str], path: Path) -> None:
    """Check that settings that a sweep varies have an effect. spaCy ignores unknown
    keys in sections like `[training]`.

    config (Config): The config that the sweep varies, not interpolated.
    keys (Iterable[str]): The dotted keys.
    path (Path): The file of the config, for the message.
    RAISES (ValueError): The config has no such setting.
    """
    nlp = load_model_from_config(config.interpolate(), auto_fill=True)
    for key in keys:
        section = key.rpartition(".")[0]
        block: Any = config
        for part in section.split("."):
            block = block.get(part) if isinstance(block, dict) else None
        # Functions and components check their settings themselves.
        is_checked = isinstance(block, dict) and any(k.startswith("@") for k in block)
        is_checked = is_checked or key.startswith(("components.", "initialize."))
        if not isinstance(block, dict) or is_checked or _has(config, key):
            # A missing section has a message of spaCy.
            continue
        if not _has(nlp.config, key):
            known = _section(nlp.config, section)
            close = difflib.get_close_matches(key.rpartition(".")[2], known)
            found = ", ".join(close or known)
            raise ValueError(Errors.G927.format(path=path, key=key, found=found))


def _section(config: Any, key: str) -> list[str]:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return sorted(config) if isinstance(config, dict) else []


def _fill_steps(block: Any) -> None:
    """Fill in a number of steps, which training computes from the corpus."""
    if isinstance(block, dict):
        if block.get("@schedules") == SCHEDULE and not block.get("total_steps"):
            block["total_steps"] = 1
        for value in block.values():
            _fill_steps(value)


def _has(config: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(config, dict) or part not in config:
            return False
        config = config[part]
    return True


# Scores


def score_run(
    nlp: Language,
    docs: Sequence[Doc],
    key: str,
    output: Path,
    batch_size: int | None = None,
) -> Row:
    """Score a trained pipeline.

    nlp (Language): The pipeline.
    docs (Sequence[Doc]): The annotated documents.
    key (str): The key of the span group.
    output (Path): The JSON file of the evaluation, with the documents beside it.
    batch_size (int | None): The number of documents in a batch.
    RETURNS (dict[str, Any]): `f`, `p` and `r` of all spans and the `interval` of `f`,
        `nested_f` and `nested_r` of nested ones, `labels`, the F1 of each label, `ece`,
        the numbers of `documents` and `failed` ones, and `tokens_per_second`.
    RAISES (ValueError): No document has the group.
    """
    check_gold(docs, key)
    rows, run = timed_run(nlp, docs, lambda: list(annotate(nlp, docs, key, batch_size)))
    result = evaluate(rows)
    result["run"] = run
    write_evaluation(result, rows, output)
    found = result["calibration"]
    return {
        **{part: result[f"micro_{part}"] for part in "fpr"},
        "interval": [result["interval"]["low"], result["interval"]["high"]],
        "nested_f": result["nested_f"],
        "nested_r": result["nested_r"],
        "nested_gold": result["nested_gold"],
        "labels": {label: each["f"] for label, each in result["per_type"].items()},
        "ece": None if found is None else found["ece"],
        "documents": result["documents"],
        "failed": result["statuses"].get("failed", 0),
        "tokens_per_second": run["tokens_per_second"],
    }


def file_checksums(config: Mapping[str, Any]) -> dict[str, str]:
    """Compute the checksums of the files that the corpora of a config are read from.

    config (Mapping[str, Any]): The interpolated config.
    RETURNS (dict[str, str]): The SHA-256 by path. That of a folder is the SHA-256 of
        its files in the order of their names.
    """
    found = {}
    for path in sorted(_paths(config.get("corpora", {}))):
        files = [path] if path.is_file() else sorted(path.rglob("*.spacy"))
        if files:
            found[str(path)] = joined_sha256(files)
    return found


def _paths(block: Any) -> set[Path]:
    """The existing files and folders that settings named `path` refer to."""
    if not isinstance(block, dict):
        return set()
    nested = (_paths(value) for value in block.values())
    found: set[Path] = set().union(*nested)
    value = block.get("path")
    if isinstance(value, str) and value and Path(value).exists():
        found.add(Path(value))
    return found


def git_state() -> dict[str, Any] | None:
    """Get the commit of the git repository of the working folder, from its files.

    RETURNS (dict[str, Any] | None): The `commit`. None without a repository, or before
        its first commit.
    """
    folder = Path.cwd().resolve()
    for place in (folder / ".git", *(parent / ".git" for parent in folder.parents)):
        if place.exists():
            break
    else:
        return None
    try:
        if place.is_file():
            # A linked working tree.
            named = place.read_text("utf8").removeprefix("gitdir:").strip()
            place = (place.parent / named).resolve()
        head = (place / "HEAD").read_text("utf8").strip()
        common = place / "commondir"
        if common.is_file():
            place = (place / common.read_text("utf8").strip()).resolve()
        commit = head
        if head.startswith("ref:"):
            commit = _read_reference(place, head.removeprefix("ref:").strip())
    except (OSError, ValueError):
        return None
    return {"commit": commit} if commit else None


def _read_reference(repository: Path, name: str) -> str:
    """The commit of a branch, or an empty string if there is none."""
    if (repository / name).is_file():
        return (repository / name).read_text("utf8").strip()
    packed = repository / "packed-refs"
    lines = packed.read_text("utf8").splitlines() if packed.is_file() else []
    found = (line.split(" ", 1) for line in lines if " " in line)
    return next((commit for commit, other in found if other == name), "")


# Results


@dataclass(frozen=True)
class Recipe:
    """The results of a recipe.

    overrides (dict[str, Any]): Its settings.
    rows (list[dict[str, Any]]): The rows of its finished runs.
    """

    overrides: Overrides
    rows: list[Row]

    def values(self, part: str, name: str) -> list[float]:
        """Get a score of each run.

        part (str): "dev", "test" or "" for the row itself.
        name (str): The name of the score.
        RETURNS (list[float]): The scores, without missing ones.
        """
        blocks = [row.get(part) or {} if part else row for row in self.rows]
        return [block[name] for block in blocks if block.get(name) is not None]

    def mean(self, part: str, name: str) -> float | None:
        """RETURNS (float | None): The mean of a score over the runs; None without
        one."""
        values = self.values(part, name)
        return statistics.fmean(values) if values else None


def group_rows(rows: Iterable[Row]) -> list[Recipe]:
    """Group the rows of finished runs by recipe, the best on the development data
    first.

    rows (Iterable[dict[str, Any]]): The rows. Those of failed runs are left out.
    RETURNS (list[Recipe]): The recipes. Among equal ones, the first comes first.
    """
    groups: dict[str, Recipe] = {}
    for row in rows:
        if "dev" in row:
            text = json.dumps(row["overrides"], sort_keys=True)
            groups.setdefault(text, Recipe(row["overrides"], [])).rows.append(row)
    return sorted(groups.values(), key=lambda recipe: -(recipe.mean("dev", "f") or 0.0))


def write_results(folder: Path, rows: Sequence[Row]) -> None:
    """Write the rows, the table and the page of a sweep.

    folder (Path): The folder of the sweep.
    rows (Sequence[dict[str, Any]]): The rows, in the order of the runs.
    """
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_bytes(folder / RESULTS, text.encode("utf8"))
    recipes = group_rows(rows)
    write_bytes(folder / TABLE, format_recipes(recipes).encode("utf8"))
    if recipes:
        with replaced_file(folder / PAGE) as fresh:
            fresh.write_text(_page(recipes), encoding="utf8", errors="replace")


def varied_keys(recipes: Sequence[Recipe]) -> list[str]:
    """RETURNS (list[str]): The settings that any recipe sets, in order."""
    return list(dict.fromkeys(key for each in recipes for key in each.overrides))


def short_names(keys: Sequence[str]) -> list[str]:
    """Shorten dotted keys as far as they stay distinct.

    keys (Sequence[str]): The keys.
    RETURNS (list[str]): Their last parts.
    """
    for count in range(1, max((key.count(".") for key in keys), default=0) + 1):
        names = [".".join(key.split(".")[-count:]) for key in keys]
        if len(set(names)) == len(names):
            return names
    return list(keys)


def format_recipes(recipes: Sequence[Recipe]) -> str:
    """Format the results of recipes as a Markdown table.

    recipes (Sequence[Recipe]): The recipes, in the order of the rows.
    RETURNS (str): The table, with means over the runs, and their standard deviation for
        the F1 of several runs.
    """
    keys = varied_keys(recipes)
    columns: list[tuple[str, Callable[[Recipe], str]]] = [
        ("runs", lambda recipe: str(len(recipe.rows))),
        ("dev F1", lambda recipe: _spread(recipe.values("dev", "f"))),
        ("nested F1", lambda recipe: _share(_nested(recipe, "dev"))),
        ("ECE", lambda recipe: _number(recipe.mean("dev", "ece"), 3)),
        (
            "tokens/s",
            lambda recipe: _number(recipe.mean("dev", "tokens_per_second"), 0),
        ),
        ("minutes", lambda recipe: _number(recipe.mean("", "minutes"), 1)),
    ]
    if any(recipe.values("test", "f") for recipe in recipes):
        columns += [
            ("test F1", lambda recipe: _spread(recipe.values("test", "f"))),
            ("test nested F1", lambda recipe: _share(_nested(recipe, "test"))),
            ("test ECE", lambda recipe: _number(recipe.mean("test", "ece"), 3)),
        ]
    names = [f"`{name}`" for name in short_names(keys)]
    lines = [[*names, *(name for name, _ in columns)]]
    lines.append(["---"] * len(lines[0]))
    for recipe in recipes:
        shown = [
            _cell(recipe.overrides[k]) if k in recipe.overrides else "" for k in keys
        ]
        lines.append([*shown, *(make(recipe) for _, make in columns)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _nested(recipe: Recipe, part: str) -> float | None:
    """The mean F1 of nested spans, if there are any."""
    return (
        recipe.mean(part, "nested_f")
        if any(recipe.values(part, "nested_gold"))
        else None
    )


def _spread(scores: Sequence[float]) -> str:
    if not scores:
        return ""
    mean = percent(statistics.fmean(scores), 1)
    return (
        mean if len(scores) == 1 else f"{mean} ± {percent(statistics.stdev(scores), 1)}"
    )


def _share(score: float | None) -> str:
    return "" if score is None else percent(score, 1)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cell(value: Any) -> str:
    return f"`{_value(value)}`".replace("|", "\\|").replace("\n", " ")


# The page


def sweep_plots(recipes: Sequence[Recipe]) -> list[tuple[str, str]]:
    """Plot the results of recipes on the development data.

    recipes (Sequence[Recipe]): The recipes.
    RETURNS (list[tuple[str, str]]): Titles and SVG elements: the scores of the recipes
        with their ranges over the runs (of a single run: its bootstrap interval); the
        scores over the minutes of training; and over each setting with several values.
    """
    rows = []
    for recipe in recipes:
        scores = recipe.values("dev", "f")
        low, high = min(scores), max(scores)
        if len(scores) == 1:
            low, high = recipe.rows[0]["dev"]["interval"]
        rows.append((_describe(recipe, recipes), statistics.fmean(scores), low, high))
    plots = [("Recipes", interval_plot("F1 on the development data", rows))]
    points = [
        (
            row["minutes"],
            row["dev"]["f"],
            f"{_describe(recipe, recipes)}, seed {row['seed']}",
        )
        for recipe in recipes
        for row in recipe.rows
        if row.get("minutes") is not None
    ]
    if points:
        plots.append(("Time", _scatter("minutes of training", points)))
    keys = varied_keys(recipes)
    for key, name in zip(keys, short_names(keys), strict=True):
        found = [recipe for recipe in recipes if key in recipe.overrides]
        values = list(
            {_value(r.overrides[key]): r.overrides[key] for r in found}.values()
        )
        if len(values) > 1:
            plots.append((name, _setting_plot(key, name, values, found)))
    return plots


def _setting_plot(
    key: str, name: str, values: Sequence[Any], recipes: Sequence[Recipe]
) -> str:
    """The scores by the value of a setting. Values that are no numbers have places in
    the order of the sweep."""
    numeric = all(type(value) in (int, float) for value in values)
    # Learning rates and ranks grow by factors.
    positive = numeric and min(values) > 0 and max(values) >= 8 * min(values)
    label = f"log10 of {name}" if positive else name
    if not numeric:
        listed = ", ".join(f"{i}: {_value(v)}" for i, v in enumerate(values))
        label = f"{name} ({listed})"[:60]

    def place(value: Any) -> float:
        if positive:
            return math.log10(value)
        return float(value) if numeric else float(list(values).index(value))

    points = [
        (place(recipe.overrides[key]), score, _describe(recipe, recipes))
        for recipe in recipes
        for score in recipe.values("dev", "f")
    ]
    return _scatter(label, points)


def _scatter(label: str, points: Sequence[tuple[float, float, str]]) -> str:
    """Dots of F1, with the mean of each place."""
    places = sorted({x for x, _, _ in points})
    scores = [y for _, y, _ in points]
    room = max(0.01, (max(scores) - min(scores)) * 0.15)
    low, high = max(0.0, min(scores) - room), min(1.0, max(scores) + room)
    width = (places[-1] - places[0]) or abs(places[0]) or 1.0
    plot = Plot(
        f"F1 on the development data, by {label}",
        label,
        "dev F1",
        (places[0] - 0.05 * width, places[-1] + 0.05 * width),
        (low, high),
    )
    means = [
        (x, statistics.fmean(y for place, y, _ in points if place == x)) for x in places
    ]
    if len(places) < len(points):
        plot.line(means, "main")
    tips = [f"{text}: F1 {percent(y)}" for _, y, text in points]
    plot.dots([(x, y) for x, y, _ in points], "main", tips)
    return plot.svg()


def _describe(recipe: Recipe, recipes: Sequence[Recipe]) -> str:
    keys = varied_keys(recipes)
    names = dict(zip(keys, short_names(keys), strict=True))
    shown = [f"{names[k]}={_value(v)}" for k, v in recipe.overrides.items()]
    return ", ".join(shown) or "config"


def _page(recipes: Sequence[Recipe]) -> str:
    from importlib.resources import files

    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("spacy_genner.evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = files("spacy_genner.evaluation") / "templates" / "report.css"
    table = [
        [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in format_recipes(recipes).splitlines()
    ]
    return environment.get_template("sweep.html.jinja").render(
        head=table[0],
        rows=table[2:],
        plots=[(title, Markup(svg)) for title, svg in sweep_plots(recipes)],
        runs=sum(len(recipe.rows) for recipe in recipes),
        style=Markup(style.read_text(encoding="utf8")),
    )
