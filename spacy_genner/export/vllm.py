"""Checks of an adapter for vLLM, which supports fewer kinds than peft."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import Errors

# The values of vLLM's --max-lora-rank.
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Settings of peft that vLLM refuses or ignores. Each is neutral if it is absent, null,
# false or empty.
_UNSUPPORTED = {
    "use_dora": "it is a DoRA (use_dora)",
    "rank_pattern": "its layers have different ranks (rank_pattern)",
    "alpha_pattern": "its layers have different scales (alpha_pattern)",
    "modules_to_save": "it changes whole layers (modules_to_save)",
}


def max_lora_rank(config: Mapping[str, Any], where: Path) -> int:
    """Find the value of `--max-lora-rank` for an adapter.

    config (Mapping[str, Any]): The content of adapter_config.json.
    where (Path): The folder of the adapter, for the message.
    RETURNS (int): The smallest value of vLLM that is not below the adapter's rank.
    RAISES (ValueError): vLLM does not support the adapter.
    """
    for key, reason in _UNSUPPORTED.items():
        if config.get(key):
            raise ValueError(Errors.G846.format(path=where, reason=reason))
    rank = config.get("r")
    allowed = [each for each in RANKS if isinstance(rank, int) and 0 < rank <= each]
    if not allowed:
        reason = f"its rank is {rank!r}, and vLLM supports ranks up to {RANKS[-1]}"
        raise ValueError(Errors.G846.format(path=where, reason=reason))
    return allowed[0]
