"""Annotate a corpus with Ray Data, part by part."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spacy.language import Language

from .. import __version__
from ..errors import Errors, warn
from ..models.gguf import joined_sha256
from ..pipeline.loading import find_spans_key, load_pipeline
from .cluster import Resources, connected, import_ray, pool_size
from .inputs import PART_SIZE, Corpus, Part, cut_corpus
from .outputs import FORMATS, MAX_PARTS, OutputFolder, Summary
from .workers import (
    Annotator,
    PartAnnotator,
    PartResult,
    PartSettings,
    import_code,
)


def annotate_corpus(
    model: str | Path,
    source: str | Path,
    output: str | Path,
    *,
    address: str | None = None,
    workers: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
    part_size: int = PART_SIZE,
    part_format: str = "jsonl",
    spans_key: str | None = None,
    batch_size: int | None = None,
    code: str | Path | None = None,
    resume: bool | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Annotate a corpus of any size with the workers of a Ray cluster.

    The corpus is cut into parts. Each part is annotated by one worker and written to
    its own file, atomically. The order of the documents is kept: the parts in the order
    of their names are the corpus. Ray restarts a worker that dies, and its part is
    computed again. All nodes have to see the pipeline, the corpus and the output under
    the same paths.

    model (str | Path): The folder of the pipeline, or the name of its package.
    source (str | Path): A `.txt`, `.jsonl`, `.parquet` or `.spacy` file, or a folder of
        such files.
    output (str | Path): The folder to write.
    address (str | None): The cluster: "local", "auto" or HOST:PORT. Defaults to the
        environment variable RAY_ADDRESS, else to "local". Ignored if this process is
        connected already.
    workers (int | None): The number of workers. By default as many as the cluster has
        room for.
    cpus (float): The CPUs, and threads, of a worker.
    gpus (float): The GPUs of a worker. A fraction lets workers share one.
    part_size (int): The maximum number of documents in a part.
    part_format (str): "jsonl" or "parquet".
    spans_key (str | None): The key of the span group. Defaults to that of the
        generative component.
    batch_size (int | None): The batch size of the pipeline. Defaults to its own.
    code (str | Path | None): A Python file with registered functions.
    resume (bool | None): True continues an earlier run with the same settings, False
        removes its parts, and None expects a new or empty folder.
    on_progress (Callable[[int, int], None] | None): Called with the number of finished
        documents and the total, at the start and after each part.
    RETURNS (Summary): The counts.
    RAISES (ValueError): An input is malformed, a setting is invalid, the cluster has
        no room, or a part can't be annotated. Finished parts are kept.
    """
    if part_format not in FORMATS:
        raise _bad_setting("part_format", part_format, f"one of {', '.join(FORMATS)}")
    if part_size < 1:
        raise _bad_setting("part_size", part_size, "at least 1")
    if workers is not None and workers < 1:
        raise _bad_setting("workers", workers, "at least 1")
    # A worker without CPUs has no place in the cluster.
    if cpus <= 0 or gpus < 0:
        raise _bad_setting(
            "cpus and gpus", (cpus, gpus), "more than 0 CPUs and at least 0 GPUs"
        )
    model, source = str(model), Path(source)
    folder = OutputFolder(Path(output).absolute(), part_format)
    code = None if code is None else Path(code).absolute()
    if code is not None:
        import_code(code)
    nlp = load_pipeline(model)
    key = spans_key or find_spans_key(nlp, model)
    if Path(model).exists():
        model = str(Path(model).absolute())
    with folder.locked():
        corpus = cut_corpus(source, part_size, part_format == "parquet")
        if len(corpus.parts) > MAX_PARTS:
            reason = (
                f"it has {len(corpus.parts)} parts of {part_size} documents, and at "
                f"most {MAX_PARTS} are possible. Raise --part-size (part_size)"
            )
            raise ValueError(Errors.G822.format(path=source, reason=reason))
        identity = {
            "input": corpus.checksum,
            "model": pipeline_checksum(nlp),
            "code": None if code is None else joined_sha256([code]),
            "format": part_format,
            "part_size": part_size,
            "spans_key": key,
            "batch_size": batch_size,
            "version": __version__,
        }
        finished = folder.begin(identity, resume)
        settings = PartSettings(
            model=model,
            output=str(folder.path),
            part_format=part_format,
            identity=identity,
            fields=corpus.fields,
            spans_key=key,
            batch_size=batch_size,
            threads=Resources(workers, cpus, gpus).threads,
            code=None if code is None else str(code),
        )
        todo = [part for part in corpus.parts if part.number not in finished]
        _annotate_parts(
            corpus, todo, settings, address, Resources(workers, cpus, gpus), on_progress
        )
        facts = {"model": model, "input": str(source)}
        summary = folder.finish(corpus, identity, facts)
    summary.resumed = len(finished)
    return summary


