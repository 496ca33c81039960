"""Generative named entity recognition for spaCy.

The names below are imported at first use, so that importing the package is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .formats import FORMATS, get_format
    from .pipeline.generative_ner import GenerativeNER
    from .pipeline.loading import load

__version__ = "0.1.0"
__all__ = ["FORMATS", "GenerativeNER", "__version__", "get_format", "load"]

_MODULES = {
    "FORMATS": "formats",
    "GenerativeNER": "pipeline.generative_ner",
    "get_format": "formats",
    "load": "pipeline.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .models.gc_pause import paused_gc

    with paused_gc():
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
