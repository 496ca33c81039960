"""Which output format is learnt best: a model for each, all with the same budget.

Trains the config's model on the same sample of sentences in each format, for so many
epochs and with nothing chosen by a development set; scores the last state of each on
the whole test set under its grammar, and on a sample of it without.

    python benchmarks/formats.py corpus/genia-train.spacy corpus/genia-dev.spacy \
        corpus/genia-test.spacy --limit 2000 --epochs 2

What is done is not done again: a format whose scores are there is passed over, and a
training run that was stopped goes on, unless --fresh is given. Settings of the config
are overridden as in `genner train`: --vars.base google/gemma-3-270m
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
from free_outputs import free_scores
from recorder import Recorder
from spacy.cli import app
from spacy.tokens import Doc, SpanGroup
from spacy.util import load_config
from wasabi import msg

import spacy_genner.cli  # noqa: F401
from spacy_genner.corpora.corpus import make_corpus
from spacy_genner.formats import FORMATS
from spacy_genner.io import write_json
from spacy_genner.training.checkpoint import FOLDER

COMPONENT = "components.generative_ner"


def genner(*words: object) -> None:
    """Run a command of the command line in this process, which then holds one copy of
    the base for all."""
    command = typer.main.get_command(app)
    code = command(["genner", *map(str, words)], standalone_mode=False)
    if code:
        sys.exit(code)


def train(args: argparse.Namespace, name: str, overrides: list[str]) -> Path:
    """Train a model, or go on with that.

    RETURNS (Path): Its last state.
    """
    output = args.training / name
    going_on = (output / FOLDER).is_dir()
    settings = {
        "paths.train": args.train,
        "paths.dev": args.dev,
        "corpora.train.limit": args.limit,
        "corpora.train.seed": args.seed,
        # The development set decides nothing here, but spaCy wants to see step 0.
        "corpora.dev.limit": 1,
        "training.eval_frequency": 10**9,
        "training.max_epochs": args.epochs,
        "training.max_steps": 0,
        "training.optimizer.learn_rate.total_steps": 0,
        f"{COMPONENT}.format": name,
    }
    words = [word for key, value in settings.items() for word in (f"--{key}", value)]
    place = "--resume" if going_on else "--output"
    genner("train", args.config, place, output, *words, *overrides)
    return output / "model-last"


def measure(args: argparse.Namespace, model: Path, scores: Path, run: dict) -> None:
    """Score a model with its grammar, and without, into its file of scores."""
    result = found(scores, run)
    if result is None:
        genner("evaluate", model, args.test, "--output", scores)
        result = {**json.loads(scores.read_text(encoding="utf8")), "run": run}
        write_json(scores, result)
    nlp = spacy.load(model)
    ner = nlp.get_pipe("generative_ner")
    corpus = make_corpus(str(args.test), limit=args.free_docs, seed=args.seed)
    examples = list(corpus(nlp))
    result["grammar"] = held_to_grammar(nlp, [eg.predicted for eg in examples])
    result["free"] = free_scores(ner, [eg.reference for eg in examples])
    write_json(scores, result)


def held_to_grammar(nlp: spacy.Language, docs: list[Doc]) -> dict:
    """What annotating a sample takes.

    nlp (Language): The pipeline.
    docs (List[Doc]): The documents, without annotation.
    RETURNS (Dict[str, Any]): `documents`; `well_formed`, the share of them in which
        nothing was repaired (that a list of strings leaves a place open is no fault of
        the answer); and of each document the means of `tokens`, the output's; of
        `passes`; of `fed`, the tokens that were run through the model; of `seconds`.
    """
    ner = nlp.get_pipe("generative_ner")
    ner.decoder = recorder = Recorder(ner.decoder)
    groups = [doc.spans[ner.key] for doc in nlp.pipe(docs, batch_size=64)]
    count = max(1, len(docs))
    decoded = recorder.results
    return {
        "documents": len(docs),
        "well_formed": sum(map(_well_formed, groups)) / count,
        "tokens": sum(len(each.ids) for each in decoded) / count,
        "passes": sum(each.passes for each in decoded) / count,
        "fed": sum(each.fed for each in decoded) / count,
        "seconds": recorder.seconds / count,
    }


def _well_formed(group: SpanGroup) -> bool:
    codes = {issue["code"] for issue in group.attrs["issues"]}
    return codes <= {"ambiguous_place"}


def contents(args: argparse.Namespace, overrides: list[str]) -> str:
    """A checksum of the corpora, the config and the files that it names: scores of
    others are not to be taken for those of this run.

    overrides (List[str]): Settings of the command line, which may name files, too.
    RETURNS (str): The SHA-256, as hexadecimal digits.
    """
    named = {*_strings(load_config(args.config, interpolate=True)), *overrides}
    files = [args.config, args.train, args.test, *sorted(named)]
    state = hashlib.sha256()
    # Most are no names of files, and some may be too long for one.
    for path in filter(os.path.isfile, files):
        state.update(hashlib.sha256(Path(path).read_bytes()).digest())
    return state.hexdigest()


def _strings(value: Any) -> Iterator[str]:
    for each in value.values() if isinstance(value, dict) else ():
        yield from _strings(each)
    if isinstance(value, str):
        yield value


def forget(args: argparse.Namespace) -> None:
    """Remove what an earlier run would be taken up from, of all formats at once, so
    that this one can be taken up."""
    for name in args.formats:
        (args.metrics / f"{name}.json").unlink(missing_ok=True)
        shutil.rmtree(args.training / name / FOLDER, ignore_errors=True)


def found(scores: Path, run: dict) -> dict | None:
    """A format's scores, as far as they are there, of a run with the same settings."""
    if not scores.is_file():
        return None
    result: dict = json.loads(scores.read_text(encoding="utf8"))
    if "run" not in result:
        return None
    if result["run"] != run:
        changed = {k for k in run if result["run"].get(k) != run[k]}
        sys.exit(
            f"{scores} is of a run with another {', '.join(sorted(changed))}. Give "
            "--fresh to do all anew, or another --metrics and --training."
        )
    return result


def is_done(result: dict | None) -> bool:
    """Whether nothing is left to be measured."""
    return result is not None and {"grammar", "free"} <= set(result)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("dev", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--config", type=Path, default=Path("configs/genia.cfg"))
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--limit", type=int, default=2000, help="training documents")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument(
        "--free-docs", type=int, default=300, help="documents without the grammar"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the samples")
    parser.add_argument("--training", type=Path, default=Path("training/formats"))
    parser.add_argument("--metrics", type=Path, default=Path("metrics/formats"))
    parser.add_argument("--fresh", action="store_true", help="do all anew")
    return parser


def main() -> None:
    args, overrides = make_parser().parse_known_args()
    kept = ("train", "test", "config", "limit", "epochs", "free_docs", "seed")
    run = {key: getattr(args, key) for key in kept} | {"overrides": overrides}
    run = json.loads(json.dumps(run, default=str)) | {
        "contents": contents(args, overrides)
    }
    if args.fresh:
        forget(args)
    for name in args.formats:
        scores = args.metrics / f"{name}.json"
        if is_done(found(scores, run)):
            msg.info(f"{name}: scores are there, in {scores}")
            continue
        msg.divider(name)
        model = args.training / name / "model-last"
        if found(scores, run) is None:
            model = train(args, name, overrides)
        measure(args, model, scores, run)
        msg.good(f"{name}: {scores}")


if __name__ == "__main__":
    main()
