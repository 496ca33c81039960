"""Write the folder that a server and its client need for a tuned adapter."""

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thinc.api import Config

from ..config.settings import WindowSettings
from ..errors import Errors
from ..io import check_unused, expand_home, replaced_folder
from ..models.adapter_files import (
    AdapterFiles,
    read_adapter_and_base,
    write_adapter,
    write_base,
)
from ..models.base_model import BaseSource
from ..models.licenses import NOTICE_FILE, SOURCES_FILE, LicenseNotes
from ..models.tokenization import TokenAlignedEncoder
from ..pipeline.generative_ner import ADAPTER_FOLDER
from ..pipeline.state import STATE_FILE
from ..prompts.encoder import resolve_chat
from ..prompts.examples import FirstDemonstrations
from ..prompts.layout import OUTPUT_FACTOR
from .gguf import F16, write_merged_gguf
from .peft import BASE_FOLDER
from .served import (
    LLAMA_CPP,
    TOKENIZER_FOLDER,
    VLLM,
    ServedAdapter,
    find_component,
    license_notes,
    read_component_config,
    read_served,
)
from .vllm import max_lora_rank

README, SCRIPT = "README.md", "serve.sh"
GGUF_FILE = "model.gguf"
# The default ports of vLLM and llama-server.
PORTS = {VLLM: 8000, LLAMA_CPP: 8080}
# Requests that llama-server answers at a time. Each has a context of its own.
_PARALLEL = 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# A context length is a multiple of this.
_STEP = 256
# The settings of a component that decide how its client cuts and writes documents.
_CLIENT_SETTINGS = (
    "spans_key",
    "set_ents",
    "overwrite_ents",
    "min_score",
    "max_depth",
    "window",
    "demonstrations",
)


@dataclass(frozen=True)
class Export:
    """The result of an export.

    folder (Path): The folder.
    served (ServedAdapter): What its client needs to know.
    command (str): The command that starts the server.
    component (dict[str, Any]): The config of the client's component.
    notes (LicenseNotes): The licenses of the base and of the adapter that training
        started from.
    readme (str): How to serve and use it.
    """

    folder: Path
    served: ServedAdapter
    command: str
    component: dict[str, Any]
    notes: LicenseNotes

    @property
    def readme(self) -> str:
        return _readme(self)


def export_adapter(
    model: Path,
    output: Path,
    server: str,
    quantization: str = F16,
    name: str | None = None,
) -> Export:
    """Write a tuned adapter for a server, with what its client needs.

    model (Path): A saved component, or a saved pipeline with one such component.
    output (Path): A new or empty folder. It receives `genner.json`, `tokenizer`,
        `serve.sh`, `README.md` and the files with licenses; for vLLM also `base` and
        `adapter`, for llama.cpp `model.gguf`.
    server (str): "vllm" or "llama.cpp".
    quantization (str): The dtype of matrices in the GGUF file: "f16", or "q8_0", which
        is half as large and changes some spans.
    name (str | None): The name of the model on the server. None for that of the output
        folder.
    RETURNS (Export): The folder, and how it is served.
    RAISES (ValueError): The adapter is missing or damaged, the server does not support
        it, or the output folder is not empty.
    RAISES (OSError): The output can't be written. No unfinished output is left.
    """
    from ..models.base_model import read_tokenizer

    model = Path(model)
    output = Path(os.path.realpath(expand_home(output)))
    name = output.name if name is None else name
    if not _NAME.fullmatch(name):
        raise ValueError(Errors.G845.format(found=name))
    check_unused(output)
    place = find_component(model)
    state = read_served(place).state
    files, source = read_adapter_and_base(place)
    rank = max_lora_rank(files.config, place) if server == VLLM else 0
    component = read_component_config(place)
    tokenizer = read_tokenizer(source.folder)
    served = ServedAdapter(
        output,
        # The config of the adapter has the name of the base that it was tuned on.
        replace(state, base=str(files.config["base_model_name_or_path"])),
        _is_chat(tokenizer, state.prompt.chat, component),
        server,
        name,
        1,
    )
    served = replace(
        served, context_length=_context_length(served, source, tokenizer, component)
    )
    command = serve_command(served, rank)
    notes = license_notes(served.state, component)
    export = Export(output, served, command, _client_config(served, component), notes)
    with replaced_folder(output) as fresh:
        if server == VLLM:
            write_base(source.folder, fresh / BASE_FOLDER)
            adapter = files.with_base(str(output / BASE_FOLDER))
            write_adapter(adapter, fresh / ADAPTER_FOLDER)
        else:
            _write_gguf(files, source, fresh / GGUF_FILE, quantization, place)
        tokenizer.save_pretrained(fresh / TOKENIZER_FOLDER)
        text = json.dumps(served.to_json(), indent=2, ensure_ascii=False)
        (fresh / STATE_FILE).write_text(text + "\n", encoding="utf8")
        (fresh / README).write_text(export.readme, encoding="utf8")
        notes.write(fresh)
        script = f'#!/bin/sh\ncd "$(dirname "$0")" || exit 1\nexec {command} "$@"\n'
        (fresh / SCRIPT).write_text(script, encoding="utf8")
        (fresh / SCRIPT).chmod(0o755)
    return export


def _write_gguf(
    files: AdapterFiles, source: BaseSource, file: Path, quantization: str, place: Path
) -> None:
    from ..models.language_model import LanguageModel

    # The base is merged in float32, whatever the component decodes in.
    lm = LanguageModel(
        source.name, source.revision, dtype="float32", device="cpu", merge=True
    )
    lm.use_adapter(files, str(place))
    write_merged_gguf(lm, file, quantization)


