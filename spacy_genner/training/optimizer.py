"""The learning rate that suits an adapter: spaCy's default optimizer with it, and a
warning about an optimizer whose rate is much higher.

Adam moves each weight by about its learning rate, however small the gradient is. The
second factor of a new adapter is 0, so after the first update its entries all have the
size of the rate, and each output of a layer is a sum of `rank` of them, multiplied by
`alpha / rank`. An update therefore changes the outputs of all layers in proportion to
the rate times `alpha`, which is what these functions limit.
"""

from typing import Any

from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from thinc.api import Optimizer

from ..errors import Warnings, warn

# Measured with Gemma 3 270M: a rate of 3e-4 with the default alpha of 64.
RATE_TIMES_ALPHA = 3e-4 * 64
# The rate of spaCy's default optimizer.
MAX_RATE = 1e-3
# How many times the suitable rate may be exceeded without a warning: by a constant
# rate, and by the highest rate of a schedule, which usually has a warm-up and a decay.
CONSTANT_TOLERANCE = 1.5
SCHEDULE_TOLERANCE = 2.5


def suitable_rate(alpha: float) -> float:
    """Compute a constant learning rate of Adam that suits an adapter.

    alpha (float): The setting `lora.alpha` of the adapter.
    RETURNS (float): The rate, with two significant digits.
    """
    return float(f"{min(MAX_RATE, RATE_TIMES_ALPHA / alpha):.1e}")


def suitable_optimizer(default: dict[str, Any], alpha: float) -> dict[str, Any]:
    """Change the learning rate of an optimizer's config to one that suits an adapter.

    default (dict[str, Any]): The config `[training.optimizer]` of spaCy's defaults.
    alpha (float): The setting `lora.alpha` of the adapter.
    RETURNS (dict[str, Any]): A new config.
    """
    return {**default, "learn_rate": suitable_rate(alpha)}


def set_default_optimizer(nlp: Language, alpha: float) -> None:
    """Give a pipeline that is built in Python an optimizer that suits an adapter.

    spaCy's default is replaced in `nlp.config`. `nlp.initialize`, `nlp.update`,
    `nlp.create_optimizer` and `nlp.resume_training` use it, and it is saved with the
    pipeline. An optimizer of the pipeline's own stays, and so does the default if
    another component of the pipeline is trained with it. A pipeline that is made from a
    config file gets the optimizer of that file after its components are made.

    nlp (Language): The pipeline that the component is made for.
    alpha (float): The setting `lora.alpha` of the adapter.
    """
    # The property `nlp.config` would combine score weights before all components are
    # there.
    training = nlp._config.get("training", {})
    default = nlp.default_config["training"]["optimizer"]
    shared = any(isinstance(pipe, TrainablePipe) for _, pipe in nlp._components)
    if training.get("optimizer") == default and not shared:
        training["optimizer"] = suitable_optimizer(default, alpha)


def warn_if_rate_is_high(optimizer: Any, alpha: float, name: str) -> bool:
    """Warn about a learning rate of Adam that is too high for an adapter.

    optimizer (Any): The optimizer. Optimizers other than thinc's Adam and RAdam have
        rates on another scale, and are not checked.
    alpha (float): The adapter's `lora.alpha`.
    name (str): The name of the component.
    RETURNS (bool): Whether the warning was issued.
    """
    if not isinstance(optimizer, Optimizer) or not (optimizer.b1 and optimizer.b2):
        return False
    suitable = suitable_rate(alpha)
    is_scheduled = "learn_rate" in optimizer.schedules
    tolerance = SCHEDULE_TOLERANCE if is_scheduled else CONSTANT_TOLERANCE
    rate = float(optimizer.learn_rate)
    # A rate exactly at the limit is not above it, whatever the rounding.
    if rate <= tolerance * suitable * (1 + 1e-6):
        return False
    warn(
        Warnings.W409.format(
            rate=f"{rate:.2g}", suitable=f"{suitable:.2g}", alpha=alpha, name=name
        )
    )
    return True
