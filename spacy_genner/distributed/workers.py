"""The classes of the actors that hold a pipeline, for `Dataset.map_batches`."""

import json
import platform
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spacy
from spacy.util import import_file

from ..errors import Errors, GennerWarning
from ..pipeline.loading import find_spans_key, load_pipeline
from ..pipeline.texts import InputText, annotate_stream, to_record
from .inputs import PARQUET, TEXT_COLUMN, Part, PartReader
from .outputs import OutputFolder, add_columns, result_columns

if TYPE_CHECKING:
    import numpy
    import pyarrow

MAX_ATTEMPTS = 10


class PipelineWorker:
    """A pipeline in a process of its own.

    model (str): The folder of the pipeline, or the name of its package.
    spans_key (str | None): The key of the span group. Defaults to that of the
        generative component.
    batch_size (int | None): The number of documents that the pipeline processes
        together. Defaults to that of the pipeline.
    threads (int | None): The number of threads that torch computes with. Defaults to
        the number of CPUs that Ray gives to the actor.
    code (str | None): A Python file with registered functions.
    RAISES (ValueError): The pipeline can't be loaded.
    """

    def __init__(
        self,
        model: str,
        spans_key: str | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        code: str | None = None,
    ):
        set_threads(threads)
        if _has_gpu():
            # Other components of the pipeline use the GPU through thinc.
            spacy.prefer_gpu()
        if code is not None:
            import_code(code)
        self.nlp = load_pipeline(model)
        self.spans_key = spans_key or find_spans_key(self.nlp, model)
        self.batch_size = batch_size

    def memory_zone(self) -> AbstractContextManager[Any]:
        """Free the strings of texts at the end of a block. Otherwise the vocabulary
        grows with the corpus.

        RETURNS (AbstractContextManager[Any]): The block. Docs that are made in it may
            not be used after it.
        """
        factories = {self.nlp.get_pipe_meta(n).factory for n in self.nlp.pipe_names}
        # The cache of spacy-llm keeps Docs.
        return nullcontext() if "llm" in factories else self.nlp.memory_zone()


def import_code(path: str | Path) -> None:
    """Import a Python file with registered functions.

    path (str | Path): The file.
    RAISES (ValueError): It can't be imported.
    """
    try:
        # The name that spaCy gives to such a file.
        import_file("python_code", path)
    except Exception as error:
        expected = f"a Python file that can be imported ({error!r})"
        raise ValueError(
            Errors.G836.format(name="code", found=str(path), expected=expected)
        ) from error


class Annotator(PipelineWorker):
    """Annotates batches of a Ray dataset. Pass the class to `Dataset.map_batches` with
    `batch_format="pyarrow"`; each actor of the pool then holds one pipeline.

        dataset.map_batches(
            Annotator,
            fn_constructor_kwargs={"model": "training/demo/model-best"},
            batch_format="pyarrow",
            batch_size=256,
            compute=ray.data.ActorPoolStrategy(size=2),
            num_cpus=1,
        )

    A batch keeps its rows and their order, and gets the columns `spans`, `status` and
    `issues`. A text that fails has the status "failed" and the reason under `issues`.

    model (str): The folder of the pipeline, or the name of its package. Each node needs
        it.
    text (str): The column with the texts.
    spans_key (str | None): The key of the span group. Defaults to that of the
        generative component.
    batch_size (int | None): The number of documents that the pipeline processes
        together. Defaults to that of the pipeline.
    threads (int | None): The number of threads that torch computes with. Defaults to
        the number of CPUs that Ray gives to the actor (`num_cpus`).
    code (str | None): A Python file with registered functions.
    RAISES (ValueError): The pipeline can't be loaded.
    """

    def __init__(
        self,
        model: str,
        *,
        text: str = TEXT_COLUMN,
        spans_key: str | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        code: str | None = None,
    ):
        super().__init__(model, spans_key, batch_size, threads, code)
        self.text = text

    def __call__(self, batch: "pyarrow.Table") -> "pyarrow.Table":
        """Annotate a batch.

        batch (pyarrow.Table): Rows with a column of texts.
        RETURNS (pyarrow.Table): The rows with the columns `spans`, a list of structs
            with `start` and `end` in characters, `label` and `score`; `status`; and
            `issues`. Columns with these names are replaced.
        RAISES (ValueError): The batch is no table, or lacks the texts.
        """
        import pyarrow

        if not isinstance(batch, pyarrow.Table):
            raise ValueError(
                Errors.G836.format(
                    name="The type of the batch",
                    found=type(batch).__name__,
                    expected="a table (batch_format='pyarrow')",
                )
            )
        if self.text not in batch.column_names:
            raise ValueError(
                Errors.G828.format(
                    column=self.text, path="a batch", found=batch.column_names
                )
            )
        texts = batch.column(self.text).to_pylist()
        for row, text in enumerate(texts, 1):
            if not isinstance(text, str):
                raise ValueError(
                    Errors.G827.format(
                        column=self.text, path="a batch", row=row, found=text
                    )
                )
        with self.memory_zone():
            inputs = (InputText(text, {}, None) for text in texts)
            stream = annotate_stream(self.nlp, self.spans_key, inputs, self.batch_size)
            records = [to_record(annotated, self.spans_key) for annotated in stream]
        return add_columns(batch, result_columns(records))


