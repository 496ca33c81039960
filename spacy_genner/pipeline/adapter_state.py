"""What a component takes over from the state that an adapter was saved with.

An adapter works with the prompt that it was trained with, so labels, prompt and format
come from its state, and not from the config of the component.
"""

from dataclasses import replace
from pathlib import Path

from ..errors import Errors, Warnings, warn
from .state import ComponentState


def read_adapter_state(
    path: Path, adapter: str, component: str, format: str, message: str
) -> ComponentState:
    """Read the state that an adapter was saved with.

    path (Path): The file of the state.
    adapter (str): The name of the adapter, for the message.
    component (str): The name of the component, for the message.
    format (str): The output format of the component.
    message (str): The message if the adapter was trained with another format.
    RETURNS (ComponentState): The state.
    RAISES (ValueError): The file is damaged, or the format is another one.
    """
    saved = ComponentState.from_bytes(path.read_bytes())
    if saved.format != format:
        raise ValueError(
            message.format(
                name=adapter, saved=saved.format, component=component, found=format
            )
        )
    return saved


def warn_of_differences(
    configured: ComponentState, saved: ComponentState, component: str
) -> None:
    """Warn of settings of a config that saved settings replace.

    configured (ComponentState): The state of the config.
    saved (ComponentState): The saved state.
    component (str): The name of the component.
    """
    for key, found, other in configured.differences(saved):
        warn(Warnings.W404.format(key=key, found=found, saved=other, name=component))


def fit_adapter_state(
    saved: ComponentState,
    adapter: str,
    base: str,
    checksum: str,
    labels: dict[str, str],
) -> ComponentState:
    """Check that an adapter fits the base of a component, and complete its state with
    the labels of the component if it takes any labels.

    saved (ComponentState): The state that the adapter was saved with.
    adapter (str): The name of the adapter, for the message.
    base (str): The name of the component's base.
    checksum (str): The checksum of that base.
    labels (dict[str, str]): The labels of the component, for an adapter that takes any.
    RETURNS (ComponentState): The state.
    RAISES (ValueError): The adapter was trained for another base.
    """
    if saved.checksum != checksum:
        raise ValueError(
            Errors.G862.format(
                name=adapter,
                tuned_on=saved.base,
                saved=saved.checksum,
                base=base,
                found=checksum,
            )
        )
    chosen = labels if saved.any_labels else {}
    return replace(saved, labels=chosen or saved.labels, base=base)


def adopt_served_state(
    own: ComponentState, tuned: ComponentState, component: str, base: str
) -> ComponentState:
    """Take over the labels and the prompt that an adapter on a server was tuned on.

    own (ComponentState): The state of the config.
    tuned (ComponentState): The state of the adapter.
    component (str): The name of the component.
    base (str): The name of the model on the server.
    RETURNS (ComponentState): The state.
    RAISES (ValueError): The adapter was tuned on another format.
    """
    if tuned.format != own.format:
        raise ValueError(
            Errors.G850.format(
                base=base, name=component, expected=tuned.format, found=own.format
            )
        )
    warn_of_differences(own, tuned, component)
    chosen = own.labels if tuned.any_labels else {}
    return replace(tuned, labels=chosen or tuned.labels, base=base)
