"""The pipeline component `generative_ner`: a thin conductor of the rooms below."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from .annotations import write_outcome
from .binding import find_language_model
from .demonstration_reader import read_demonstrations
from .errors import Errors, Warnings, warn
from .formats import get_format
from .gold import GoldReader
from .labels import check_carried, collect_labels, read_labels
from .llm.remote.language_model import RemoteLanguageModel
from .models.language_model import LanguageModel
from .outcomes import Outcome
from .prompts import PromptSettings, Selection
from .runtime import Runtime
from .settings import (
    CROSSING,
    SET_ENTS,
    LossWeights,
    check_choice,
    check_count,
    check_flag,
    check_probability,
    is_count,
)
from .state import ComponentState
from .stateful_pipe import StatefulPipe
from .verification import Verifier
from .windows import WindowSettings

if TYPE_CHECKING:
    from .training.batches import Row
    from .training.texts import Text
    from .training.trainer import Trainer


class GenerativeNER(StatefulPipe):
    """Named entity recognition by a language model that copies and marks the text.

    vocab (Vocab): The shared vocabulary.
    model (Model): What `spacy-genner.LoraCausalLM.v1` makes.
    name (str): The component's name.
    labels (Optional[Union[List[str], Dict[str, str]]]): The labels, or label to
        definition; None to take them from the training data.
    spans_key (str): The group of `doc.spans` that the spans go to.
    format (str): The output format.
    set_ents (str): Which spans go to `doc.ents` too: "outer", "inner" or "none".
    overwrite_ents (bool): Whether entities that are in the Doc give way.
    min_score (float): The probability below which a span is left out.
    max_depth (int): How deep spans may be nested.
    crossing (str): What training does with spans that brackets can't say: "refuse" or
        "drop".
    readings (int): How often the prompt holds the text.
    prompt (Dict[str, Any]): How the component asks: template, instruction and chat.
    demonstrations (Selection): Which annotated texts a prompt shows, of those that
        `initialize` is given.
    loss (Union[str, Dict[str, float]]): "mixed", "constrained", "lm", or a weight for
        each; see `LossWeights`.
    batch_tokens (int): Tokens that training runs at once.
    decoder (StepDecoder): What `spacy-genner.DraftDecoder.v1` makes.
    verifier (Optional[Verifier]): What `spacy-genner.Verifier.v1` makes.
    window (Dict[str, Any]): How documents are cut: unit, max_tokens and overlap.
    scorer (Optional[Callable]): Scores examples.
    RAISES (ValueError): A setting can't be used.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "generative_ner",
        *,
        labels: list[str] | dict[str, str] | None,
        spans_key: str,
        format: str,
        set_ents: str,
        overwrite_ents: bool,
        min_score: float,
        max_depth: int,
        crossing: str,
        readings: int,
        prompt: dict[str, Any],
        demonstrations: Selection,
        loss: str | dict[str, float],
        batch_tokens: int,
        decoder: Any,
        verifier: Verifier | None,
        window: dict[str, Any],
        scorer: Callable | None,
    ):
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.decoder = decoder
        self.verifier = verifier
        self.lm = find_language_model(model)
        self.format = get_format(format)
        self.loss = LossWeights.from_config(loss)
        self.window = WindowSettings.from_config(window)
        check_choice("set_ents", set_ents, SET_ENTS)
        check_choice("crossing", crossing, CROSSING)
        check_flag("overwrite_ents", overwrite_ents)
        if not is_count(max_depth):
            raise ValueError(Errors.G103.format(found=max_depth))
        check_count("batch_tokens", batch_tokens)
        check_carried(labels, name)
        self.cfg: dict[str, Any] = {
            "spans_key": spans_key,
            "set_ents": set_ents,
            "overwrite_ents": overwrite_ents,
            "min_score": check_probability("min_score", min_score),
            "max_depth": max_depth,
            "crossing": crossing,
            "batch_tokens": batch_tokens,
        }
        self._explicit = labels is not None
        self._selection = demonstrations
        self._state = ComponentState(
            read_labels(labels, self.format),
            self.format.name,
            readings,
            PromptSettings.from_config(prompt),
            self.lm.name,
        )
        self._configured = self._state
        self._sentences_by: str | None = None
        self._seen = None
        self._bound = None
        self._lock = threading.RLock()
        # Checks the settings of the prompt while the user still looks at them.
        if not self._state.prompt.problem:
            self._layout().around()

    @property
    def key(self) -> str:
        """RETURNS (str): The group of `doc.spans` that the spans go to."""
        return str(self.cfg["spans_key"])

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one document.

        doc (Doc): The document.
        RETURNS (Doc): The same, also where it failed and the error handler went on.
        """
        return next(self._annotated([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of documents.

        A document that fails gets an empty group with the status "failed", and the
        error handler is called with it alone.

        stream (Iterable[Doc]): The documents.
        batch_size (int): How many are held at once.
        YIELDS (Doc): All of them, in order.
        """
        for docs in util.minibatch(stream, size=batch_size):
            yield from self._annotated(docs)

    def _annotated(self, docs: list[Doc]) -> Iterator[Doc]:
        outcomes = self.predict(docs)
        self.set_annotations(docs, outcomes)
        handler = self.get_error_handler()
        for doc, outcome in zip(docs, outcomes, strict=True):
            if outcome.error is not None:
                handler(self.name, self, [doc], outcome.error)
            yield doc

    def predict(self, docs: Iterable[Doc]) -> list[Outcome]:
        """Find spans, and change nothing.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[Outcome]): One outcome for each.
        RAISES (ValueError): There are no labels, or the base can't be had.
        """
        docs = list(docs)
        if not self._state.labels:
            raise ValueError(Errors.G410.format(name=self.name))
        if not any(len(doc) for doc in docs):
            return [Outcome() for _ in docs]
        runtime = self._runtime()
        outcomes = runtime.annotator(self.decoder).annotate(docs)
        if self.verifier is not None:
            self.verifier.verify(docs, outcomes, runtime.judge(self.verifier))
        return outcomes

    def set_annotations(self, docs: Iterable[Doc], outcomes: list[Outcome]) -> None:
        """Put spans into documents.

        docs (Iterable[Doc]): The documents.
        outcomes (List[Outcome]): What `predict` found in each.
        """
        for doc, outcome in zip(docs, outcomes, strict=True):
            write_outcome(doc, outcome, self.cfg)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | dict[str, str] | None = None,
        adapter: str | None = None,
        demonstrations: str | None = None,
    ) -> None:
        """Set the labels, check the training data, and load the weights.

        get_examples (Callable[[], Iterable[Example]]): Gives the training examples.
        nlp (Optional[Language]): The pipeline.
        labels (Optional[Union[List[str], Dict[str, str]]]): The labels, or label to
            definition; else those of the config, else those of the examples.
        adapter (Optional[str]): A folder with an adapter to go on from, as peft or
            LLaMA-Factory write it.
        demonstrations (Optional[str]): A `.spacy` file with annotated documents that
            the prompt shows as examples.
        RAISES (ValueError): No examples; labels that are missing, unknown or not
            legal; an adapter that does not fit.
        """
        validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        if self.key != "sc":
            warn(Warnings.W401.format(name=self.name, key=self.key))
        chosen = (
            self._state.labels if labels is None else read_labels(labels, self.format)
        )
        explicit = self._explicit or labels is not None
        found = collect_labels(
            get_examples,
            self.key,
            chosen if explicit else None,
            required=not chosen,
        )
        if not explicit:
            new = {label: "" for label in found if label not in chosen}
            chosen = read_labels({**chosen, **new}, self.format)
        if not chosen:
            raise ValueError(Errors.G411.format(name=self.name, key=self.key))
        shown = read_demonstrations(
            demonstrations,
            self.vocab,
            self.key,
            self.format,
            list(chosen),
            own_layout=isinstance(self.lm, LanguageModel),
        )
        self._sentences_by = _sets_sentences(nlp, self.name)
        with self._lock:
            self.lm.reset_adapter(_seed(nlp))
            if adapter is not None:
                self.lm.load(Path(adapter))
            self._change(labels=chosen, demonstrations=shown, checksum=None)
            self._runtime()

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch: teacher forcing on the rendered reference.

        examples (Iterable[Example]): The batch.
        drop (float): Dropout on the adapter's input, where it is more than the
            config's `lora.dropout`.
        sgd (Optional[Optimizer]): Updates the adapter; None to add up gradients.
        losses (Optional[Dict[str, float]]): The losses so far, by component.
        RETURNS (Dict[str, float]): The losses.
        RAISES (ValueError): The component has no adapter, or an example can't be used.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        rows = self._rows(examples, "update")
        if rows:
            self._local().lm.set_dropout(drop)
            losses[self.name] += self._trainer().accumulate(rows)
            if sgd is not None:
                self.finish_update(sgd)
        return losses

    def read_for_draft_head(self, examples: Iterable[Example]) -> "list[Text]":
        """Let the language model read texts that the draft head is to learn from.

        examples (Iterable[Example]): The examples.
        RETURNS (List[Text]): The hidden states of their texts, and their spans.
        RAISES (ValueError): The component has no adapter, or wants no draft head; or an
            example can't be used.
        """
        rows = self._rows(examples, "read_for_draft_head")
        if not self._local().lm.drafting.wanted:
            raise ValueError(Errors.G428.format(name=self.name))
        return self._local().text_reader(int(self.cfg["batch_tokens"])).read(rows)

    def update_draft_head(
        self, texts: "Sequence[Text]", *, sgd: Optimizer | None = None
    ) -> float:
        """Let the draft head learn. The adapter stays as it is.

        texts (Sequence[Text]): What `read_for_draft_head` gave, at least one.
        sgd (Optional[Optimizer]): Updates the head; None to add up gradients.
        RETURNS (float): The loss of a text, on average.
        RAISES (ValueError): The component wants no draft head.
        """
        head = self._local().draft_head()
        if head is None:
            raise ValueError(Errors.G428.format(name=self.name))
        loss = head.learn(texts) / len(texts)
        loss.backward()
        if sgd is not None:
            self.finish_update(sgd)
        return float(loss.detach())

    def _rows(self, examples: Iterable[Example], method: str) -> "list[Row]":
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.{method}")
        if not self._state.labels:
            raise ValueError(Errors.G410.format(name=self.name))
        if isinstance(self.lm, RemoteLanguageModel):
            raise ValueError(Errors.G427.format(name=self.name))
        if not self.lm.has_adapter:
            raise ValueError(Errors.G412.format(name=self.name))
        return self._gold().rows(examples)

    def _trainer(self) -> "Trainer":
        return self._local().trainer(self.loss, int(self.cfg["batch_tokens"]))

    def gold_counts(self) -> Any:
        """RETURNS (Optional[GoldCounts]): What training has seen of the reference, and
        what it could not use, since `initialize`."""
        return None if self._seen is None else self._seen.counts

    def _local(self) -> Runtime:
        runtime = self._runtime()
        assert isinstance(runtime, Runtime)
        return runtime

    def _gold(self) -> GoldReader:
        if self._seen is None:
            self._seen = self._local().gold(
                self.key, self.cfg["crossing"], self._sentences_by
            )
        return self._seen


def _sets_sentences(nlp: Language | None, name: str) -> str | None:
    """The component that sets sentences before another one sees a document."""
    if nlp is None:
        return None
    for other in nlp.pipe_names:
        if other == name:
            break
        if "token.is_sent_start" in nlp.get_pipe_meta(other).assigns:
            return other
    return None


def _seed(nlp: Language | None) -> int | None:
    """The seed of a pipeline's training."""
    if nlp is None:
        return None
    seed = nlp.config.interpolate().get("training", {}).get("seed")
    return seed if isinstance(seed, int) else None