@dataclass(frozen=True)
class PartSettings:
    """The settings of the workers of a run.

    model (str): The folder of the pipeline, or the name of its package.
    output (str): The output folder.
    part_format (str): The format of the parts.
    identity (Mapping[str, Any]): The settings that the output depends on, by which a
        worker recognizes the folder.
    fields (Mapping[str, str]): The types of the fields of JSON objects.
    spans_key (str): The key of the span group.
    batch_size (int | None): The batch size of the pipeline.
    threads (int): The number of threads that torch computes with.
    code (str | None): A Python file with registered functions.
    """

    model: str
    output: str
    part_format: str
    identity: Mapping[str, Any]
    fields: Mapping[str, str]
    spans_key: str
    batch_size: int | None
    threads: int
    code: str | None = None


@dataclass
class PartResult:
    """What a worker reports about a part.

    part (int): The number of the part.
    documents (int): The number of its documents.
    failed (int): The number of failed documents.
    warnings (list[str]): The warnings of the project.
    error (str | None): The message of an error that ends the run.
    """

    part: int
    documents: int = 0
    failed: int = 0
    warnings: list[str] = field(default_factory=list)
    error: str | None = None


class PartAnnotator:
    """Annotates parts of a corpus and writes their files. The pipeline is loaded with
    the first part, so that an error reaches the driver as a message.

    settings (PartSettings): The settings of the run.
    """

    def __init__(self, settings: PartSettings):
        self.settings = settings
        self._worker: PipelineWorker | None = None
        self._reader: PartReader | None = None
        self._folder = OutputFolder(Path(settings.output), settings.part_format)

    def __call__(self, batch: "dict[str, numpy.ndarray]") -> dict[str, list[str]]:
        """Annotate parts.

        batch (dict[str, numpy.ndarray]): The parts, as JSON objects under "part".
        RETURNS (dict[str, list[str]]): The results, as JSON objects under "result".
        """
        results = []
        for content in batch["part"]:
            result = self._annotate(Part(**json.loads(str(content))))
            results.append(json.dumps(vars(result)))
        return {"result": results}

    def _annotate(self, part: Part) -> PartResult:
        result = PartResult(part.number)
        with collected_warnings(result.warnings):
            try:
                self._annotate_part(part, result)
            except OSError as error:
                name, reason = error.filename or part.path, error.strerror or error
                result.error = Errors.G837.format(
                    path=name, node=platform.node(), reason=reason
                )
            except ValueError as error:
                if not str(error).startswith("[G"):
                    raise
                result.error = str(error)
        return result

    def _annotate_part(self, part: Part, result: PartResult) -> None:
        settings = self.settings
        if self._worker is None or self._reader is None:
            if not self._folder.check_visible(settings.identity):
                raise ValueError(
                    Errors.G838.format(path=settings.output, node=platform.node())
                )
            self._worker = PipelineWorker(
                settings.model,
                settings.spans_key,
                settings.batch_size,
                settings.threads,
                settings.code,
            )
            self._reader = PartReader(self._worker.nlp.vocab)
        # Ray repeats a part whose worker died. A part that kills every worker, for
        # example by its need of memory, must not be repeated for ever.
        attempt = self._folder.count_attempt(part.number)
        if attempt > MAX_ATTEMPTS:
            documents = f"{part.first} to {part.first + part.documents - 1}"
            reason = (
                f"{MAX_ATTEMPTS} workers died while they annotated the documents "
                f"{documents} ({part.path})"
            )
            raise ValueError(Errors.G839.format(reason=reason, output=settings.output))
        reader = self._reader
        texts, rows = reader.read(part), None
        if settings.part_format == "parquet" and part.path.endswith(PARQUET):
            rows = reader.rows(part)
        with self._worker.memory_zone():
            stream = annotate_stream(
                self._worker.nlp, settings.spans_key, texts, settings.batch_size
            )
            record = self._folder.write_part(
                part.number, stream, settings.spans_key, settings.fields, rows
            )
        result.documents, result.failed = record.documents, len(record.failed)


@contextmanager
def collected_warnings(messages: list[str]) -> Iterator[None]:
    """Collect the warnings of the project instead of printing them.

    messages (list[str]): Each different message is appended.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GennerWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, GennerWarning):
            message = str(warning.message)
            if message not in messages:
                messages.append(message)


def set_threads(threads: int | None = None) -> None:
    """Set the number of threads that torch computes with in this process. More threads
    than CPUs make the processes of a machine wait for each other.

    threads (int | None): The number. Defaults to the number of CPUs that Ray gives to
        the actor; without Ray the setting stays unchanged.
    """
    if threads is None:
        threads = _assigned_cpus()
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _assigned_cpus() -> int | None:
    cpus = _assigned().get("CPU")
    return None if cpus is None else max(1, int(cpus))


def _has_gpu() -> bool:
    return _assigned().get("GPU", 0) > 0


def _assigned() -> dict[str, float]:
    """The resources that Ray gives to this actor; none outside of an actor."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return {}
    context = ray.get_runtime_context()
    return dict(context.get_assigned_resources()) if context.get_actor_id() else {}