def _annotate_parts(
    corpus: Corpus,
    todo: list[Part],
    settings: PartSettings,
    address: str | None,
    resources: Resources,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Annotate the parts that are not finished."""
    total = corpus.documents
    done = total - sum(part.documents for part in todo)
    shown: set[str] = set()
    if on_progress is not None:
        on_progress(done, total)
    if not todo:
        return
    with connected(address, resources) as ray, _reported_loss(ray, settings):
        for result in _results(ray, todo, settings, resources):
            if result.error is not None:
                raise ValueError(result.error)
            for message in result.warnings:
                if message not in shown:
                    shown.add(message)
                    warn(message)
            done += result.documents
            if on_progress is not None:
                on_progress(done, total)


def _results(
    ray: Any, todo: list[Part], settings: PartSettings, resources: Resources
) -> Iterator[PartResult]:
    """Let a pool of actors annotate parts, each part as one task of Ray Data."""
    # Ray Data reports its start and its progress in messages of its own.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"part": json.dumps(asdict(part))} for part in todo]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    dataset.context.enable_progress_bars = False
    dataset = dataset.map_batches(
        PartAnnotator,
        fn_constructor_args=(settings,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(
            size=pool_size(ray, resources, len(todo)),
            # A worker that dies takes only the part with it that it computes.
            max_tasks_in_flight_per_actor=1,
        ),
        num_cpus=resources.cpus,
        num_gpus=resources.gpus,
    )
    for row in dataset.iter_rows():
        yield PartResult(**json.loads(row["result"]))


@contextmanager
def _reported_loss(ray: Any, settings: PartSettings) -> Iterator[None]:
    """Report a lost cluster. Ray restarts workers that die. Errors in a worker are
    bugs and keep their traceback."""
    try:
        yield
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:500]
        raise ValueError(
            Errors.G839.format(reason=reason, output=settings.output)
        ) from error


def _bad_setting(name: str, found: Any, expected: str) -> ValueError:
    return ValueError(Errors.G836.format(name=name, found=found, expected=expected))


def pipeline_checksum(nlp: Language) -> str:
    """Compute a checksum of a saved pipeline.

    nlp (Language): The pipeline, loaded from a folder or a package.
    RETURNS (str): The SHA-256 of the names and contents of its files.
    """
    digest = hashlib.sha256()
    root = Path(nlp.path) if nlp.path is not None else None
    if root is None:
        digest.update(nlp.to_bytes())
        return digest.hexdigest()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root)
        if "__pycache__" not in name.parts:
            digest.update(f"{name.as_posix()} {joined_sha256([path])}\n".encode())
    return digest.hexdigest()


def annotate_dataset(
    dataset: Any,
    model: str | Path,
    *,
    text: str = "text",
    workers: int | None = None,
    cpus: float = 1,
    gpus: float = 0,
    block_size: int = 256,
    spans_key: str | None = None,
    batch_size: int | None = None,
    code: str | Path | None = None,
    **ray_options: Any,
) -> Any:
    """Annotate a Ray dataset: `Dataset.map_batches` with a pool of `Annotator` actors.
    Like other transformations of a dataset, it runs when the result is consumed.

    dataset (ray.data.Dataset): A dataset with a column of texts.
    model (str | Path): The folder of the pipeline, or the name of its package.
    text (str): The column with the texts.
    workers (int | None): The number of workers. By default as many as the cluster has
        room for.
    cpus (float): The CPUs, and threads, of a worker.
    gpus (float): The GPUs of a worker. A fraction lets workers share one.
    block_size (int): The number of rows that a worker gets at once.
    spans_key (str | None): The key of the span group. Defaults to that of the
        generative component.
    batch_size (int | None): The batch size of the pipeline. Defaults to its own.
    code (str | Path | None): A Python file with registered functions.
    **ray_options (Any): Further arguments of `map_batches`, such as `resources`.
    RETURNS (ray.data.Dataset): The dataset with the columns `spans`, `status` and
        `issues`.
    RAISES (ValueError): Ray is not installed, the cluster has no room, or, when the
        result is consumed, the pipeline can't be loaded or the column is missing.
    """
    ray = import_ray()
    model = str(Path(model).absolute()) if Path(model).exists() else str(model)
    size = pool_size(ray, Resources(workers, cpus, gpus), parts=2**31)
    return dataset.map_batches(
        Annotator,
        fn_constructor_kwargs={
            "model": model,
            "text": text,
            "spans_key": spans_key,
            "batch_size": batch_size,
            "code": None if code is None else str(Path(code).absolute()),
        },
        batch_format="pyarrow",
        batch_size=block_size,
        compute=ray.data.ActorPoolStrategy(size=size),
        num_cpus=cpus,
        num_gpus=gpus,
        **ray_options,
    )
