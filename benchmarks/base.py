"""Base classes of the decoding benchmark: a system, its inputs and its outputs.

A system is one way to get spans from a trained model. All systems of a run share one
`Context`: the same settings, annotated documents, pipeline and prompts.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import spacy
from spacy.tokens import Doc, DocBin

from spacy_genner.evaluation.scores import gold_spans
from spacy_genner.formats import CharSpan
from spacy_genner.grammar import Source
from spacy_genner.pipeline.local import LocalPredictor
from spacy_genner.prompts import TaskEncoder
from spacy_genner.prompts.windows import Window


class NotAvailable(Exception):
    """A system cannot run here. The message gives the reason."""


@dataclass(frozen=True)
class Settings:
    """Settings that all systems of a run share. The help of `decoding.py` describes
    them.

    work (str): A folder for files that the runs of one system share.
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
    encoders: bool = False
    max_words: int = 0
    join_words: int = 0


@dataclass(frozen=True)
class Input:
    """An input of a system: a window of a document, or a whole document.

    document (int): The index of the document.
    doc (Doc): The document, tokenized by the pipeline.
    start (int): The offset of the text in the document (characters).
    text (str): The text to annotate.
    window (Window | None): The window; None for a whole document.
    source (Source | None): The words of the text and their token ids.
    prompt (tuple[int, ...]): The token ids between the shared prefix and the output.
    """

    document: int
    doc: Doc
    start: int
    text: str
    window: Window | None = None
    source: Source | None = None
    prompt: tuple[int, ...] = ()

    def to_document(self, span: CharSpan) -> CharSpan | None:
        """Move a span of the text to its place in the document.

        span (CharSpan): A span of the text.
        RETURNS (CharSpan | None): The same span of the document; None if the span
            belongs to an overlapping window.
        """
        moved = CharSpan(self.start + span.start, self.start + span.end, span.label)
        if self.window is None:
            return moved
        found = self.doc.char_span(moved.start, moved.end, alignment_mode="expand")
        if found is None or not self.window.decides(found.start, found.end):
            return None
        return moved


@dataclass(frozen=True)
class Output:
    """The output of a system for one input.

    spans (tuple[CharSpan, ...]): The spans, in characters of the input's text.
    ids (tuple[int, ...]): The token ids of the output, without the end token.
    passes (int): The number of forward passes that the input took part in.
    fed (int): The number of tokens that were run for the input, without padding.
    well_formed (bool | None): Whether parsing repaired nothing; None if the system
        does not parse a text.
    compiling (float): Seconds spent on compiling a grammar for the input.
    """

    spans: tuple[CharSpan, ...]
    ids: tuple[int, ...] = ()
    passes: int = 0
    fed: int = 0
    well_formed: bool | None = None
    compiling: float = 0.0


class Dataset:
    """The annotated documents of a run.

    settings (Settings): The path and the size of the samples.

    documents (list[int]): The indices of the documents that the run uses.
    sample (list[int]): The subset of them that slow systems run on.
    """

    def __init__(self, settings: Settings):
        vocab = spacy.blank("xx").vocab
        self.docs = list(DocBin().from_disk(settings.data).get_docs(vocab))
        if settings.max_words:
            self.docs = [doc for doc in self.docs if len(doc) <= settings.max_words]
        if settings.join_words:
            self.docs = list(joined(self.docs, settings.join_words))
        self.spans = [gold_spans(doc, settings.spans_key) for doc in self.docs]
        self.words = [len(doc) for doc in self.docs]
        order = list(range(len(self.docs)))
        random.Random(settings.seed).shuffle(order)
        chosen = order[: settings.docs or None]
        self.documents = sorted(chosen)
        self.sample = sorted(chosen[: settings.slow_docs or None])


def joined(docs: Sequence[Doc], words: int) -> Iterator[Doc]:
    """Join consecutive documents, as long texts for a model of sentences.

    docs (Sequence[Doc]): The documents.
    words (int): The number of tokens from which on a text is complete.
    YIELDS (Doc): The long texts. The rest of the documents is left out.
    """
    group: list[Doc] = []
    for doc in docs:
        group.append(doc)
        if sum(map(len, group)) >= words:
            yield Doc.from_docs(group)
            group = []


