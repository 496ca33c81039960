"""llama.cpp, through the optional package llama-cpp-python.

The model is the merged one in GGUF, quantized by llama.cpp.
"""

import ctypes
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from base import Context, Input, Output, System
from copy_grammars import ebnf
from merged_gguf import write_merged_gguf

from .generate import max_output_tokens, read_text
from .structured_output import make_rules, require_package


class LlamaCpp(System):
    """Greedy, one input at a time. llama.cpp reuses the part of the cache that the
    previous prompt shares with the next one.

    name (str): The name in the results.
    quantization (str): The type of the weights, in llama.cpp's terms.
    grammar (bool): Whether a grammar of each text constrains the output.
    """

    def __init__(self, name: str, quantization: str, grammar: bool = False):
        self.name = name
        self._quantization = quantization
        self._grammar = grammar

    def prepare(self, context: Context) -> None:
        require_package("llama_cpp")
        super().prepare(context)
        from llama_cpp import Llama

        inputs = context.inputs(context.dataset.sample)
        self._llama = Llama(
            model_path=str(self._model_file()),
            n_ctx=max(map(self._max_tokens, inputs), default=1),
            n_threads=context.settings.threads,
            n_threads_batch=context.settings.threads,
            verbose=False,
        )
        self._previous: list[int] = []

    def run(self, inputs: Sequence[Input]) -> list[Output]:
        return [self._run(each) for each in inputs]

    def _run(self, each: Input) -> Output:
        prompt = [*self.context.encoder.prefix_ids, *each.prompt]
        options: dict[str, Any] = {}
        started = time.perf_counter()
        if self._grammar:
            from llama_cpp import LlamaGrammar

            text = ebnf(make_rules(self.context, each))
            options["grammar"] = LlamaGrammar.from_string(text, verbose=False)
        compiling = time.perf_counter() - started
        ids: list[int] = []
        limit = self._max_tokens(each) - len(prompt)
        generated = self._llama.generate(
            prompt, temp=0.0, repeat_penalty=1.0, **options
        )
        for id_ in generated:
            if id_ == self.context.end_id or len(ids) >= limit:
                break
            ids.append(int(id_))
        cached = os.path.commonprefix([self._previous, prompt[:-1]])
        self._previous = [*prompt, *ids]
        output = self.context.tokenizer.decode(ids, skip_special_tokens=True)
        spans, well_formed = read_text(self.context, each, output)
        fed = len(prompt) - len(cached) + len(ids)
        return Output(spans, tuple(ids), len(ids) + 1, fed, well_formed, compiling)

    def _max_tokens(self, each: Input) -> int:
        """The most tokens of the prompt and the output together."""
        prompt = len(self.context.encoder.prefix_ids) + len(each.prompt)
        return prompt + max_output_tokens(each)

    def _model_file(self) -> Path:
        """The file of the model. The first run that needs it writes it."""
        folder = Path(self.context.settings.work)
        file = folder / f"{self._quantization}.gguf"
        if file.is_file():
            return file
        import llama_cpp

        merged = folder / "merged.gguf"
        if not merged.is_file():
            merged = write_merged_gguf(self.context.predictor.lm, folder)
        settings = llama_cpp.llama_model_quantize_default_params()
        types = {
            "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
            "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
        }
        settings.ftype = types[self._quantization]
        settings.nthread = self.context.settings.threads
        failed = llama_cpp.llama_model_quantize(
            str(merged).encode(), str(file).encode(), ctypes.byref(settings)
        )
        if failed:
            file.unlink(missing_ok=True)
            raise RuntimeError(
                f"llama.cpp could not quantize {merged} to {self._quantization}"
            )
        return file
