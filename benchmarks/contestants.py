"""What the benchmark of decoding asks of each contestant, and who they are.

A contestant is a small class: `prepare` makes ready what is not timed, `run` decodes
inputs and says for each what was found and what it took. A new one goes into
`make_contestants`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spacy_genner.formats import CharSpan

if TYPE_CHECKING:
    from decoding_room import Input, Room, Settings


class CannotRun(Exception):
    """A contestant can't run here; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What a contestant made of one input.

    spans (Tuple[CharSpan, ...]): What it found, in characters of the input's text.
    ids (Tuple[int, ...]): The output's token ids, without the one that ends it.
    passes (int): Forward passes that the input took part in.
    fed (int): Tokens that were run for it, padding left out.
    well_formed (Optional[bool]): Whether reading the output had nothing to repair;
        None where it is no text that is read.
    compiling (float): Seconds in which a grammar was compiled for this input.
    """

    spans: tuple[CharSpan, ...]
    ids: tuple[int, ...] = ()
    passes: int = 0
    fed: int = 0
    well_formed: bool | None = None
    compiling: float = 0.0


class Contestant:
    """One way to get spans from a trained model.

    name (str): How the results call it.
    slow (bool): Whether it runs on the sample alone.
    batched (bool): Whether it takes the batch size that was found to be the best.
    counted (bool): Whether its passes and tokens can be counted.
    """

    name: str
    slow = True
    batched = False
    counted = True

    def prepare(self, room: "Room") -> None:
        """Make ready: load, compile, whatever is not part of the work.

        room (Room): The pipeline and the documents.
        RAISES (CannotRun): Something is missing for it.
        """
        self.room = room

    def inputs(self, documents: Sequence[int]) -> list["Input"]:
        """RETURNS (List[Input]): What it runs on, of some documents."""
        return self.room.inputs(documents)

    def run(self, inputs: Sequence["Input"]) -> list[Answer]:
        """Decode. This is what is timed.

        inputs (Sequence[Input]): The inputs.
        RETURNS (List[Answer]): One answer for each, in their order.
        """
        raise AssertionError("abstract")


def make_contestants(settings: "Settings") -> dict[str, Contestant]:
    """Make all contestants; nothing is loaded by that.

    settings (Settings): Those of the run.
    RETURNS (Dict[str, Contestant]): By name, the reference first.
    """
    from contestants_engines import Llguidance, Xgrammar
    from contestants_generate import Generate, GrammarGenerate
    from contestants_llama import LlamaCpp
    from contestants_own import DECODERS, OTHER_DRAFTERS, Floor, Own
    from contestants_spacy import DraftedBy, SpacyPipeline
    from contestants_without import IDEAS

    made: list[Contestant] = [
        *(Own(name, decoder) for name, decoder in DECODERS.items()),
        *(Own(name, decoder, slow=True) for name, decoder in OTHER_DRAFTERS.items()),
        *(IDEAS if settings.ideas else ()),
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
        *(DraftedBy(path) for path in settings.also),
        *(SpacyPipeline(path) for path in settings.also),
    ]
    return {contestant.name: contestant for contestant in made}