def _is_chat(tokenizer: Any, chat: bool | str, component: Mapping[str, Any]) -> bool:
    """Whether the adapter was tuned on turns of a chat, as the local predictor decides
    it."""
    auto = component["model"].get("lora") is None
    error = Errors.G113.format(name="the base")
    return resolve_chat(tokenizer, chat, auto, error) is not None


def _context_length(
    served: ServedAdapter,
    source: BaseSource,
    tokenizer: Any,
    component: Mapping[str, Any],
) -> int:
    """The tokens of the longest prompt with its output, as far as the base has
    positions for them."""
    config = json.loads((source.folder / "config.json").read_text("utf8"))
    config = config.get("text_config") or config
    limit = config.get("max_position_embeddings")
    window = WindowSettings.from_config(dict(component["window"]))
    encode = TokenAlignedEncoder(tokenizer)
    # Demonstrations that are selected for each text are as long as the first ones.
    layout = served.state.layout(FirstDemonstrations(), tuned=True)
    fixed = len(encode.begin_ids) + sum(map(len, map(encode, _parts(layout))))
    needed = fixed + (layout.readings + OUTPUT_FACTOR) * window.max_tokens + 1
    rounded = -(-needed // _STEP) * _STEP
    return min(rounded, limit) if isinstance(limit, int) else rounded


def _parts(layout: Any) -> list[str]:
    return [layout.prefix, *layout.around()]


def serve_command(served: ServedAdapter, rank: int) -> str:
    """Make the command that starts the server, relative to the folder of the export.

    served (ServedAdapter): The export.
    rank (int): The value of vLLM's `--max-lora-rank`.
    RETURNS (str): The command for a shell. The server only accepts connections from its
        own machine.
    """
    name, length = str(served.model), served.context_length or 0
    address = ["--host", "127.0.0.1", "--port", str(PORTS[str(served.server)])]
    if served.server == VLLM:
        words = ["vllm", "serve", f"./{BASE_FOLDER}"]
        words += ["--served-model-name", f"{name}-base"]
        words += ["--enable-lora", "--lora-modules", f"{name}=./{ADAPTER_FOLDER}"]
        words += ["--max-lora-rank", str(rank), "--max-model-len", str(length)]
        # Sampling settings of the base would change the outputs.
        words += ["--dtype", "bfloat16", "--generation-config", "vllm"]
    else:
        words = ["llama-server", "--model", f"./{GGUF_FILE}", "--alias", name]
        words += ["--ctx-size", str(_PARALLEL * length), "--parallel", str(_PARALLEL)]
    return shlex.join([*words, *address])


def _client_config(
    served: ServedAdapter, component: Mapping[str, Any]
) -> dict[str, Any]:
    model = {
        "@architectures": "spacy-genner.OpenAICompatible.v1",
        "name": served.model,
        "adapter": str(served.folder),
        "base_url": f"http://127.0.0.1:{PORTS[str(served.server)]}/v1",
        "api_key_env": None,
    }
    state = served.state
    return {
        "format": state.format,
        "readings": state.readings,
        **{key: component[key] for key in _CLIENT_SETTINGS},
        "model": model,
    }


def _readme(export: Export) -> str:
    served, state = export.served, export.served.state
    block = {"factory": "generative_ner", **export.component}
    shown = Config({"components": {"generative_ner": block}})
    blocks = "\n".join(
        line
        for line in shown.to_str(interpolate=False).splitlines()
        if line != "[components]"
    )
    files = {
        VLLM: f"`{BASE_FOLDER}` and `{ADAPTER_FOLDER}` (the base and the LoRA adapter)",
        LLAMA_CPP: f"`{GGUF_FILE}` (the base with the adapter merged in)",
    }[str(served.server)]
    notes = {
        VLLM: "The name of the model is that of the LoRA adapter; the base alone is "
        f"`{served.model}-base`.",
        LLAMA_CPP: f"Each of the {_PARALLEL} requests at a time has a context of "
        f"{served.context_length} tokens. llama-cpp-python's server takes prompts as "
        "text only, so some of them are split into other tokens:\n\n"
        f"    python -m llama_cpp.server --model {GGUF_FILE} --model_alias "
        f"{served.model} --n_ctx {served.context_length}",
    }[str(served.server)]
    return f"""# {served.model}

A named entity recognizer for {served.server}, written by `genner export`.

- Labels: {", ".join(state.labels)}
- Format: `{state.format}`
- Base: `{state.base}`

The server needs {files}. Its client needs `{STATE_FILE}` and `{TOKENIZER_FOLDER}`.

## Serve

    ./{SCRIPT}

which runs

    {export.command}

{notes}

## Use

In the config of a pipeline:

```ini
{blocks.strip()}
```

## License

{_licenses(export)}
"""


def _licenses(export: Export) -> str:
    """What applies to those who share the folder."""
    kept = [f"`{SOURCES_FILE}`"] + [f"`{NOTICE_FILE}`"] * bool(export.notes.notices)
    contained = {VLLM: f"`{BASE_FOLDER}`", LLAMA_CPP: f"`{GGUF_FILE}`"}
    first = (
        f"{contained[str(export.served.server)]} contains the weights of the base, so "
        f"its license applies to this folder. Keep {' and '.join(kept)} with copies."
    )
    return "\n\n".join([first, *(f"- {source}" for source in export.notes.sources)])
