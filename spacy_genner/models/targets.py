"""Which layers of a network an adapter changes."""

from torch import nn

from ..errors import Errors
from .settings import ALL_LINEAR
from .store import text_decoder


def target_names(network: nn.Module, targets: str | tuple[str, ...]) -> list[str]:
    """The layers to adapt, in the short form that peft itself writes.

    network (nn.Module): A network without an adapter.
    targets (str | tuple[str, ...]): "all-linear" or last parts of names.
    RETURNS (list[str]): Last parts of names where these say it all, full names where
        a layer outside the text decoder has the same.
    RAISES (ValueError): If the text decoder has no such linear layer.
    """
    decoder = text_decoder(network)
    linears = linear_layers(decoder)
    if targets == ALL_LINEAR:
        chosen = list(linears)
        missing = [] if chosen else [ALL_LINEAR]
    else:
        suffixes = tuple(targets)
        chosen = [name for name in linears if _ends(name, suffixes)]
        missing = [
            suffix
            for suffix in suffixes
            if not any(_ends(name, (suffix,)) for name in linears)
        ]
    if missing:
        found = sorted({name.rsplit(".", 1)[-1] for name in linears})
        raise ValueError(
            Errors.G242.format(
                missing=missing[0], cls=type(network).__name__, found=", ".join(found)
            )
        )
    prefix = next(
        (f"{name}." for name, module in network.named_modules() if module is decoder),
        "",
    )
    full = {prefix + name for name in chosen}
    short = sorted({name.rsplit(".", 1)[-1] for name in chosen})
    reached = {name for name, _ in network.named_modules() if _ends(name, tuple(short))}
    return short if reached == full else sorted(full)


def _ends(name: str, suffixes: tuple[str, ...]) -> bool:
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in suffixes)


def linear_layers(decoder: nn.Module) -> dict[str, nn.Module]:
    """The linear layers of a text decoder.

    decoder (nn.Module): The text decoder of a network.
    RETURNS (dict[str, nn.Module]): Name within the decoder to layer.
    """
    return {
        name: module
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear)
    }
