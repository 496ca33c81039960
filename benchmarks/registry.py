"""The systems of the decoding benchmark, by name."""

from ablations import make_ablations
from base import Settings, System
from systems.decoders import Floor, make_decoders
from systems.encoders import make_encoders
from systems.generate import Generate, GrammarGenerate
from systems.llama_cpp import LlamaCpp
from systems.spacy_pipelines import PipelineDraft, SpacyPipeline
from systems.structured_output import Llguidance, Xgrammar


def make_systems(settings: Settings) -> dict[str, System]:
    """Make all systems. Nothing is loaded before `System.prepare`.

    settings (Settings): The settings of the run.
    RETURNS (dict[str, System]): The systems by name, the reference first.
    """
    systems: list[System] = [
        *make_decoders(),
        *(make_ablations() if settings.ideas else ()),
        Floor(),
        Generate("generate"),
        Generate("generate-batched", batched=True),
        Generate("generate-lookup", lookup=settings.lookup_tokens),
        GrammarGenerate("generate-grammar"),
        GrammarGenerate("generate-grammar-batched", batched=True),
        Xgrammar("generate-xgrammar"),
        Llguidance("generate-llguidance"),
        LlamaCpp("llama-q8_0", "Q8_0"),
        LlamaCpp("llama-q4_k_m", "Q4_K_M"),
        LlamaCpp("llama-q8_0-grammar", "Q8_0", grammar=True),
        LlamaCpp("llama-q4_k_m-grammar", "Q4_K_M", grammar=True),
        *(make_encoders() if settings.encoders else ()),
        *(PipelineDraft(path) for path in settings.also),
        *(SpacyPipeline(path) for path in settings.also),
    ]
    return {system.name: system for system in systems}
