"""Many adapters on one base: annotate each document with the adapter that it names.

An `AdapterPool` belongs to one `generative_ner` component. It finds adapters by name,
loads them at first use, and drops those that were not used for the longest time. All of
them share the base of the component, which is in memory once.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors, Warnings, warn
from .loading import find_component

if TYPE_CHECKING:
    from .generative_ner import GenerativeNER

ATTRIBUTE = "genner_adapter"
# The number of names that a message lists.
_LISTED = 12

if not Doc.has_extension(ATTRIBUTE):
    Doc.set_extension(ATTRIBUTE, default=None)


def get_adapter_name(doc: Doc) -> str | None:
    """Get the name of the adapter that annotates a document.

    doc (Doc): The document.
    RETURNS (str | None): The value of `doc._.genner_adapter`. None for the adapter of
        the component.
    RAISES (ValueError): The attribute holds no name.
    """
    name = doc._.get(ATTRIBUTE)
    if name is not None and not isinstance(name, str):
        raise ValueError(Errors.G581.format(found=name))
    return name


@dataclass
class _Loading:
    """An adapter that is being loaded.

    is_dropped (bool): Whether it was dropped meanwhile, so that it is not kept.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    is_dropped: bool = False


class AdapterPool:
    """Adapters by name, on the base of one component.

    The pool belongs to the component from then on: a document whose attribute
    `doc._.genner_adapter` is a name is annotated by this adapter, with the labels and
    the prompt that it was saved with. All other settings are those of the component.
    Documents without a name are annotated by the component's own adapter. Several
    threads may use a pool.

    nlp (Language | GenerativeNER): The pipeline, or its component.
    adapters (str | Path | Mapping[str, str | Path] | None): A folder, whose subfolders
        are the adapters; or each name with a folder or a hub id. Other names are
        refused. None to take each name as a folder or a hub id: only for names that do
        not come from users.
    max_loaded (int): The maximum number of adapters in memory.
    max_mb (float | None): The maximum size of these adapters, in MB of 10^6 bytes:
        weights, merged copies and draft heads. None for no limit.
    RAISES (ValueError): The pipeline has no generative component or several, or a
        setting is invalid.
    """

    def __init__(
        self,
        nlp: "Language | GenerativeNER",
        adapters: str | Path | Mapping[str, str | Path] | None = None,
        *,
        max_loaded: int = 8,
        max_mb: float | None = None,
    ) -> None:
        _check_limit("max_loaded", max_loaded)
        if max_mb is not None:
            _check_limit("max_mb", max_mb)
        if isinstance(adapters, (str, Path)) and not Path(adapters).is_dir():
            raise ValueError(
                Errors.G864.format(
                    key="adapters",
                    found=str(adapters),
                    expected="an existing folder, a dict of names, or None",
                )
            )
        self.nlp: Language | None = nlp if isinstance(nlp, Language) else None
        self.component: GenerativeNER = (
            find_component(nlp, "the pipeline") if isinstance(nlp, Language) else nlp
        )
        self.adapters = adapters
        self.max_loaded = max_loaded
        self.max_mb = max_mb
        self._lock = threading.RLock()
        # The least recently used adapter comes first.
        self._loaded: dict[str, tuple[GenerativeNER, int]] = {}
        self._loading: dict[str, _Loading] = {}
        self._warned = False
        self.component.adapters = self

    @property
    def loaded(self) -> dict[str, float]:
        """RETURNS (dict[str, float]): The adapters in memory with their size in MB. The
        least recently used one comes first."""
        with self._lock:
            return {name: size / 1e6 for name, (_, size) in self._loaded.items()}

    def settings(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The settings of the pool, without its component."""
        return {
            "adapters": self.adapters,
            "max_loaded": self.max_loaded,
            "max_mb": self.max_mb,
        }

    def get(self, name: str) -> "GenerativeNER":
        """Get the component with an adapter, loaded if necessary.

        name (str): The name of the adapter.
        RETURNS (GenerativeNER): The component. It can be used even after the pool has
            dropped the adapter.
        RAISES (ValueError): There is no such adapter, or it does not fit the base or
            the format of the component.
        """
        with self._lock:
            kept = self._use(name)
            if kept is not None:
                return kept
            place = self._find(name)
            loading = self._loading.setdefault(name, _Loading())
        with loading.lock:
            with self._lock:
                kept = self._use(name)
                if kept is not None:
                    return kept
                if self._loading.get(name) is not loading:
                    # Dropped, or loaded and evicted, while this thread waited.
                    loading = self._loading.setdefault(name, _Loading())
            try:
                made = self.component.with_adapter(place)
                made.prepare()
            finally:
                with self._lock:
                    if self._loading.get(name) is loading:
                        del self._loading[name]
            with self._lock:
                if not loading.is_dropped:
                    self._keep(name, made)
            return made

    def __call__(self, text: str | Doc, adapter: str | None) -> Doc:
        """Annotate one document.

        text (str | Doc): The text.
        adapter (str | None): The name of the adapter. None for that of the component.
        RETURNS (Doc): The document.
        """
        return next(iter(self.pipe([(text, adapter)])))

    def pipe(
        self,
        texts: Iterable[tuple[str | Doc, str | None]],
        *,
        batch_size: int | None = None,
    ) -> Iterator[Doc]:
        """Annotate documents by the whole pipeline. The documents of a batch that name
        the same adapter are decoded together, and the adapters take turns.

        texts (Iterable[tuple[str | Doc, str | None]]): Texts, each with the name of an
            adapter.
        batch_size (int | None): The number of documents in a batch.
        YIELDS (Doc): The documents, in order. `doc._.genner_adapter` has the name.
        RAISES (ValueError): The pool was made from a component, without a pipeline.
        """
        if self.nlp is None:
            raise ValueError(
                Errors.G864.format(
                    key="nlp", found="a component", expected="a pipeline"
                )
            )
        yield from self.nlp.pipe(self._docs(self.nlp, texts), batch_size=batch_size)

    def drop(self, name: str) -> None:
        """Drop an adapter from memory, so that its next use reads it again. Documents
        that it annotates at the moment are finished with it.

        name (str): The name of the adapter.
        """
        with self._lock:
            self._loaded.pop(name, None)
            loading = self._loading.pop(name, None)
            if loading is not None:
                loading.is_dropped = True

    def clear(self) -> None:
        """Drop all adapters from memory."""
        with self._lock:
            for name in [*self._loaded, *self._loading]:
                self.drop(name)

    def _docs(
        self, nlp: Language, texts: Iterable[tuple[str | Doc, str | None]]
    ) -> Iterator[Doc]:
        for text, name in texts:
            doc = nlp.make_doc(text) if isinstance(text, str) else text
            doc._.set(ATTRIBUTE, name)
            yield doc

    def _use(self, name: str) -> "GenerativeNER | None":
        found = self._loaded.pop(name, None)
        if found is None:
            return None
        self._loaded[name] = found
        return found[0]

    def _keep(self, name: str, made: "GenerativeNER") -> None:
        size = int(getattr(made.lm, "memory", 0))
        self._loaded[name] = made, size
        if self.max_mb is not None and size > self.max_mb * 1e6 and not self._warned:
            self._warned = True
            warn(
                Warnings.W860.format(
                    name=name, size=round(size / 1e6, 1), limit=self.max_mb
                )
            )
        while len(self._loaded) > 1 and self._is_full():
            del self._loaded[next(iter(self._loaded))]

    def _is_full(self) -> bool:
        if len(self._loaded) > self.max_loaded:
            return True
        total = sum(size for _, size in self._loaded.values())
        return self.max_mb is not None and total > self.max_mb * 1e6

    def _find(self, name: str) -> str | Path:
        """The folder or the hub id of an adapter."""
        if not isinstance(name, str) or not name:
            raise ValueError(Errors.G866.format(found=name))
        if self.adapters is None:
            return name
        if isinstance(self.adapters, Mapping):
            if name in self.adapters:
                return self.adapters[name]
            known = sorted(self.adapters)
        else:
            # The entries of the folder, and not a path of a name: "../other" is none.
            found = {path.name: path for path in Path(self.adapters).iterdir()}
            if name in found and found[name].is_dir():
                return found[name]
            known = sorted(key for key, path in found.items() if path.is_dir())
        listed = ", ".join(known[:_LISTED]) + (", ..." if known[_LISTED:] else "")
        raise ValueError(Errors.G863.format(name=name, known=listed or "none"))


def _check_limit(key: str, value: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if key == "max_loaded":
        is_number = is_number and isinstance(value, int)
    if not is_number or not value > 0:
        expected = "an integer above 0" if key == "max_loaded" else "a number above 0"
        raise ValueError(Errors.G864.format(key=key, found=value, expected=expected))
