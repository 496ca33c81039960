"""The `generative_ner` pipeline component.

Each spaCy pipeline in an environment with this package imports this module, so it loads
neither transformers nor peft.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast  # noqa: UP035

import srsly
from spacy import util
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from ..config.settings import (
    ComponentSettings,
    LossWeights,
    WindowSettings,
    check_made,
)
from ..corpora.label_sets import (
    LabelSet,
    get_label_set,
    group_by_label_set,
    to_label_set,
)
from ..corpora.labels import (
    check_carried,
    check_labels,
    collect_labels,
    read_labels,
)
from ..corpora.sentences import find_sentence_setter, warn_of_sentencizer
from ..errors import Errors, Warnings, warn
from ..formats import get_format
from ..io import check_folder, replaced_folder
from ..models.adapter_source import DRAFT_HEAD_FILE
from ..prompts import PromptLayout, PromptSettings, Selection
from ..training.optimizer import (
    suitable_optimizer,
    warn_if_rate_is_high,
)
from .adapter_state import (
    adopt_served_state,
    fit_adapter_state,
    read_adapter_state,
    warn_of_differences,
)
from .adapters import AdapterPool, get_adapter_name
from .predictor import (
    Predictor,
    PredictorConfig,
    PredictorModel,
    TrainablePredictor,
    get_shim,
)
from .results import (
    Prediction,
    failed_prediction,
    limit_depth,
    predict_in_groups,
    write_prediction,
)
from .score_map import ScoreMap
from .state import STATE_FILE, ComponentState, read_demonstrations
from .verifier import Verifier

if TYPE_CHECKING:
    from ..models.language_model import LanguageModel
    from ..training.data import DraftHeadExample, TrainingSequence
    from ..training.targets import TargetBuilder, TargetCounts

# The number of label sets of documents whose prompts are kept.
KEPT_LABEL_SETS = 16
ADAPTER_FOLDER = "adapter"
# The errors of labels: those that the format, the tokenizer or the prompt refuse.
_LABEL_ERRORS = tuple(f"[{code}]" for code in ("G003", "G101", "G405", "G420", "G991"))


class GenerativeNER(TrainablePipe):
    """Named entity recognition by a language model that copies a text with markup.

    The component knows spaCy: labels, examples, saving and `Doc.spans`. Its predictor
    knows the model. The predictor is made at first use and made anew after labels,
    prompt or decoder have changed.

    vocab (Vocab): The shared vocabulary.
    model (Model): The model that a registered architecture made, such as
        `spacy-genner.LoraCausalLM.v1`.
    name (str): The name of the component.
    labels (list[str] | dict[str, str] | None): The labels, or label to definition. None
        to collect them from the training data.
    spans_key (str): The group of `doc.spans` to write to.
    format (str): The output format.
    set_ents (str): The spans to write to `doc.ents` as well: "outer", "inner" or
        "none".
    overwrite_ents (bool): Whether to overwrite existing entities of the Doc.
    min_score (float): The minimum probability of a span.
    max_depth (int): The maximum depth of nested spans.
    crossing (str): How training treats spans that the format cannot represent: "refuse"
        or "drop".
    readings (int): How many times the prompt holds the text.
    prompt (dict[str, Any]): The settings of the prompt: template, instruction and chat.
    demonstrations (Selection): Selects the annotated texts that a prompt shows, from
        those that `initialize` is given.
    loss (str | dict[str, float]): "mixed", "joint", "constrained", "lm", or a weight
        for each. See `LossWeights`.
    batch_tokens (int): The maximum number of tokens in a forward pass of training.
    decoder (Any): The decoder, such as `spacy-genner.DraftDecoder.v1` makes it.
    verifier (Verifier | None): The verifier, such as `spacy-genner.Verifier.v1` makes
        it.
    window (dict[str, Any]): How documents are cut into windows: unit, max_tokens and
        overlap.
    scorer (Callable | None): Scores examples.
    RAISES (ValueError): A setting is invalid.

    adapters (AdapterPool | None): The adapters that documents can name.
    """

    adapters: AdapterPool | None

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
        self.verifier = verifier
        self.adapters = None
        check_made("decoder", decoder, "decode", "spacy-genner.DraftDecoder.v1")
        if verifier is not None:
            check_made("verifier", verifier, "layout", "spacy-genner.Verifier.v1")
        selection = "spacy-genner.FirstDemonstrations.v1"
        check_made("demonstrations", demonstrations, "shared", selection)
        self.format = get_format(format)
        self.loss = LossWeights.from_config(loss)
        self.window = WindowSettings.from_config(window)
        check_carried(labels, name)
        settings = ComponentSettings(
            spans_key=spans_key,
            set_ents=set_ents,
            overwrite_ents=overwrite_ents,
            min_score=min_score,
            max_depth=max_depth,
            crossing=crossing,
            batch_tokens=batch_tokens,
        )
        self.cfg: dict[str, Any] = settings.model_dump()
        self._shim = get_shim(model)
        self._decoder = decoder
        self._has_explicit_labels = labels is not None
        self._selection = demonstrations
        self._state = ComponentState(
            read_labels(labels, self.format),
            self.format.name,
            readings,
            PromptSettings.from_config(prompt),
            self.lm.name,
        )
        if self._shim.tuned_state is not None:
            self._state = adopt_served_state(
                self._state, self._shim.tuned_state, self.name, self.lm.name
            )
        # The state of the config, which training or loading may replace.
        self._configured_state = self._state
        self._sentences_by: str | None = None
        # Whether training has begun, whether the labels are those of a saved component,
        # and whether the warnings about a high learning rate, an untrained adapter and
        # fixed labels were issued.
        self._is_training = False
        self._is_loaded = False
        self._warned_rate = False
        self._warned_untrained = self._warned_fixed = False
        # Whether the state of the adapter that the settings name was taken over, the
        # labels that the adapter was trained for, and whether the component has them.
        self._has_start_state = False
        self._start_labels: tuple[str, ...] = ()
        self._has_start_labels = False
        # Made from the state, and discarded when it changes. The predictor of the
        # component's own labels, and those of the label sets of documents.
        self._predictor: Predictor | None = None
        self._label_set_predictors: dict[LabelSet, Predictor] = {}
        self._target_builder: TargetBuilder | None = None
        self._target_counts: TargetCounts | None = None
        self._lock = threading.RLock()
        # Report a broken template now, and not after the base has been loaded.
        if not self._state.prompt.problem:
            self._layout().around()

    @property
    def lm(self) -> PredictorModel:
        """RETURNS (PredictorModel): The language model, which may not be loaded yet."""
        return cast(PredictorModel, self._shim.lm)

    @property
    def key(self) -> str:
        """RETURNS (str): The group of `doc.spans` to write to."""
        return str(self.cfg["spans_key"])

    @property
    def decoder(self) -> Any:
        """RETURNS (Any): The decoder."""
        return self._decoder

    @decoder.setter
    def decoder(self, decoder: Any) -> None:
        with self._lock:
            self._decoder = decoder
            self._discard_predictors()

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels, in order."""
        return tuple(self._state.labels)

    @property
    def label_data(self) -> list[str] | dict[str, str]:
        """RETURNS (list[str] | dict[str, str]): The labels as `initialize` takes them,
        with definitions if there are any."""
        if any(self._state.labels.values()):
            return dict(self._state.labels)
        return list(self._state.labels)

    def add_label(self, label: str, definition: str = "") -> int:
        """Add a label.

        label (str): The label.
        definition (str): Its definition.
        RETURNS (int): 0 if the component has the label already, otherwise 1.
        RAISES (ValueError): The format cannot represent the label, or the definition
            is not one line.
        """
        if label in self._state.labels:
            return 0
        new = read_labels({label: definition}, self.format)
        self._set_state(
            labels={**self._state.labels, **new},
            replaced_labels=self._configured_state.labels,
        )
        return 1

    def set_labels(self, labels: list[str] | dict[str, str]) -> None:
        """Replace the labels, without training. Use it with a model that takes any
        labels: one without an adapter, a remote model, or a universal adapter. The
        labels of a single document are set with `doc._.genner_labels`.

        labels (list[str] | dict[str, str]): The labels, or label to definition.
        RAISES (ValueError): A label occurs twice, or the format cannot represent it.
        """
        chosen = read_labels(dict(to_label_set(labels)), self.format)
        self._take_start_state()
        if not self.takes_any_labels:
            self._warn_of_fixed_labels(list(chosen), self.labels)
        self._set_state(labels=chosen, replaced_labels=self._configured_state.labels)

    @property
    def takes_any_labels(self) -> bool:
        """RETURNS (bool): Whether the model was not trained for fixed labels. It then
        follows the labels that it is given."""
        self._take_start_state()
        is_tuned = self.lm.has_adapter and not self._is_untrained
        return self._state.any_labels or not is_tuned

    @property
    def _is_untrained(self) -> bool:
        return self._shim.is_trainable and cast("LanguageModel", self.lm).is_untrained

    def _warn_of_fixed_labels(
        self, labels: Sequence[str], trained: Sequence[str]
    ) -> None:
        """Warn once if a model that was trained for fixed labels is given others."""
        if self._warned_fixed or set(labels) <= set(trained):
            return
        self._warned_fixed = True
        warn(
            Warnings.W410.format(
                name=self.name, trained=list(trained), found=list(labels)
            )
        )

    def _warn_of_other_labels(self, labels: LabelSet | None) -> None:
        """Warn if documents are annotated with labels that the model was not trained
        for: their own, or those of the config with an adapter to start from."""
        if labels is not None:
            if not self.takes_any_labels:
                own = [label for label, _ in labels]
                self._warn_of_fixed_labels(own, self.labels)
        elif self._start_labels and not self._is_training and not self._is_loaded:
            self._warn_of_fixed_labels(self.labels, self._start_labels)

    # Prediction

    @property
    def predictor(self) -> Predictor:
        """The predictor for the labels and the prompt. The base is loaded at first use.

        RETURNS (Predictor): The predictor.
        RAISES (ValueError): The base is not available, or it is another base than the
            one that a saved component was trained with.
        """
        with self._lock:
            if self._predictor is None:
                self._take_start_state()
                self._predictor = self._make_predictor(self._layout())
            return self._predictor

    def _predictor_for(self, labels: LabelSet | None) -> Predictor:
        """The predictor of the label set of a document. The last few are kept."""
        if labels is None:
            return self.predictor
        with self._lock:
            self._take_start_state()
            kept = self._label_set_predictors
            # Moved to the end: the first one is the least recently used.
            found = kept.pop(labels, None)
            if found is None:
                state = replace(
                    self._state, labels=read_labels(dict(labels), self.format)
                )
                layout = state.layout(self._selection, self.lm.has_adapter)
                found = self._make_predictor(layout, uses_draft_head=False)
                if len(kept) >= KEPT_LABEL_SETS:
                    kept.pop(next(iter(kept)))
            kept[labels] = found
            return found

    def _make_predictor(
        self, layout: PromptLayout, uses_draft_head: bool = True
    ) -> Predictor:
        predictor = self._shim.make_predictor(
            PredictorConfig(
                self.format,
                layout,
                self.window,
                int(self.cfg["max_depth"]),
                self._state.prompt.chat,
                self._decoder,
                uses_draft_head,
            )
        )
        if self._state.checksum not in (None, predictor.checksum):
            raise ValueError(
                Errors.G415.format(
                    name=self.name,
                    base=self.lm.name,
                    expected=self._state.checksum,
                    found=predictor.checksum,
                )
            )
        self._state = replace(self._state, checksum=predictor.checksum)
        return predictor

    def _take_start_state(self, anew: bool = False) -> None:
        """Take over the prompt that the adapter of the settings was trained with, and
        its labels if there are none. A loaded component has its own state, unless it is
        trained anew."""
        with self._lock:
            name = getattr(self.lm, "adapter", None)
            needed = not self._has_start_state and (anew or not self._is_loaded)
            if name is not None and needed:
                self._read_start_state(name)

    def _read_start_state(self, name: str) -> None:
        from ..models.adapter_source import find_adapter

        state_file = find_adapter(name).state_file
        if state_file is not None:
            saved = self._adapter_state(name, state_file, Errors.G282)
            # The labels of the config stay.
            own = self._configured_state.labels
            if not saved.any_labels:
                self._start_labels = tuple(saved.labels)
            takes_labels = not self._state.labels
            warn_of_differences(
                self._configured_state, replace(saved, labels=own), self.name
            )
            self._set_state(
                labels=self._state.labels or saved.labels,
                readings=saved.readings,
                prompt=saved.prompt,
                checksum=saved.checksum,
                any_labels=saved.any_labels,
                score_map=saved.score_map,
            )
            self._has_start_labels = takes_labels
        self._has_start_state = True

    def _adapter_state(self, name: str, path: Path, message: str) -> ComponentState:
        return read_adapter_state(path, name, self.name, self.format.name, message)

    def _discard_predictors(self) -> None:
        self._predictor = None
        self._label_set_predictors = {}

    def load(self) -> "GenerativeNER":
        """Load the base now rather than at first use, and prepare decoding. The first
        document is then annotated as fast as the others.

        RETURNS (GenerativeNER): The component itself.
        RAISES (ValueError): There are no labels, or the base is not available.
        """
        self._take_start_state()
        self._check_has_labels()
        predictor = self.predictor
        if self._shim.is_trainable:
            cast(TrainablePredictor, predictor).load()
        return self

    def prepare(self) -> None:
        """Load the adapter and prepare decoding. Without labels, which documents may
        bring, prepare the weights alone.

        RAISES (ValueError): The base is not available, or the adapter does not fit.
        """
        self._take_start_state()
        if self._state.labels:
            self.load()
        elif self._shim.is_trainable:
            cast("LanguageModel", self.lm).decoding_network()

    def with_adapter(self, adapter: str | Path) -> "GenerativeNER":
        """Make a component with another adapter on the same base. It has the labels and
        the prompt that the adapter was saved with, or those of this component for an
        adapter of another tool, and all other settings of this one. An adapter that
        takes any labels gets the labels of this component, if it has any.

        adapter (str | Path): "universal", a folder with an adapter, a saved component,
            a saved pipeline with one such component, or a hub id.
        RETURNS (GenerativeNER): The component, which is in no pipeline. Its weights are
            loaded at first use, or by `load`.
        RAISES (ValueError): The model is not one of this process, the adapter does not
            exist or is damaged, or was trained for another base or another format.
        """
        if not self._shim.is_trainable:
            raise ValueError(Errors.G860.format(name=self.name, base=self.lm.name))
        from ..models.adapter_source import find_adapter

        source = find_adapter(str(adapter))
        self._take_start_state()
        state = replace(self._state, score_map=None)
        if source.state_file is not None:
            saved = self._adapter_state(source.name, source.state_file, Errors.G861)
            checksum = state.checksum or self.lm.checksum
            own = state if self.takes_any_labels else self._configured_state
            state = fit_adapter_state(
                saved, source.name, self.lm.name, checksum, own.labels
            )
        lm = cast("LanguageModel", self.lm).with_adapter(source)
        attrs = self._attributes()
        model: Model = Model(
            self.model.name,
            self.model._func,
            shims=[self._shim.with_lm(lm)],
        )
        attrs |= {"model": model, "_state": state, "adapters": None}
        attrs |= {"_is_loaded": True, "_is_training": False, "_warned_rate": False}
        attrs["_warned_untrained"] = attrs["_warned_fixed"] = False
        return _restore_component(type(self), attrs)

    def swap_adapter(self, adapter: str | Path) -> None:
        """Replace the adapter while other threads may be using the component.

        The new adapter is read, checked and prepared first. Then it takes the place of
        the old one at once, with its labels and its prompt. Batches that have begun are
        finished with the old adapter, so that each document sees one adapter. If the
        new one can't be used, nothing changes. Between `initialize` and the end of a
        training the adapter must not be swapped.

        adapter (str | Path): See `with_adapter`.
        RAISES (ValueError): See `with_adapter`; or the adapter does not fit the layers
            of the base, or its prompt leaves no room for text.
        """
        other = self.with_adapter(adapter)
        other.prepare()
        with self._lock:
            self._shim.lm = other.lm
            self._state = other._state
            self._is_loaded, self._is_training = True, False
            self._warned_rate = self._warned_fixed = self._warned_untrained = False
            self._discard_predictors()
            self._predictor = other._predictor
            self._target_builder = self._target_counts = None

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one document.

        doc (Doc): The document.
        RETURNS (Doc): The same document, even if it failed and the error handler
            returned.
        """
        return next(self._annotate([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of documents.

        A document that fails gets an empty group with the status "failed", and the
        error handler is called with this document alone.

        stream (Iterable[Doc]): The documents.
        batch_size (int): The number of documents to process together.
        YIELDS (Doc): All documents, in order.
        """
        for docs in util.minibatch(stream, size=batch_size):
            yield from self._annotate(docs)

    def _annotate(self, docs: list[Doc]) -> Iterator[Doc]:
        predictions = self.predict(docs)
        self.set_annotations(docs, predictions)
        handler = self.get_error_handler()
        for doc, prediction in zip(docs, predictions, strict=True):
            if prediction.error is not None:
                handler(self.name, self, [doc], prediction.error)
            yield doc

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """Predict spans without changing the documents.

        docs (Iterable[Doc]): The documents.
        RETURNS (list[Prediction]): One prediction for each.
        RAISES (ValueError): There are no labels, or the base is not available.
        """
        return predict_in_groups(
            list(docs), get_adapter_name, self._predict_with_adapter
        )

    def _predict_with_adapter(
        self, name: str | None, docs: list[Doc]
    ) -> list[Prediction]:
        """Predict for documents that name one adapter. If it can't be loaded, only
        these documents fail."""
        if name is None:
            return self._predict_with_labels(docs)
        try:
            if self.adapters is None:
                raise ValueError(Errors.G865.format(name=name, component=self.name))
            return self.adapters.get(name)._predict_with_labels(docs)
        except Exception as error:
            return [failed_prediction(doc, error) for doc in docs]

    def _predict_with_labels(self, docs: list[Doc]) -> list[Prediction]:
        """Predict with the adapter of this component."""
        self._take_start_state()
        if docs and all(doc._.genner_labels is None for doc in docs):
            self._check_has_labels()
        return predict_in_groups(docs, get_label_set, self._predict_with_label_set)

    def _predict_with_label_set(
        self, labels: LabelSet | None, docs: list[Doc]
    ) -> list[Prediction]:
        """Predict for documents with one label set. If it can't be used, only these
        documents fail."""
        if labels is None and not self._state.labels:
            # Other documents of the batch have labels.
            error = ValueError(Errors.G410.format(name=self.name))
            return [failed_prediction(doc, error) for doc in docs]
        if not any(map(len, docs)):
            return [Prediction() for _ in docs]
        try:
            predictor = self._predictor_for(labels)
            self._warn_if_untrained()
            self._warn_of_other_labels(labels)
            return self._predict_with(predictor, docs)
        except ValueError as error:
            if labels is None or not str(error).startswith(_LABEL_ERRORS):
                raise
            return [failed_prediction(doc, error) for doc in docs]

    def _predict_with(self, predictor: Predictor, docs: list[Doc]) -> list[Prediction]:
        predictions = predictor.predict(docs)
        for prediction in predictions:
            limit_depth(prediction, int(self.cfg["max_depth"]))
        if self.verifier is not None:
            layout = self.verifier.layout(predictor.layout)
            judge = partial(predictor.judge, layout=layout)
            self.verifier.verify(docs, predictions, judge)
        return predictions

    def _warn_if_untrained(self) -> None:
        """Warn once if the adapter is new. `spacy train` evaluates after the first
        step, when training has begun."""
        if self._is_training or self._warned_untrained or self._state.demonstrations:
            return
        if self._is_untrained:
            self._warned_untrained = True
            warn(Warnings.W407.format(name=self.name))

    def set_annotations(
        self, docs: Iterable[Doc], predictions: list[Prediction]
    ) -> None:
        """Write predictions to documents.

        docs (Iterable[Doc]): The documents.
        predictions (list[Prediction]): The result of `predict`.
        """
        for doc, prediction in zip(docs, predictions, strict=True):
            write_prediction(doc, prediction, self.cfg, self.score_map)

    @property
    def score_map(self) -> ScoreMap | None:
        """RETURNS (ScoreMap | None): The function that calibrates the scores. It is
        saved with the component, and training removes it."""
        return self._state.score_map

    @score_map.setter
    def score_map(self, value: ScoreMap | None) -> None:
        with self._lock:
            self._state = replace(self._state, score_map=value)

    # Training

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

        get_examples (Callable[[], Iterable[Example]]): Returns the training examples.
        nlp (Language | None): The pipeline.
        labels (list[str] | dict[str, str] | None): The labels, or label to definition.
            By default those of the config, or else those of the examples.
        adapter (str | None): A folder with an adapter to continue from, as peft or
            LLaMA-Factory save it.
        demonstrations (str | None): A `.spacy` file with annotated documents that the
            prompt shows as examples.
        RAISES (ValueError): There are no examples, a label is missing, unknown or
            invalid, or the adapter does not fit the base.
        """
        validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        if self.key != "sc":
            warn(Warnings.W401.format(name=self.name, key=self.key))
        if labels is not None:
            chosen = read_labels(labels, self.format)
        else:
            # Those of the adapter to start from are not those of the data.
            chosen = {} if self._has_start_labels else self._state.labels
        explicit = self._has_explicit_labels or labels is not None
        found = collect_labels(
            get_examples,
            self.key,
            chosen if explicit else None,
            required=not chosen,
        )
        if not explicit:
            new = {label: "" for label in found if label not in chosen}
            chosen = read_labels({**chosen, **new}, self.format)
        has_label_sets = any(
            get_label_set(example.reference) is not None for example in get_examples()
        )
        if not chosen and not has_label_sets:
            raise ValueError(Errors.G411.format(name=self.name, key=self.key))
        shown = read_demonstrations(
            demonstrations,
            self.vocab,
            self.key,
            self.format,
            list(chosen),
            self._shim.is_token_aligned,
        )
        self._sentences_by = find_sentence_setter(nlp, self.name)
        if nlp is not None and self.window.unit != "doc":
            warn_of_sentencizer(nlp, self.name)
        if adapter is not None and self._shim.is_trainable:
            # Before the present adapter is discarded.
            cast("LanguageModel", self.lm).check_adapter(Path(adapter))
        with self._lock:
            self._take_start_state(anew=True)
            self._is_loaded = False
            self.lm.reset_adapter(_training_seed(nlp))
            if adapter is not None:
                self.lm.load(Path(adapter))
            self._is_training = False
            checksum = self._state.checksum if self._has_start_state else None
            self._set_state(
                labels=chosen,
                demonstrations=shown,
                checksum=checksum,
                any_labels=False,
                score_map=None,
            )
            # Load the base now, so that training does not start with an error.
            if chosen:
                _ = self.predictor
            if adapter is not None:
                # An adapter that does not fit the base is refused here.
                _ = cast("LanguageModel", self.lm).training_network

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch, by teacher forcing on the rendered reference.

        examples (Iterable[Example]): The batch.
        drop (float): The dropout on the adapter's input, if it is higher than
            `lora.dropout` of the config.
        sgd (Optimizer | None): Updates the adapter. None to accumulate gradients.
        losses (dict[str, float] | None): The losses so far, by component.
        RETURNS (dict[str, float]): The losses.
        RAISES (ValueError): The component has no adapter, or an example is invalid.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        sequences = self._training_sequences(examples, "update")
        self._is_training = True
        if sequences:
            self._shim.lm.set_dropout(drop)
            batch_tokens = int(self.cfg["batch_tokens"])
            # A component without labels trains on the label sets of documents alone.
            own = bool(self._state.labels)
            labels = None if own else get_label_set(examples[0].reference)
            predictor = cast(TrainablePredictor, self._predictor_for(labels))
            trainer = predictor.trainer(self.loss, batch_tokens)
            losses[self.name] += trainer.accumulate(sequences)
            if sgd is not None:
                self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Update the adapter by the gradients of `update`, and clear them.

        sgd (Optimizer): The optimizer, which is used as it is. The warning W409 names a
            learning rate that is too high for the adapter.
        """
        if self._is_training and not self._warned_rate:
            from ..models.lora import effective_alpha

            network = cast("LanguageModel", self.lm).training_network
            alpha = effective_alpha(network)
            self._warned_rate = warn_if_rate_is_high(sgd, alpha, self.name)
        super().finish_update(sgd)

    def create_optimizer(self) -> Optimizer:
        """Create spaCy's default optimizer, with a learning rate that suits the
        adapter.

        RETURNS (Optimizer): The optimizer.
        """
        if self.lm.lora is None:
            return super().create_optimizer()
        default = Language.default_config["training"]["optimizer"]
        config = suitable_optimizer(default, self.lm.lora.alpha)
        optimizer: Optimizer = util.registry.resolve({"optimizer": config})["optimizer"]
        return optimizer

    def read_for_draft_head(
        self, examples: Iterable[Example]
    ) -> "list[DraftHeadExample]":
        """Compute the hidden states of texts, for the draft head to learn from.

        examples (Iterable[Example]): The examples.
        RETURNS (list[DraftHeadExample]): The hidden states and the spans of the texts.
        RAISES (ValueError): The component has no adapter or no draft head, or an
            example is invalid.
        """
        sequences = self._training_sequences(examples, "read_for_draft_head")
        if not self.lm.drafting.wanted:
            raise ValueError(Errors.G428.format(name=self.name))
        batch_tokens = int(self.cfg["batch_tokens"])
        reader = self._trainable_predictor().draft_head_reader(batch_tokens)
        return reader.read(sequences)

    def reset_draft_head(self) -> None:
        """Discard the draft head, so that training starts a new one. If its scores
        count, the calibration of the scores is removed (W922)."""
        lm = cast("LanguageModel", self.lm)
        lm.drafting.clear()
        if self._state.score_map is not None and lm.head_weight:
            self.score_map = None
            warn(Warnings.W922.format(name=self.name))

    def update_draft_head(
        self, texts: "Sequence[DraftHeadExample]", *, sgd: Optimizer | None = None
    ) -> float:
        """Train the draft head. The adapter does not change.

        texts (Sequence[DraftHeadExample]): The result of `read_for_draft_head`, at
            least one text.
        sgd (Optimizer | None): Updates the head. None to accumulate gradients.
        RETURNS (float): The mean loss of a text.
        RAISES (ValueError): The component has no draft head.
        """
        head = self._trainable_predictor().draft_head()
        if head is None:
            raise ValueError(Errors.G428.format(name=self.name))
        loss = head.learn(texts) / len(texts)
        loss.backward()
        if sgd is not None:
            # Not `finish_update`: the rate of the adapter's optimizer is not judged.
            self.model.finish_update(sgd)
        return float(loss.detach())

    @property
    def target_builder(self) -> "TargetBuilder":
        """RETURNS (TargetBuilder): Builds training targets from examples, and counts
        the reference spans that cannot be used."""
        if self._target_builder is None:
            self._target_builder = self._make_target_builder(self.predictor)
        return self._target_builder

    def _make_target_builder(self, predictor: Predictor) -> "TargetBuilder":
        """Make a builder of targets, which adds to the counts of the component."""
        self._check_trainable()
        builder = cast(TrainablePredictor, predictor).target_builder(
            self.key, self.cfg["crossing"], self._sentences_by
        )
        if self._target_counts is None:
            self._target_counts = builder.counts
        builder.counts = self._target_counts
        return builder

    def gold_counts(self) -> "TargetCounts | None":
        """RETURNS (TargetCounts | None): The reference spans that training has seen
        since `initialize`, and those that it could not use."""
        return self._target_counts

    def _training_sequences(
        self, examples: Iterable[Example], method: str
    ) -> "list[TrainingSequence]":
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.{method}")
        groups = group_by_label_set(example.reference for example in examples)
        if None in groups:
            self._check_has_labels()
        self._check_trainable()
        if not self.lm.has_adapter:
            raise ValueError(Errors.G412.format(name=self.name))
        if self._is_loaded and method == "update":
            message = partial(Errors.G348.format, name=self.name)
            for index in groups.get(None, ()):
                check_labels(examples[index].reference, self.key, self.labels, message)
        sequences: list[TrainingSequence] = []
        if method == "update" and self._state.score_map is not None:
            # The calibration belongs to the old weights.
            self.score_map = None
            warn(Warnings.W922.format(name=self.name))
        if method == "update" and any(labels is not None for labels in groups):
            self._state = replace(self._state, any_labels=True)
        for labels, indices in groups.items():
            chosen = [examples[index] for index in indices]
            if labels is None:
                sequences += self.target_builder.sequences(chosen)
            else:
                builder = self._make_target_builder(self._predictor_for(labels))
                # The draft head has the labels of the component alone, and skips
                # sequences without the positions of words.
                found = builder.sequences(chosen)
                sequences += [replace(each, word_ends=()) for each in found]
        return sequences

    def _trainable_predictor(self) -> TrainablePredictor:
        self._check_trainable()
        return cast(TrainablePredictor, self.predictor)

    def _check_trainable(self) -> None:
        if not self._shim.is_trainable:
            raise ValueError(Errors.G427.format(name=self.name))

    def _check_has_labels(self) -> None:
        if not self._state.labels:
            raise ValueError(Errors.G410.format(name=self.name))

    # State and serialization

    def _layout(self) -> PromptLayout:
        return self._state.layout(self._selection, self.lm.has_adapter)

    def _set_state(self, **changes: Any) -> None:
        """Change the state, and discard everything that was made from it."""
        with self._lock:
            self._state = replace(self._state, **changes)
            if "labels" in changes:
                self._has_start_labels = False
            self._discard_predictors()
            self._target_builder = self._target_counts = None

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): Labels, prompt, adapter and draft head, without the base."""
        with self._lock:
            return util.to_bytes(
                {
                    "genner": lambda: srsly.json_dumps(self._state_data()).encode(),
                    "adapter": self.lm.to_bytes,
                    "draft_head": self.lm.drafting.to_bytes,
                },
                exclude,
            )

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> "GenerativeNER":
        """Load the result of `to_bytes`.

        bytes_data (bytes): The data.
        RETURNS (GenerativeNER): The component itself.
        RAISES (ValueError): The component was saved with another output format.
        """
        states: list[ComponentState] = []
        heads: list[bytes] = []
        util.from_bytes(
            bytes_data,
            {
                "genner": lambda b: states.append(self._read_state(b)),
                "adapter": lambda b: self.lm.from_bytes(b),
                "draft_head": heads.append,
            },
            exclude,
        )
        labels = [label for state in states for label in state.labels]
        for head in heads:
            self.lm.drafting.from_bytes(head, "the bytes", labels)
        # Only now, so that a damaged adapter changes nothing.
        for state in states:
            self._use_saved_state(state)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save labels, prompt, adapter and draft head, without the base.

        If the process is killed meanwhile, the old folder remains, or the new one, or a
        backup beside it that loading names.

        path (str | Path): The folder.
        """
        with self._lock, replaced_folder(util.ensure_path(path)) as folder:
            srsly.write_json(folder / STATE_FILE, self._state_data())
            if self.lm.has_adapter:
                self.lm.save(folder / ADAPTER_FOLDER)
                head = self.lm.drafting.to_bytes()
                if head:
                    (folder / DRAFT_HEAD_FILE).write_bytes(head)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = ()
    ) -> "GenerativeNER":
        """Load the result of `to_disk`. The base is loaded at first use.

        path (str | Path): The folder.
        RETURNS (GenerativeNER): The component itself.
        RAISES (ValueError): The folder is incomplete, or the component was saved with
            another output format.
        """
        folder: Path = util.ensure_path(path)
        check_folder(folder)
        if not (folder / STATE_FILE).is_file():
            raise ValueError(Errors.G413.format(path=folder))
        state = self._read_state((folder / STATE_FILE).read_bytes())
        if (folder / ADAPTER_FOLDER).is_dir():
            self.lm.load(folder / ADAPTER_FOLDER)
            if (folder / DRAFT_HEAD_FILE).is_file():
                head = (folder / DRAFT_HEAD_FILE).read_bytes()
                where = str(folder / DRAFT_HEAD_FILE)
                self.lm.drafting.from_bytes(head, where, list(state.labels))
        elif self.lm.lora is not None:
            raise ValueError(Errors.G414.format(path=folder))
        else:
            self.lm.reset_adapter()
        # Only now, so that a damaged adapter changes nothing.
        self._use_saved_state(state)
        return self

    def _state_data(self) -> dict[str, Any]:
        if self._state.checksum is None:
            self._state = replace(self._state, checksum=self.lm.checksum)
        return self._state.to_json()

    def _read_state(self, data: bytes) -> ComponentState:
        state = ComponentState.from_bytes(data)
        if state.format != self.format.name:
            raise ValueError(
                Errors.G416.format(saved=state.format, found=self.format.name)
            )
        return state

    def _use_saved_state(self, state: ComponentState) -> None:
        warn_of_differences(self._configured_state, state, self.name)
        own = self._configured_state.labels
        if state.any_labels and own and own != state.replaced_labels:
            state = replace(state, labels=own)
        with self._lock:
            self._is_loaded = True
            self._state = state
            self._set_state(base=self.lm.name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Settings and adapter, for `n_process` and copies. Locks and everything that
        is made at first use are left out."""
        attrs = self._attributes()
        if self.adapters is not None:
            # The pool refers to this component.
            attrs["adapters"] = self.adapters.settings()
        return _restore_component, (type(self), attrs)

    def _attributes(self) -> dict[str, Any]:
        attrs = {**self.__dict__, "_predictor": None, "_target_builder": None}
        attrs |= {"_label_set_predictors": {}, "_target_counts": None}
        del attrs["_lock"]
        inherited = ("vocab", "model", "name", "cfg", "scorer")
        attrs |= {key: getattr(self, key) for key in inherited}
        # The copy of the model has a copy of the shim.
        del attrs["_shim"]
        return attrs


def _restore_component(
    cls: type[GenerativeNER], attrs: dict[str, Any]
) -> GenerativeNER:
    component = cls.__new__(cls)
    for key, value in attrs.items():
        setattr(component, key, value)
    component._shim = get_shim(component.model)
    component._lock = threading.RLock()
    if component.adapters is not None:
        AdapterPool(component, **component.adapters)  # type: ignore[arg-type]
    return component


def _training_seed(nlp: Language | None) -> int | None:
    """The setting `training.seed` of a pipeline."""
    if nlp is None:
        return None
    seed = nlp.config.interpolate().get("training", {}).get("seed")
    return seed if isinstance(seed, int) else None
