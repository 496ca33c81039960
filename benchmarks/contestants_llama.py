"""llama.cpp, through llama-cpp-python where it is installed: the merged model in GGUF,
quantised by llama.cpp itself."""

import ctypes
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contestants import Answer, Contestant
from contestants_engines import need, rules_of
from contestants_generate import ROOM, read_text
from copy_grammars import ebnf
from decoding_room import Input, Room
from merged_gguf import write_merged


class LlamaCpp(Contestant):
    """Greedy, one input at a time. llama.cpp keeps the prompt's beginning of its own
    accord as long as the next one has it too.

    name (str): How the results call it.
    kind (str): The weights, as llama.cpp calls them.
    grammar (bool): Whether it is held to a grammar of each text.
    """

    def __init__(self, name: str, kind: str, grammar: bool = False):
        self.name = name
        self._kind = kind
        self._grammar = grammar

    def prepare(self, room: Room) -> None:
        need("llama_cpp")
        super().prepare(room)
        from llama_cpp import Llama

        longest = max(map(self._longest, room.inputs(room.gold.sample)), default=1)
        self._llama = Llama(
            model_path=str(self._file()),
            n_ctx=longest,
            n_threads=room.settings.threads,
            n_threads_batch=room.settings.threads,
            verbose=False,
        )
        self._before: list[int] = []

    def run(self, inputs: Sequence[Input]) -> list[Answer]:
        return [self._run(each) for each in inputs]

    def _run(self, each: Input) -> Answer:
        prompt = [*self.room.encoder.prefix_ids, *each.prompt]
        given: dict[str, Any] = {}
        began = time.perf_counter()
        if self._grammar:
            from llama_cpp import LlamaGrammar

            text = ebnf(rules_of(self.room, each))
            given["grammar"] = LlamaGrammar.from_string(text, verbose=False)
        compiling = time.perf_counter() - began
        ids: list[int] = []
        room = self._longest(each) - len(prompt)
        for id_ in self._llama.generate(prompt, temp=0.0, repeat_penalty=1.0, **given):
            if id_ == self.room.end_id or len(ids) >= room:
                break
            ids.append(int(id_))
        kept = os.path.commonprefix([self._before, prompt[:-1]])
        self._before = [*prompt, *ids]
        output = self.room.tokenizer.decode(ids, skip_special_tokens=True)
        spans, fine = read_text(self.room, each, output)
        fed = len(prompt) - len(kept) + len(ids)
        return Answer(spans, tuple(ids), len(ids) + 1, fed, fine, compiling)

    def _longest(self, each: Input) -> int:
        """Prompt and output at most."""
        times, more = ROOM
        prompt = len(self.room.encoder.prefix_ids) + len(each.prompt)
        return prompt + times * len(each.source.flat_ids) + more

    def _file(self) -> Path:
        """The model's file; made by the first run that needs it."""
        folder = Path(self.room.settings.work)
        file = folder / f"{self._kind}.gguf"
        if file.is_file():
            return file
        import llama_cpp

        merged = folder / "merged.gguf"
        if not merged.is_file():
            merged = write_merged(self.room.runtime.lm, folder)
        settings = llama_cpp.llama_model_quantize_default_params()
        kinds = {
            "Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
            "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
        }
        settings.ftype = kinds[self._kind]
        settings.nthread = self.room.settings.threads
        failed = llama_cpp.llama_model_quantize(
            str(merged).encode(), str(file).encode(), ctypes.byref(settings)
        )
        if failed:
            file.unlink(missing_ok=True)
            raise RuntimeError(f"llama.cpp did not make {self._kind} of {merged}")
        return file
