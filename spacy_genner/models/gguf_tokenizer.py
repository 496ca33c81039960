"""The tokenizer of a GGUF file.

transformers reads the vocabulary of a file, and not the rules by which the tokenizer
splits and normalizes a text. This module adds them, and refuses a tokenizer whose rules
it does not know.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Token types in GGUF.
_USER_DEFINED = 4


class _Splitter(NamedTuple):
    """How a byte-level tokenizer prepares a text.

    pattern (str | None): The regular expression of the words. None is that of GPT-2.
    digits (bool): Whether each digit is a word of its own.
    whole_words (bool): Whether a word of the vocabulary needs no merges.
    nfc (bool): Whether characters are composed first.
    begins (bool): Whether a text begins with a control token if the file is silent.
    """

    pattern: str | None = None
    digits: bool = False
    whole_words: bool = False
    nfc: bool = False
    begins: bool = False


_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _Splitter(_WORDS % "{1,3}", whole_words=True, begins=True)
_GPT2_DIGITS = _Splitter(digits=True)
# By the names of pre-tokenizers in GGUF.
_SPLITTERS = {
    "gpt-2": _Splitter(),
    "smollm": _GPT2_DIGITS,
    "starcoder": _GPT2_DIGITS,
    "refact": _GPT2_DIGITS,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama-bpe": _LLAMA3,
    "falcon3": _LLAMA3,
    "qwen2": _Splitter(_WORDS % "", nfc=True),
    "deepseek-r1-qwen": _Splitter(_WORDS % ""),
    "tekken": _Splitter(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        whole_words=True,
        begins=True,
    ),
}
_BYTE_LEVEL, _SENTENCEPIECE = "gpt2", "llama"
_GEMMAS = ("gemma2", "gemma3")


def read_tokenizer_of_gguf(file: Path, reader: Any, metadata: Mapping[str, Any]) -> Any:
    """Read the tokenizer of a file, with its chat template.

    file (Path): The file.
    reader (GGUFReader): Reads the file.
    metadata (Mapping[str, Any]): Its fields by name, without long arrays.
    RETURNS (PreTrainedTokenizerFast): The tokenizer.
    RAISES (ValueError): The rules of the tokenizer are not known.
    """
    from transformers import PreTrainedTokenizerFast

    kind = metadata.get("tokenizer.ggml.model")
    splitter = _SPLITTERS.get(str(metadata.get("tokenizer.ggml.pre")))
    if kind not in (_BYTE_LEVEL, _SENTENCEPIECE):
        found = f"kind {kind!r}"
        known = f"{_BYTE_LEVEL}, {_SENTENCEPIECE}"
        raise ValueError(Errors.G356.format(file=file.name, found=found, known=known))
    if kind == _BYTE_LEVEL and splitter is None:
        found = f"pre-tokenizer {metadata.get('tokenizer.ggml.pre')!r}"
        known = ", ".join(sorted(_SPLITTERS))
        raise ValueError(Errors.G356.format(file=file.name, found=found, known=known))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(
        str(file.parent), gguf_file=file.name, local_files_only=True
    )
    backend = tokenizer.backend_tokenizer
    begins = True
    if kind == _BYTE_LEVEL:
        assert splitter is not None
        _set_splitter(backend, splitter)
        begins = splitter.begins
    elif metadata["general.architecture"] in _GEMMAS:
        _add_runs_of_spaces(backend, reader)
    else:
        prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
        _set_sentencepiece(backend, prefix)
    begins = bool(metadata.get("tokenizer.ggml.add_bos_token", begins))
    tokenizer.add_bos_token = begins and tokenizer.bos_token is not None
    tokenizer.add_eos_token = False
    # The place of the file is of no interest later.
    tokenizer.name_or_path = ""
    for key in ("name_or_path", "gguf_file", "local_files_only"):
        tokenizer.init_kwargs.pop(key, None)
    return tokenizer


def _set_splitter(backend: "Tokenizer", splitter: _Splitter) -> None:
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers

    steps: list[Any] = []
    if splitter.digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    if splitter.pattern is not None:
        steps.append(pre_tokenizers.Split(Regex(splitter.pattern), "isolated"))
    steps.append(
        pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=splitter.pattern is None
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    backend.decoder = decoders.ByteLevel()
    backend.normalizer = normalizers.NFC() if splitter.nfc else None
    backend.model.ignore_merges = splitter.whole_words


def _set_sentencepiece(backend: "Tokenizer", prefix: bool) -> None:
    """Write spaces as SentencePiece does: a space before the text if the file wants it,
    even if the text begins with one."""
    from tokenizers import decoders, normalizers

    steps: list[Any] = [normalizers.Replace(" ", "▁")]
    parts: list[Any] = [
        decoders.Replace("▁", " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
    ]
    if prefix:
        steps.insert(0, normalizers.Prepend("▁"))
        parts.append(decoders.Strip(" ", 1, 0))
    backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = None
    backend.decoder = decoders.Sequence(parts)


def _add_runs_of_spaces(backend: "Tokenizer", reader: Any) -> None:
    """Add the tokens of several spaces, which Gemma's tokenizer matches before it
    normalizes a text. The file has them with other characters."""
    from tokenizers import AddedToken

    kinds, tokens = (
        reader.fields[f"tokenizer.ggml.{key}"].contents()
        for key in ("token_type", "tokens")
    )
    runs = [
        "▁" * len(token)
        for token, kind in zip(tokens, kinds, strict=True)
        if kind == _USER_DEFINED and len(token) > 1 and set(token) in ({" "}, {"▁"})
    ]
    backend.add_tokens(
        [
            AddedToken(run, normalized=False, special=False)
            for run in runs
            if backend.token_to_id(run) is not None
        ]
    )
