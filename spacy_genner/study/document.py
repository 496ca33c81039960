"""The study's document: four questions with tables, figures and what they say.

The document is written from the results of the stages alone. Times stand in its last
section, so that two runs with the same results differ nowhere else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import Errors
from ..evaluation.breakdowns import MENTION_KINDS
from ..formats import FORMATS
from ..io import replaced_file
from .abilities import BASE, COPY, NER, OFF, ROWS
from .abilities import SUMMARY as ABILITIES
from .figures import Bar, draw_bars, draw_intervals
from .memorisation import ASKED, PLAIN, SHUFFLED, TEXTS, score_row
from .memorisation import SUMMARY as MEMORISATION
from .models import markdown_table
from .published import (
    BRACKETED,
    CORPORA,
    DROP_GAIN,
    LETTERS,
    MEAN_BY_FORMAT,
    OTHER_SYSTEMS,
)
from .stages import read_result

BASELINES = ("ner", "spancat")
# The names of corpora, systems and runs in texts.
NAMES = {
    **CORPORA,
    "wikigold": "WikiGold",
    "no_definitions": "names without definitions",
    "letters": "letters with definitions",
    "letters_no_definitions": "letters without definitions",
    PLAIN: "plain run",
    SHUFFLED: "labels shuffled in training",
    "reordered": "labels in reverse order",
    "renamed": "unseen names (A, B, C, ...)",
    "exchanged": "names exchanged",
    "swapped": "held-out mentions",
    "random": "random strings of the same shape",
    "masked": "contexts masked",
    "seen": "seen with this label",
    "other_label": "seen with other labels only",
    "unseen": "never seen",
    BASE: "base",
    NER: "tuned for NER",
    COPY: "tuned to copy",
    OFF: "tuned for NER, switched off",
}
LIMITS = """
- **ACE 2005 and OntoNotes 5** are licensed and were not available. The study's figures
  for them have no counterpart here.
- **CoNLL-2003** was not available. WikiGold has its four labels, but is another corpus,
  so the differences of the study on CoNLL-2003 are for orientation.
