"""Compare the output formats: train a model in each with the same budget.

The model of the config is trained on the same sample of sentences in each format, for
the same number of epochs. The last checkpoint is scored on the whole test set under the
grammar, and on a sample of it without the grammar.

    python benchmarks/formats.py corpus/genia-train.spacy corpus/genia-dev.spacy \\
        corpus/genia-test.spacy --limit 2000 --epochs 2

Formats with complete scores are skipped and interrupted training resumes, unless
--fresh is given. Other options override settings of the config, as in `genner train`:
--vars.base google/gemma-3-270m
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import typer
from recorder import Recorder
from spacy.cli import app
from spacy.tokens import SpanGroup
from spacy.training import Example
from spacy.util import load_config
from unconstrained import unconstrained_scores
from wasabi import msg

import spacy_genner.cli  # noqa: F401
from spacy_genner.corpora.corpus import make_corpus
from spacy_genner.evaluation.scores import gold_spans, group_spans, score_documents
from spacy_genner.formats import FORMATS
from spacy_genner.io import write_json
from spacy_genner.training.checkpoint import FOLDER

COMPONENT = "components.generative_ner"


def run_genner(*words: object) -> None:
    """Run a `spacy genner` command in this process, so that the base is loaded once.

    *words (object): The command and its arguments.
    """
    command = typer.main.get_command(app)
    code = command(["genner", *map(str, words)], standalone_mode=False)
    if code:
        sys.exit(code)


def train(args: argparse.Namespace, name: str, overrides: list[str]) -> Path:
    """Train a model in a format, or resume its training.

    args (Namespace): The arguments.
    name (str): The format.
    overrides (list[str]): Overrides of the config.
    RETURNS (Path): The last checkpoint.
    """
    output = args.training / name
    settings = {
        "paths.train": args.train,
        "paths.dev": args.dev,
        "corpora.train.limit": args.limit,
        "corpora.train.seed": args.seed,
        # The dev set selects nothing, but spaCy evaluates at step 0.
        "corpora.dev.limit": 1,
        "training.eval_frequency": 10**9,
        "training.max_epochs": args.epochs,
        "training.max_steps": 0,
        "training.optimizer.learn_rate.total_steps": 0,
        f"{COMPONENT}.format": name,
    }
    words = [word for key, value in settings.items() for word in (f"--{key}", value)]
    option = "--resume" if (output / FOLDER).is_dir() else "--output"
    run_genner("train", args.config, option, output, *words, *overrides)
    return output / "model-last"


def measure(args: argparse.Namespace, model: Path, scores: Path, run: dict) -> None:
    """Score a model with and without the grammar, and write the scores.

    args (Namespace): The arguments.
    model (Path): The trained pipeline.
    scores (Path): The file of the scores. Scores that it has already are kept.
    run (dict[str, Any]): The settings of the run.
    """
    result = load_scores(scores, run)
    if result is None:
        run_genner("evaluate", model, args.test, "--output", scores)
        result = {**json.loads(scores.read_text(encoding="utf8")), "run": run}
        write_json(scores, result)
    nlp = spacy.load(model)
    ner = nlp.get_pipe("generative_ner")
    corpus = make_corpus(str(args.test), limit=args.free_docs, seed=args.seed)
    examples = list(corpus(nlp))
    result["grammar"] = constrained_scores(nlp, examples)
    result["free"] = unconstrained_scores(ner, [eg.reference for eg in examples])
    write_json(scores, result)


def constrained_scores(nlp: spacy.Language, examples: list[Example]) -> dict[str, Any]:
    """Score documents under the grammar, and measure the cost.

    nlp (Language): The pipeline.
    examples (list[Example]): The documents, without and with annotation.
    RETURNS (dict[str, Any]): `documents`, their number; `micro_p`, `micro_r` and
        `micro_f`; `well_formed`, the share of documents in which nothing was repaired,
        except for strings with several possible places; and the means a document of
        `tokens` of the output, `passes`, `fed`, the tokens that were run, and
        `seconds`.
    """
    ner = nlp.get_pipe("generative_ner")
    ner.decoder = recorder = Recorder(ner.decoder)
    docs = list(nlp.pipe([eg.predicted for eg in examples], batch_size=64))
    scores = score_documents(
        [gold_spans(eg.reference, ner.key) for eg in examples],
        [group_spans(doc, ner.key) for doc in docs],
    )
    count = max(1, len(docs))
    results = recorder.results
    return {
        "documents": len(docs),
        **{key: scores[key] for key in ("micro_p", "micro_r", "micro_f")},
        "well_formed": sum(_is_well_formed(doc.spans[ner.key]) for doc in docs) / count,
        "tokens": sum(len(each.ids) for each in results) / count,
        "passes": sum(each.passes for each in results) / count,
        "fed": sum(each.fed for each in results) / count,
        "seconds": recorder.seconds / count,
    }


def _is_well_formed(group: SpanGroup) -> bool:
    codes = {issue["code"] for issue in group.attrs["issues"]}
    return codes <= {"ambiguous_place"}


def checksum(args: argparse.Namespace, overrides: list[str]) -> str:
    """Compute a checksum of the corpora, the config and the files that it names, so
    that the scores of other files are not mistaken for those of this run.

    args (Namespace): The arguments.
    overrides (list[str]): Overrides of the config, which may name files, too.
    RETURNS (str): The SHA-256, in hexadecimal digits.
    """
    named = {*_strings(load_config(args.config, interpolate=True)), *overrides}
    files = [args.config, args.train, args.test, *sorted(named)]
    state = hashlib.sha256()
    # Most strings of a config are no file names, and some may be too long for one.
    for path in filter(os.path.isfile, files):
        state.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return state.hexdigest()


def _strings(value: Any) -> Iterator[str]:
    for each in value.values() if isinstance(value, dict) else ():
        yield from _strings(each)
    if isinstance(value, str):
        yield value


def remove_results(args: argparse.Namespace) -> None:
    """Remove the scores and checkpoints of all formats. They are removed together, so
    that the new run can be resumed.

    args (Namespace): The arguments.
    """
    for name in args.formats:
        (args.metrics / f"{name}.json").unlink(missing_ok=True)
        shutil.rmtree(args.training / name / FOLDER, ignore_errors=True)


def load_scores(path: Path, run: dict) -> dict[str, Any] | None:
    """Load the scores of a format. Exits if they belong to a run with other settings.

    path (Path): The file of the scores.
    run (dict[str, Any]): The settings of this run.
    RETURNS (dict[str, Any] | None): The scores, which may be incomplete; None if there
        are none.
    """
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
    if "run" not in result:
        return None
    if result["run"] != run:
        changed = {k for k in run if result["run"].get(k) != run[k]}
        sys.exit(
            f"{path} belongs to a run with another {', '.join(sorted(changed))}. Pass "
            "--fresh to start over, or another --metrics and --training."
        )
    return result


def is_complete(result: dict | None) -> bool:
    """RETURNS (bool): Whether all scores of a format are there."""
    return result is not None and {"grammar", "free"} <= set(result)


def make_parser() -> argparse.ArgumentParser:
    """RETURNS (ArgumentParser): The parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("train", type=Path, help="training documents (.spacy)")
    add("dev", type=Path, help="development documents (.spacy)")
    add("test", type=Path, help="test documents (.spacy)")
    add(
        "--config",
        type=Path,
        default=Path("configs/genia.cfg"),
        help="config of the pipeline",
    )
    add("--formats", nargs="+", choices=FORMATS, default=FORMATS, help="output formats")
    add("--limit", type=int, default=2000, help="number of training documents")
    add("--epochs", type=int, default=2, help="number of epochs")
    add(
        "--free-docs",
        type=int,
        default=300,
        help="number of test documents to annotate without the grammar",
    )
    add("--seed", type=int, default=0, help="seed of the samples")
    add(
        "--training",
        type=Path,
        default=Path("training/formats"),
        help="folder of the pipelines",
    )
    add(
        "--metrics",
        type=Path,
        default=Path("metrics/formats"),
        help="folder of the scores",
    )
    add("--fresh", action="store_true", help="remove earlier results and start over")
    return parser


def main() -> None:
    args, overrides = make_parser().parse_known_args()
    kept = ("train", "test", "config", "limit", "epochs", "free_docs", "seed")
    run = {key: getattr(args, key) for key in kept} | {"overrides": overrides}
    run = json.loads(json.dumps(run, default=str)) | {
        "contents": checksum(args, overrides)
    }
    if args.fresh:
        remove_results(args)
    for name in args.formats:
        path = args.metrics / f"{name}.json"
        if is_complete(load_scores(path, run)):
            msg.info(f"{name}: the scores exist already: {path}")
            continue
        msg.divider(name)
        model = args.training / name / "model-last"
        if load_scores(path, run) is None:
            model = train(args, name, overrides)
        measure(args, model, path, run)
        msg.good(f"{name}: {path}")


if __name__ == "__main__":
    main()
