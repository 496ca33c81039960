"""How many steps a config makes on its corpus."""

from itertools import islice
from typing import Any

from spacy.language import Language
from spacy.training.loop import create_train_batches
from spacy.util import load_model_from_config, registry, resolve_dot_names
from thinc.api import Config, fix_random_seed

from ..errors import Errors
from .schedules import NAME


def fill_total_steps(config: Config, known: dict[str, Any] | None = None) -> int | None:
    """Set `total_steps` of the cosine schedules of a config where it is 0.

    config (Config): A config, not interpolated; changed in place.
    known (Optional[Dict[str, Any]]): The flat config of a run that goes on: what was
        counted for it is taken over, as its learning rates hang on it.
    RETURNS (Optional[int]): The number that was set; None where there was none to set.
    RAISES (ValueError): The config sets no end to the training.
    """
    places = [
        place
        for place in _schedules(config.get("training", {}), "training")
        if _is_open(config, place)
    ]
    if not places:
        return None
    total = None
    steps = 0
    for place in places:
        found = (known or {}).get(f"{place}.total_steps")
        if found is None:
            total = total or count_steps(config)
            found = total
        steps = int(found)
        section: Any = config
        for key in place.split("."):
            section = section[key]
        section["total_steps"] = steps
    return steps


def count_steps(config: Config) -> int:
    """Count the optimizer steps that `spacy train` makes of a config, apart from
    `patience`.

    config (Config): The config, not interpolated.
    RETURNS (int): The steps.
    RAISES (ValueError): The config sets no end to the training.
    """
    training = config.interpolate()["training"]
    max_epochs = int(training.get("max_epochs", 0))
    max_steps = int(training.get("max_steps", 20000))
    # spaCy makes step 0 and step `max_steps`.
    most = max_steps + 1 if max_steps else None
    if max_epochs <= 0:
        if most is None:
            raise ValueError(Errors.G316.format())
        return most
    nlp = load_model_from_config(config, auto_fill=True)
    return len(epoch_sizes(nlp, max_epochs, most))


def epoch_sizes(
    nlp: Language, max_epochs: int, most: int | None = None
) -> list[tuple[int, int]]:
    """The batches that a training run will meet, without a model.

    nlp (Language): The pipeline with the whole config.
    max_epochs (int): How many epochs, from 1.
    most (Optional[int]): At most so many batches.
    RETURNS (List[Tuple[int, int]]): Epoch and number of examples of each.
    """
    config = nlp.config.interpolate()
    training = config["training"]
    (corpus,) = resolve_dot_names(config, [training["train_corpus"]])
    batcher = registry.resolve({"batcher": training["batcher"]})["batcher"]
    if training["seed"] is not None:
        fix_random_seed(training["seed"])
    batches = create_train_batches(nlp, corpus, batcher, max_epochs)
    return [(epoch, len(batch)) for epoch, batch in islice(batches, most)]


def _schedules(section: Any, place: str) -> list[str]:
    """The places of the cosine schedules below a section, dotted."""
    if not isinstance(section, dict):
        return []
    if section.get("@schedules") == NAME:
        return [place]
    return [
        found
        for key, value in section.items()
        for found in _schedules(value, f"{place}.{key}")
    ]


def _is_open(config: Config, place: str) -> bool:
    section: Any = config.interpolate()
    for key in place.split("."):
        section = section[key]
    return str(section.get("total_steps", 0)) in ("0", "0.0")