- **Models over 1.5 billion parameters**, such as the study's eight, need a GPU; see
  [Run the study](study_run.md#the-studys-eight-models).
- **One seed.** The intervals are those of the test documents (percentile bootstrap,
  95 %). They do not include the variation between training runs.
- **A sample.** All models saw a part of the training data, and the test set is a
  sample, so no score is comparable with one on the whole corpus.
"""


@dataclass
class StudyDocument:
    """The document of one run of the study.

    metrics (Path): The folder with the results: for each corpus a folder with
        `baselines`, `formats` and the runs on memorisation, and the runs on abilities.
    corpora (Sequence[str]): The names of the corpora.
    """

    metrics: Path
    corpora: Sequence[str]

    def write(self, output: Path) -> list[Path]:
        """Write the document and its figures.

        output (Path): The Markdown file. The figures are written to `images/study`
            beside it.
        RETURNS (list[Path]): The files.
        RAISES (ValueError): A result is missing or damaged, or matplotlib is not
            installed.
        """
        self._figures: list[Path] = []
        self._images = output.parent / "images" / "study"
        sections = (
            self._head,
            self._encoders,
            self._formats,
            self._memorisation,
            self._abilities,
            self._limits,
            self._commands,
            self._times,
        )
        try:
            text = "\n".join(section().strip() + "\n" for section in sections)
        except (LookupError, TypeError, AttributeError) as error:
            message = Errors.G996.format(folder=self.metrics, reason=repr(error))
            raise ValueError(message) from error
        with replaced_file(output) as fresh:
            fresh.write_text(text, encoding="utf8")
        return [output, *self._figures]

    # Results

    def _result(self, *parts: str) -> dict[str, Any]:
        path = self.metrics.joinpath(*parts)
        found = read_result(path)
        if found is None:
            raise ValueError(Errors.G949.format(folder=self.metrics, missing=path))
        return found

    @cached_property
    def _scored(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The evaluations of the first two questions, by corpus and name."""
        return {
            corpus: {
                **{
                    n: self._result(corpus, "baselines", f"{n}.json") for n in BASELINES
                },
                **{n: self._result(corpus, "formats", f"{n}.json") for n in FORMATS},
            }
            for corpus in self.corpora
        }

    @cached_property
    def _memory(self) -> dict[str, dict[str, Any]]:
        return {
            corpus: self._result(corpus, f"{MEMORISATION}.json")
            for corpus in self.corpora
        }

    @cached_property
    def _tasks(self) -> dict[str, Any]:
        return self._result(f"{ABILITIES}.json")

    # Sections

    def _head(self) -> str:
        described = self._scored[self.corpora[0]][BRACKETED]["pipeline"]
        base = described.get("base", "the base")
        sizes = "; ".join(
            f"{_name(corpus)}, {each['train_documents']:,} training and "
            f"{each['test_documents']:,} test sentences"
            for corpus, each in self._memory.items()
        )
        return f"""
# The study

Four questions of "Assessment of Generative Named Entity Recognition in the Era of Large
Language Models" (arXiv 2601.17898), answered for `{base}`. This page is written by
`spacy project run study` from the results of its stages; [Run the study](study_run.md)
describes them. Scores are micro-F1 over exact spans and labels, in percent, with 95 %
intervals (bootstrap over documents, 1,000 draws, seed {self._seed}).

Data: {sizes}. All language models of a
corpus saw the same sentences in the same number of updates, and the last checkpoint was
scored.
"""

    @property
    def _seed(self) -> int:
        return int(self._memory[self.corpora[0]]["seed"])

    def _encoders(self) -> str:
        parts = [
            "## How far from encoder models? (RQ1)\n",
            "spaCy's `ner` and `spancat` are small networks that are trained from "
            "scratch, without a transformer. `ner` predicts no nested spans.\n",
        ]
        bars, said = [], []
        for corpus, found in self._scored.items():
            names = (*BASELINES, BRACKETED)
            rows = [self._score_cells(_system(n), found[n]) for n in names]
            header = ("", "F1", "95 % interval", "P", "R", "nested R")
            parts += [f"### {_name(corpus)}\n", markdown_table(header, rows)]
            bars += [self._bar(found[n], _system(n), corpus) for n in names]
            best = max(BASELINES, key=lambda n: found[n]["micro_f"])
            said.append(
                f"On {_name(corpus)}, the generative model is "
                f"{_difference(found[BRACKETED], found[best])} `{best}`, the better of "
                "the two."
            )
        parts.append(self._figure("encoders", "F1 by system", bars))
        published = [
            (name, *("" if x is None else f"{x:.2f}" for x in values))
            for name, values in OTHER_SYSTEMS.items()
        ]
        mean = MEAN_BY_FORMAT[BRACKETED]
        published.append(
            ("the study's eight models, mean", *(f"{mean[c]:.2f}" for c in CORPORA))
        )
        parts += [
            "What the study reports, for models that saw the whole training data:\n",
            markdown_table(("", *CORPORA.values()), published),
            _verdict(
                " ".join(said),
                "The figures hold for this number of training sentences. They do not "
                "tell how a tuned encoder such as BERT would do, which was not trained "
                "here, nor which system is better on the whole data.",
            ),
        ]
        return "\n".join(parts)

    def _formats(self) -> str:
        free = self._scored[self.corpora[0]][BRACKETED]["free"].get("documents")
        parts = [
            "## Which output format? (RQ2)\n",
            "All formats had the same sentences in the same updates. Further columns "
            f"are of {free or 'all'} of the test sentences, which were decoded without "
            "the grammar, too.\n",
        ]
        bars, said = [], []
        for corpus, found in self._scored.items():
            mean = {n: MEAN_BY_FORMAT[n].get(corpus) for n in FORMATS}
            ordered = sorted(FORMATS, key=lambda n: -found[n]["micro_f"])
            rows = []
            for name in ordered:
                result, published = found[name], mean[name]
                free, same = result["free"], result["grammar"]
                rows.append(
                    [
                        f"`{name}`",
                        *self._score_cells("", result)[1:3],
                        _percent(same["micro_f"]),
                        _percent(free["micro_f"]),
                        _percent(free["well_formed"]),
                        "" if published is None else f"{published:.2f}",
                    ]
                )
                bars.append(self._bar(result, name, corpus))
            header = (
                *("", "F1", "95 % interval", "F1 on the sample"),
                *("without the grammar", "well formed without it", "the study's mean"),
            )
            parts += [f"### {_name(corpus)}\n", markdown_table(header, rows)]
            first, last = found[ordered[0]], found[ordered[-1]]
            said.append(
                f"On {_name(corpus)}, `{ordered[0]}` is {_difference(first, last)} "
                f"`{ordered[-1]}`."
            )
        parts += [
            self._figure("formats", "F1 by output format", bars),
            _verdict(
                " ".join(said),
                "After so few updates the figures tell which format is learned "
                "fastest, and not which one is best in the end. The study decodes "
                "freely, so its means compare with the column without the grammar.",
            ),
        ]
        return "\n".join(parts)

    def _memorisation(self) -> str:
        parts = ["## Recognized or memorized? (RQ3)\n"]
        shown: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
            ("Labels replaced in training and test", self._letters),
            ("Asked with other labels", self._asked),
            ("Recall of seen and unseen mentions", self._recall),
            ("Other mentions, and no contexts", self._changed),
        )
        for title, table in shown:
            parts.append(f"### {title}\n")
            for corpus, found in self._memory.items():
                parts += [f"{_name(corpus)}:\n", table(found)]
        bars = [
            Bar(
                f"{_name(corpus)}, {NAMES[kind]}",
                100 * row["r"],
                100 * row["low"],
                100 * row["high"],
                NAMES[kind],
            )
            for corpus, found in self._memory.items()
            for kind, row in found["recall"].items()
            if row["gold"]
        ]
        parts.append(
            self._figure("recall", "Recall by kind of mention", bars, "recall")
        )
        parts.append(self._memory_verdict())
        return "\n".join(parts)

    def _letters(self, found: Mapping[str, Any]) -> str:
        names = (PLAIN, "no_definitions", *LETTERS)
        rows = [
            [
                *self._run_cells(found, name),
                f"{LETTERS[name]:+.2f}" if name in LETTERS else "",
            ]
            for name in names
        ]
        header = (*_RUN_HEADER, "difference in the study, CoNLL-2003")
        return markdown_table(header, rows)

    def _asked(self, found: Mapping[str, Any]) -> str:
        rows = []
        for adapter in (PLAIN, SHUFFLED):
            rows.append([*self._run_cells(found, adapter), ""])
            for asked in ASKED:
                name = f"{adapter}_{asked}"
                cells = self._run_cells(found, name)
                cells[0] = f"{NAMES[adapter]}: {NAMES[asked]}"
                habit = found["runs"][name].get("habit")
                rows.append([*cells, _percent(habit["f"]) if habit else ""])
        return markdown_table((*_RUN_HEADER, "F1 by habit"), rows)

    def _recall(self, found: Mapping[str, Any]) -> str:
        rows = [
            [
                NAMES[kind],
                str(row["gold"]),
                _percent(row["r"]),
                f"{_percent(row['low'])} to {_percent(row['high'])}",
            ]
            for kind in MENTION_KINDS
            for row in [found["recall"][kind]]
            if row["gold"]
        ]
        return markdown_table(("", "gold spans", "recall", "95 % interval"), rows)

    def _changed(self, found: Mapping[str, Any]) -> str:
        rows = [
            [
                *self._run_cells(found, name),
                str(found["replaced"][name]) if name in ("swapped", "random") else "",
                str(found["kept"][name]) if name in ("swapped", "random") else "",
            ]
            for name in (PLAIN, *TEXTS)
        ]
        header = (*_RUN_HEADER, "mentions replaced", "mentions kept")
        return markdown_table(header, rows)

    def _memory_verdict(self) -> str:
        sentences = []
        for corpus, found in self._memory.items():
            runs, recall = found["runs"], found["recall"]
            said = " and ".join(
                f"{who} {_obedience(row['f'], row['habit']['f'])} "
                f"(F1 {_percent(row['f'])}, by habit {_percent(row['habit']['f'])})"
                for adapter, who in (
                    (PLAIN, "the plain run"),
                    (SHUFFLED, "the adapter with shuffled labels"),
                )
                for row in [runs[f"{adapter}_exchanged"]]
            )
            lost = 100 * (recall["seen"]["r"] - recall["unseen"]["r"])
            swapped = 100 * runs["swapped"]["against_plain"]["difference"]
            letters = 100 * runs["letters"]["against_plain"]["difference"]
            masked = 100 * runs["masked"]["against_plain"]["difference"]
            sentences.append(
                f"On {_name(corpus)}, {said} when names are exchanged; recall is "
                f"{abs(lost):.1f} points {'lower' if lost >= 0 else 'higher'} for "
                "mentions that training has never seen; letters for labels change F1 "
                f"by {letters:+.1f} points with definitions; held-out mentions change "
                f"it by {swapped:+.1f} points, and masked "
                f"contexts by {masked:+.1f}."
            )
        return _verdict(
            " ".join(sentences),
            "The base may have seen test mentions before it was tuned, so `never seen` "
            "refers to the training sentences alone. A text without contexts is unlike "
            "any in training, so a lower score may come from that, too.",
        )

    def _abilities(self) -> str:
        scores = self._tasks["scores"]
        parts = [
            "## What happens to general abilities? (RQ4)\n",
            f"The adapters are those of {_name(self.corpora[0])}. At most "
            f"{self._tasks['limit'] or 'all'} questions a task. Words is the mean "
            "length of an answer, and for questions with choices that of the chosen "
            "option.\n",
        ]
        rows, bars = [], []
        for task, found in scores.items():
            for row in ROWS:
                each = found[row]
                rows.append(
                    [
                        task,
                        NAMES[row],
                        _percent(each["score"]),
                        f"{_percent(each['low'])} to {_percent(each['high'])}",
                        f"{each['words']:.1f}",
                        str(each["questions"]),
                    ]
                )
                bars.append(
                    Bar(
                        f"{task}, {'switched off' if row == OFF else NAMES[row]}",
                        100 * each["score"],
                        100 * each["low"],
                        100 * each["high"],
                        NAMES[row],
                    )
                )
        header = ("task", "model", "score", "95 % interval", "words", "questions")
        parts += [
            markdown_table(header, rows),
            self._figure("abilities", "Score by task and model", bars, "score"),
            self._terse(scores),
        ]
        equal = self._tasks["off_equals_base"]
        same = all(equal.values())
        parts.append(
            "Switched off, the adapter "
            + (
                "gives the answers and log-likelihoods of the base, bit for bit.\n"
                if same
                else "differs from the base in: "
                + ", ".join(task for task, yes in equal.items() if not yes)
                + ".\n"
            )
        )
        outside = [
            f"{task} ({NAMES[row]})"
            for task, found in scores.items()
            for row in (NER, COPY)
            if found[row]["high"] < found[BASE]["low"]
            or found[row]["low"] > found[BASE]["high"]
        ]
        parts.append(
            _verdict(
                "Scores whose interval does not overlap that of the base: "
                + (", ".join(outside) or "none")
                + ".",
                "Small samples hide changes of a few points, and a base of this size "
                "is close to chance on questions with choices, where nothing can be "
                "lost.",
            )
        )
        return "\n".join(parts)

    def _terse(self, scores: Mapping[str, Any]) -> str:
        """Whether short answers alone explain a gain on extractive questions."""
        found = scores.get("extractive")
        if found is None:
            return ""
        keys = {
            "F1": "score",
            "F1, cut to the length of the reference": "f1_cut",
            "exact": "em",
            "contains the answer": "contains",
        }
        rows = [
            [
                NAMES[row],
                *(_percent(found[row][key]) for key in keys.values()),
                f"{found[row]['words']:.1f}",
            ]
            for row in ROWS
        ]
        gain, cut = (
            100 * (found[NER][key] - found[BASE][key]) for key in ("score", "f1_cut")
        )
        figure = self._bars(
            "extractive",
            "Extractive questions, with answers as they are and cut",
            [NAMES[row] for row in ROWS],
            {
                name: [100 * found[row][key] for row in ROWS]
                for name, key in list(keys.items())[:2]
            },
            "F1",
        )
        low, high = DROP_GAIN
        return (
            "Extractive questions. An answer that is cut has as many words as the "
            "reference, so that its length no longer matters:\n\n"
            + markdown_table(("", *keys, "words"), rows)
            + f"\n{figure}\nTuning for NER changes F1 by {gain:+.1f} points, and by "
            f"{cut:+.1f} points if the answers are cut. The study reports {low:+.0f} "
            f"to {high:+.0f} points on DROP, whose metric rewards short answers in the "
            "same way.\n"
        )

    def _limits(self) -> str:
        return f"## What was not run\n{LIMITS}"

    def _commands(self) -> str:
        return """
## Commands

    python -m spacy project run study . --vars.data_dir FOLDER

runs all stages in the setting of `project.yml` (the variables `study_*`), continues
after an interruption with the first stage that has no result, and writes this page.
Seeds: that of the variables for samples, changes of labels and texts, and the
bootstrap; 0 for training.
"""

    def _times(self) -> str:
        rows = []
        for corpus, found in self._scored.items():
            training = sum(
                each["pipeline"].get("training", {}).get("seconds", 0)
                for each in found.values()
            )
            rows.append([_name(corpus), "baselines and formats, training", training])
            scoring = sum(found[name]["run"]["seconds"] for name in BASELINES)
            rows.append([_name(corpus), "baselines, scoring", scoring])
        for corpus, found in self._memory.items():
            for key, seconds in found["seconds"].items():
                rows.append([_name(corpus), f"memorisation, {key}", seconds])
        for key, seconds in self._tasks["seconds"].items():
            rows.append([_name(self.corpora[0]), f"abilities, {key}", seconds])
        run = self._result(self.corpora[0], MEMORISATION, f"{PLAIN}.json")["run"]
        cells = [[a, b, f"{seconds / 60:.1f}"] for a, b, seconds in rows]
        total = sum(seconds for *_, seconds in rows) / 60
        return (
            "## Time\n\n"
            + markdown_table(("corpus", "stage", "minutes"), cells)
            + f"\nTogether {total:.0f} minutes, without the scoring of the formats. "
            f"Device: {run['device']}, threads: {run['threads']} of {run['cpus']} "
            f"CPUs, torch {run['versions']['torch']}.\n"
        )

    # Parts of sections

    def _score_cells(self, name: str, result: Mapping[str, Any]) -> list[str]:
        row = score_row(result)
        nested = _percent(result["nested_r"]) if result["nested_gold"] else ""
        return [
            name,
            _percent(row["f"]),
            f"{_percent(row['low'])} to {_percent(row['high'])}",
            _percent(row["p"]),
            _percent(row["r"]),
            nested,
        ]

    def _run_cells(self, found: Mapping[str, Any], name: str) -> list[str]:
        row = found["runs"][name]
        against = row.get("against_plain")
        cells = [
            NAMES[name] if name in NAMES else name,
            _percent(row["f"]),
            f"{_percent(row['low'])} to {_percent(row['high'])}",
        ]
        if against is None:
            return [*cells, "", ""]
        low, high = (100 * against[key] for key in ("low", "high"))
        return [
            *cells,
            f"{100 * against['difference']:+.1f}",
            f"{low:+.1f} to {high:+.1f}",
        ]

    def _bar(self, result: Mapping[str, Any], name: str, corpus: str) -> Bar:
        row = score_row(result)
        f, low, high = (100 * row[key] for key in ("f", "low", "high"))
        label = f"{_name(corpus)}, {name.strip('`')}"
        return Bar(label, f, low, high, _name(corpus))

    def _figure(
        self, name: str, title: str, bars: Sequence[Bar], x_label: str = "F1"
    ) -> str:
        if not bars:
            return ""
        path = self._images / f"{name}.svg"
        draw_intervals(title, bars, x_label, path)
        return self._image(title, path)

    def _bars(
        self,
        name: str,
        title: str,
        names: Sequence[str],
        series: Mapping[str, Sequence[float]],
        x_label: str,
    ) -> str:
        path = self._images / f"{name}.svg"
        draw_bars(title, names, series, x_label, path)
        return self._image(title, path)

    def _image(self, title: str, path: Path) -> str:
        self._figures.append(path)
        return f"![{title}](images/study/{path.name})\n"


_RUN_HEADER = (
    "",
    "F1",
    "95 % interval",
    "difference from the plain run",
    "95 % interval",
)


def _name(corpus: str) -> str:
    return NAMES.get(corpus, corpus)


def _system(name: str) -> str:
    return "`generative_ner`" if name == BRACKETED else f"`{name}`"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The difference of two evaluations in F1, as a part of a sentence."""
    points = 100 * (one["micro_f"] - other["micro_f"])
    first, second = one["interval"], other["interval"]
    apart = first["low"] > second["high"] or second["low"] > first["high"]
    intervals = "do not overlap" if apart else "overlap"
    side = "above" if points >= 0 else "below"
    return f"{abs(points):.1f} points of F1 (intervals {intervals}) {side}"


def _obedience(prompt: float, habit: float) -> str:
    """What a model does whose label names are exchanged, as a part of a sentence."""
    if prompt == habit:
        return "does neither more than the other"
    follows = prompt > habit
    return "follows the prompt" if follows else "still uses the names of its training"


def _verdict(says: str, cannot: str) -> str:
    return f"**What this says.** {says}\n\n**What it cannot say.** {cannot}\n"
