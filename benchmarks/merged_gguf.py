"""Write the model of a pipeline, with its adapter merged in, as a GGUF file, as `genner
export --to llama.cpp` does. A model that can't be written is one that a system does not
run."""

from pathlib import Path
from typing import Any

from base import NotAvailable

from spacy_genner.export.gguf import F16
from spacy_genner.export.gguf import write_merged_gguf as write


def write_merged_gguf(lm: Any, folder: Path) -> Path:
    """Write a component's model as GGUF, matrices in float16 and the rest in float32.

    lm (LanguageModel): The component's model.
    folder (Path): The output folder.
    RETURNS (Path): The file.
    RAISES (NotAvailable): The base or its adapter is not supported.
    """
    output = folder / "merged.gguf"
    try:
        write(lm, output, F16)
    except ValueError as error:
        output.unlink(missing_ok=True)
        raise NotAvailable(str(error)) from error
    return output
