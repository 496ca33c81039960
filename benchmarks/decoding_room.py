"""The trained pipeline and the documents that all contestants of a benchmark share."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import spacy
from contestants import Answer, CannotRun
from spacy.tokens import Doc, DocBin

from spacy_genner.evaluation.scores import gold_spans
from spacy_genner.formats import CharSpan
from spacy_genner.grammar import Source
from spacy_genner.prompts.windows import Window


@dataclass(frozen=True)
class Settings:
    """What is the same for all contestants of a run; see the command line's help.

    work (str): A folder for files that the runs of one contestant share.
    """

    model: str
    data: str
    work: str
    component: str = "generative_ner"
    spans_key: str = "sc"
    docs: int = 0
    slow_docs: int = 150
    seed: int = 0
    threads: int = 1
    dtype: str = "auto"
    device: str = "auto"
    batch_tokens: int | None = None
    chunk: int = 256
    share_prefix: bool = False
    attention: str = "sdpa"
    lookup_tokens: int = 10
    warm_up: int = 4
    also: tuple[str, ...] = ()
    ideas: bool = False


@dataclass(frozen=True)
class Input:
    """What a contestant is given: a window of a document, or all of it.

    document (int): Which document.
    doc (Doc): The document, as the pipeline's tokenizer cuts it.
    start (int): Where the text starts in it (characters).
    text (str): The text to be annotated.
    window (Optional[Window]): Its window; None for the whole document.
    source (Optional[Source]): Its units.
    prompt (Tuple[int, ...]): The ids between the shared prefix and the output.
    """

    document: int
    doc: Doc
    start: int
    text: str
    window: Window | None = None
    source: Source | None = None
    prompt: tuple[int, ...] = ()

    def placed(self, span: CharSpan) -> CharSpan | None:
        """RETURNS (Optional[CharSpan]): A span of the text as one of the document; None
        where a neighbouring window decides of it."""
        moved = CharSpan(self.start + span.start, self.start + span.end, span.label)
        if self.window is None:
            return moved
        found = self.doc.char_span(moved.start, moved.end, alignment_mode="expand")
        if found is None or not self.window.decides(found.start, found.end):
            return None
        return moved


class Gold:
    """The annotated documents of a benchmark.

    settings (Settings): Where they are and how many are taken.

    documents (List[int]): Those that are taken, as indices of the file.
    sample (List[int]): Those of them that slow contestants run on.
    """

    def __init__(self, settings: Settings):
        vocab = spacy.blank("xx").vocab
        self.docs = list(DocBin().from_disk(settings.data).get_docs(vocab))
        self.spans = [gold_spans(doc, settings.spans_key) for doc in self.docs]
        self.words = [len(doc) for doc in self.docs]
        order = list(range(len(self.docs)))
        random.Random(settings.seed).shuffle(order)
        taken = order[: settings.docs or None]
        self.documents = sorted(taken)
        self.sample = sorted(taken[: settings.slow_docs or None])


class Room:
    """The pipeline, loaded when a contestant first asks for it.

    settings (Settings): The settings of the run.
    batch (int): The batch size of contestants that take one.
    targets (Sequence[Sequence[int]]): The reference's output for each input of all
        documents, for what is given the outputs.
    """

    def __init__(
        self,
        settings: Settings,
        batch: int = 1,
        targets: Sequence[Sequence[int]] = (),
    ):
        self.settings = settings
        self.batch = batch
        self.targets = targets

    @cached_property
    def gold(self) -> Gold:
        """RETURNS (Gold): The annotated documents."""
        return Gold(self.settings)

    @cached_property
    def nlp(self) -> Any:
        """RETURNS (Language): The trained pipeline."""
        block = f"components.{self.settings.component}.model"
        wanted = {"dtype": self.settings.dtype, "device": self.settings.device}
        changes = {f"{block}.{k}": v for k, v in wanted.items() if v != "auto"}
        return spacy.load(self.settings.model, config=changes)

    @property
    def ner(self) -> Any:
        """RETURNS (GenerativeNER): The component."""
        return self.nlp.get_pipe(self.settings.component)

    @cached_property
    def runtime(self) -> Any:
        """RETURNS (Runtime): Its model, bound to labels and prompt."""
        runtime = self.ner._runtime()
        if not hasattr(runtime, "annotator") or not hasattr(runtime, "lm"):
            raise CannotRun("the component's model is behind a server")
        return runtime

    @property
    def encoder(self) -> Any:
        """RETURNS (TaskEncoder): Makes prompts and grammars."""
        return self.runtime.encoder

    @cached_property
    def network(self) -> Any:
        """RETURNS (PreTrainedModel): The network that the pipeline decodes with."""
        return self.runtime.lm.decoding_network()

    @property
    def tokenizer(self) -> Any:
        """RETURNS (PreTrainedTokenizerBase): Its tokenizer."""
        return self.runtime.lm.tokenizer

    @property
    def end_id(self) -> int:
        """RETURNS (int): The id that ends an output."""
        end = self.runtime._end_id
        if end is None:
            raise CannotRun("the tokenizer names no token that ends an output")
        return int(end)

    @property
    def batch_tokens(self) -> int:
        """RETURNS (int): The most tokens of one batch of the project's decoders."""
        return self.settings.batch_tokens or self.ner.decoder.batch_tokens

    def inputs(self, documents: Sequence[int]) -> list[Input]:
        """What a language model is given, of some documents.

        documents (Sequence[int]): The documents.
        RETURNS (List[Input]): One input a window, in the order of the documents.
        """
        made = []
        for index in documents:
            doc = self.nlp.make_doc(self.gold.docs[index].text)
            for name, pipe in self.nlp.pipeline:
                if name == self.settings.component:
                    break
                doc = pipe(doc)
            for window in self.runtime.cutter.windows(doc):
                source = self.runtime.cutter.source(doc, window)
                if not len(source):
                    continue
                start = doc[window.start].idx
                # The prompt has no white space after the last token.
                text = source.text[: source.ends[-1]]
                prompt = self.encoder.prompt(source)
                made.append(Input(index, doc, start, text, window, source, prompt))
        return made

    def said(self, source: Source, marked: Any) -> tuple[CharSpan, ...]:
        """RETURNS (Tuple[CharSpan, ...]): What an automaton or a decoder has marked, in
        characters."""
        labels = self.encoder.labels
        return tuple(
            CharSpan(source.starts[s.start], source.ends[s.end - 1], labels[s.label])
            for s in marked
        )


def by_document(
    inputs: Sequence[Input], answers: Sequence[Answer]
) -> dict[int, list[CharSpan]]:
    """The spans of documents.

    inputs (Sequence[Input]): The inputs.
    answers (Sequence[Answer]): The answer to each.
    RETURNS (Dict[int, List[CharSpan]]): The spans by document, sorted, each once; none
        for documents that have no input.
    """
    found: dict[int, set[CharSpan]] = {}
    for each, answer in zip(inputs, answers, strict=True):
        placed = {each.placed(span) for span in answer.spans}
        found.setdefault(each.document, set()).update(s for s in placed if s)
    return {index: sorted(spans) for index, spans in found.items()}
