"""The tokenizer of a base's folder."""

import json
from pathlib import Path
from typing import Any

from .gguf import MANIFEST

# trust_remote_code is false, not absent: else transformers asks at the terminal.
SAFE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# The settings that name control tokens.
NAMED = ("_token", "_special_tokens")


def read_tokenizer(folder: Path) -> Any:
    """Read a tokenizer.

    folder (Path): Holds its files.
    RETURNS (PreTrainedTokenizerBase): The tokenizer.
    RAISES (ValueError): transformers can't read it; other errors of its own as well.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not (folder / MANIFEST).is_file():
        return AutoTokenizer.from_pretrained(str(folder), **SAFE)
    # What transformers wrote itself is whole in tokenizer.json. `from_pretrained` reads
    # that file four times over: 2 of Gemma's 3 seconds.
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf8"))
    named = {key: settings[key] for key in settings if key.endswith(NAMED)}
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), **named
    )