class Context:
    """The pipeline and the documents that a system runs with. Both are loaded on first
    use.

    settings (Settings): The settings of the run.
    batch (int): The batch size, for systems that use one.
    targets (Sequence[Sequence[int]]): The output of the reference for each input of all
        documents. Only the floor needs it.
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
    def dataset(self) -> Dataset:
        """RETURNS (Dataset): The annotated documents."""
        return Dataset(self.settings)

    @cached_property
    def nlp(self) -> Any:
        """RETURNS (Language): The trained pipeline."""
        block = f"components.{self.settings.component}.model"
        wanted = {"dtype": self.settings.dtype, "device": self.settings.device}
        overrides = {f"{block}.{k}": v for k, v in wanted.items() if v != "auto"}
        nlp = spacy.load(self.settings.model, config=overrides)
        # No other system adds the scores of the draft head to the model's choices.
        nlp.get_pipe(self.settings.component).lm.head_weight = 0.0
        return nlp

    @property
    def ner(self) -> Any:
        """RETURNS (GenerativeNER): The component."""
        return self.nlp.get_pipe(self.settings.component)

    @property
    def predictor(self) -> LocalPredictor:
        """RETURNS (LocalPredictor): The predictor of the component, with its base
        loaded.
        RAISES (NotAvailable): The component uses a remote model.
        """
        predictor = self.ner.predictor
        if not isinstance(predictor, LocalPredictor):
            raise NotAvailable("the component uses a remote model")
        return predictor

    @property
    def encoder(self) -> TaskEncoder:
        """RETURNS (TaskEncoder): Makes prompts and grammars."""
        return self.predictor.encoder

    @cached_property
    def network(self) -> Any:
        """RETURNS (PreTrainedModel): The network that the pipeline decodes with."""
        return self.predictor.lm.decoding_network()

    @property
    def tokenizer(self) -> Any:
        """RETURNS (PreTrainedTokenizerBase): The tokenizer of the model."""
        return self.predictor.lm.tokenizer

    @property
    def end_id(self) -> int:
        """RETURNS (int): The token id that ends an output.
        RAISES (NotAvailable): The tokenizer has no end token.
        """
        end = self.predictor.end_id
        if end is None:
            raise NotAvailable("the tokenizer has no token that ends an output")
        return int(end)

    @property
    def batch_tokens(self) -> int:
        """RETURNS (int): The most tokens in a batch of this project's decoders."""
        return self.settings.batch_tokens or self.ner.decoder.batch_tokens

    def inputs(self, documents: Sequence[int]) -> list[Input]:
        """Make the inputs of a language model.

        documents (Sequence[int]): The indices of the documents.
        RETURNS (list[Input]): One input a window, in the order of the documents.
        """
        made = []
        encoder, cutter = self.encoder, self.predictor.cutter
        for index in documents:
            doc = self.nlp.make_doc(self.dataset.docs[index].text)
            for name, pipe in self.nlp.pipeline:
                if name == self.settings.component:
                    break
                doc = pipe(doc)
            for window in cutter.windows(doc):
                source = encoder.source_of(doc[window.start : window.end])
                if not len(source):
                    continue
                start = doc[window.start].idx
                # The prompt ends with the last token, without white space after it.
                text = source.text[: source.ends[-1]]
                prompt = encoder.prompt(source)
                made.append(Input(index, doc, start, text, window, source, prompt))
        return made

    def char_spans(self, source: Source, spans: Any) -> tuple[CharSpan, ...]:
        """Convert spans of words to spans of characters.

        source (Source): The text.
        spans (Iterable[MarkedSpan | ScoredSpan]): The spans of a grammar's state or of
            a decoder's result.
        RETURNS (tuple[CharSpan, ...]): The same spans, in characters of the text.
        """
        labels = self.encoder.labels
        return tuple(
            CharSpan(source.starts[s.start], source.ends[s.end - 1], labels[s.label])
            for s in spans
        )


class System(ABC):
    """One way to get spans from a trained model.

    name (str): The name in the results and on the command line.
    slow (bool): Whether the system runs on the sample only.
    batched (bool): Whether the system uses the best batch size that was found.
    counted (bool): Whether its forward passes and tokens can be counted.
    annotates (bool): Whether it returns spans.
    """

    name: str
    slow = True
    batched = False
    counted = True
    annotates = True

    def prepare(self, context: Context) -> None:
        """Load and compile everything that is not part of the timed work.

        context (Context): The pipeline and the documents.
        RAISES (NotAvailable): The system cannot run here.
        """
        self.context = context

    def inputs(self, documents: Sequence[int]) -> list[Input]:
        """Make the inputs of the system.

        documents (Sequence[int]): The indices of the documents.
        RETURNS (list[Input]): The inputs, in the order of the documents.
        """
        return self.context.inputs(documents)

    @abstractmethod
    def run(self, inputs: Sequence[Input]) -> list[Output]:
        """Decode. The benchmark times this method.

        inputs (Sequence[Input]): The inputs.
        RETURNS (list[Output]): One output for each input, in the same order.
        """


def spans_by_document(
    inputs: Sequence[Input], outputs: Sequence[Output]
) -> dict[int, list[CharSpan]]:
    """Merge the spans of windows into spans of documents.

    inputs (Sequence[Input]): The inputs.
    outputs (Sequence[Output]): The output for each input.
    RETURNS (dict[int, list[CharSpan]]): Sorted spans without duplicates, by document.
        Documents without an input are missing.
    """
    found: dict[int, set[CharSpan]] = {}
    for each, output in zip(inputs, outputs, strict=True):
        moved = {each.to_document(span) for span in output.spans}
        found.setdefault(each.document, set()).update(s for s in moved if s)
    return {index: sorted(spans) for index, spans in found.items()}
