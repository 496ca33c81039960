"""The decoders as registered functions. Importing this loads no torch."""

from typing import Any


def make_draft_decoder(batch_tokens: int = 2048) -> Any:
    """`spacy-genner.DraftDecoder.v1`: drafts the output and checks it.

    batch_tokens (int): The most tokens (prompts and copies) of one batch.
    RETURNS (DraftDecoder): The decoder.
    """
    from .decoder import DraftDecoder

    return DraftDecoder(batch_tokens)


def make_step_decoder(batch_tokens: int = 2048) -> Any:
    """`spacy-genner.StepDecoder.v1`: the reference, one token a pass.

    batch_tokens (int): The most tokens (prompts and copies) of one batch.
    RETURNS (StepDecoder): The decoder.
    """
    from .decoder import StepDecoder

    return StepDecoder(batch_tokens)
