"""Many adapters on one base: shared tensors, swaps during annotation, and the pool."""

import gc
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from component_cases import (
    NAME,
    NESTED,
    TEXTS,
    component,
    make_doc,
    perturb,
    pipeline,
    result,
)
from safetensors.torch import load as load_tensors
from safetensors.torch import load_file, save_file

from spacy_genner.errors import GennerWarning
from spacy_genner.models import lora
from spacy_genner.models.adapter_files import head_labels
from spacy_genner.models.adapter_source import find_adapter
from spacy_genner.pipeline.adapters import AdapterPool
from spacy_genner.pipeline.generative_ner import GenerativeNER

WORDS = [text for text, _ in TEXTS + NESTED]
# Each adapter has labels of its own, so that a mixture of two can't go unnoticed.
LABELS = {"acme": ["ORG", "GPE"], "zeta": ["GENE", "CELL"], "nova": ["ORG", "DATE"]}
FIXTURES = Path(__file__).parents[1] / "fixtures" / "pipelines"


@pytest.fixture(scope="module")
def folder(tiny_base, tmp_path_factory):
    """A folder with three saved components, which have random adapters."""
    folder = tmp_path_factory.mktemp("customers")
    for seed, (name, labels) in enumerate(LABELS.items()):
        nlp = perturb(pipeline(tiny_base("llama"), labels=labels), seed)
        component(nlp).to_disk(folder / name)
    return folder


@pytest.fixture(scope="module")
def expected(tiny_base, folder):
    """The results of each adapter in a pipeline of its own."""
    found = {}
    for name, labels in LABELS.items():
        nlp = pipeline(tiny_base("llama"), labels=labels)
        component(nlp).from_disk(folder / name)
        found[name] = annotate(nlp)
        assert any(spans for spans, *_ in found[name])
    return found


@pytest.fixture
def nlp(tiny_base):
    return pipeline(tiny_base("llama"), labels=None)


def annotate(nlp, name=None, words=WORDS):
    docs = [make_doc(nlp, text) for text in words]
    for doc in docs:
        doc._.genner_adapter = name
    return [result(doc) for doc in nlp.pipe(docs)]


def same(found, expected):
    """Whether results are equal up to the last digits of the scores, which depend on
    the padding of a batch."""
    return all(
        one[0] == two[0] and one[1] == pytest.approx(two[1], abs=1e-4)
        for one, two in zip(found, expected, strict=True)
    )


def storages(network):
    return {
        tensor.data_ptr(): tensor.numel() * tensor.element_size()
        for tensor in (*network.parameters(), *network.buffers())
    }


# Memory


@pytest.mark.parametrize("merge", [True, False])
def test_memory_grows_by_the_adapters_alone(tiny_base, folder, merge):
    nlp = pipeline(tiny_base("llama"), labels=None, model__merge=merge)
    made = [component(nlp).with_adapter(folder / "acme") for _ in range(6)]
    for each in made:
        each.load()
    base = made[0].lm.base
    assert all(each.lm.base is base for each in made)
    assert all(each.lm.token_encoder is base.token_encoder for each in made)
    shared = storages(base.model)
    networks = [each.lm.decoding_network() for each in made]
    owned = [storages(network).keys() - shared.keys() for network in networks]
    # No two components share a tensor that is not the base's.
    assert len(set().union(*owned)) == sum(map(len, owned))
    layers = sum(isinstance(m, torch.nn.Linear) for m in base.model.modules()) - 1
    assert len(owned[0]) == (layers if merge else 2 * layers)
    # The saved adapter and the weights to decode with, and no others.
    file = (folder / "acme" / "adapter" / "adapter_model.safetensors").stat().st_size
    decoding = sum(storages(networks[0])[pointer] for pointer in owned[0])
    assert all(each.lm.memory == file + decoding for each in made)
    if not merge:
        assert made[0].lm.memory < 2.1 * file


def test_merged_copies_take_half_of_the_free_memory(tiny_base, folder, monkeypatch):
    """Each new component counts the copies of its predecessors."""
    nlp = pipeline(tiny_base("llama"), labels=None)
    gc.collect()
    kept = component(nlp).with_adapter(folder / "acme")
    network = kept.lm.training_network
    size = sum(
        layer.get_base_layer().weight.numel() * 4
        for layer in lora.lora_layers(network).values()
    )
    before = sum(lora._merged_sizes.values())
    copies = []

    def free(device):
        return 8 * size - sum(lora._merged_sizes.values()) + before

    monkeypatch.setattr(lora, "free_memory", free)
    monkeypatch.setattr(lora, "_merged_sizes", type(lora._merged_sizes)())
    before = 0
    cpu = torch.device("cpu")
    while lora.should_merge("auto", network, cpu):
        copies.append(lora.merged(network))
        assert len(copies) <= 4
    assert len(copies) == 4
    del copies[:]
    gc.collect()
    assert lora.should_merge("auto", network, cpu)


def test_training_after_decoding_continues_with_the_adapter(tiny_base, nlp, folder):
    """The float32 weights, which decoding does not keep, come back for training."""
    other = component(nlp).with_adapter(folder / "acme").load()
    assert other.lm._training is None
    saved = other.lm.adapter_files().weights
    weights = other.lm.adapter_parameters()
    assert other.lm.adapter_files().weights == saved
    next(iter(weights.values())).data += 1
    other.lm.mark_changed()
    assert other.lm.adapter_files().weights != saved


# Swaps


def test_a_swap_takes_labels_and_results_of_the_new_adapter(
    nlp, folder, expected, tmp_path
):
    pipe = component(nlp)
    for name in ("acme", "zeta", "acme"):
        pipe.swap_adapter(folder / name)
        assert list(pipe.labels) == LABELS[name]
        assert same(annotate(nlp), expected[name])
    pipe.swap_adapter(str(folder / "zeta"))
    nlp.to_disk(tmp_path / "saved")
    again = pipeline(pipe.lm.name, labels=None)
    again.from_disk(tmp_path / "saved")
    assert same(annotate(again), expected["zeta"])
    copied = pickle.loads(pickle.dumps(pipe))
    assert list(copied.labels) == LABELS["zeta"]


def test_swaps_while_threads_annotate(nlp, folder, expected):
    """50 swaps; each document has the result of one adapter, whole."""
    pipe = component(nlp)
    pipe.swap_adapter(folder / "acme")
    done = threading.Event()
    found, seen = [], set()

    def work():
        # A pause, so that the test does not spend its time waiting for the GIL.
        while not done.wait(0.02):
            docs = [make_doc(nlp, text) for text in WORDS]
            found.append([result(doc) for doc in pipe.pipe(docs, batch_size=3)])

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work) for _ in range(2)]
        try:
            for number in range(50):
                pipe.swap_adapter(folder / ("zeta", "acme")[number % 2])
        finally:
            done.set()
        for future in futures:
            future.result()
    assert len(found) > 2
    for results in found:
        for index, each in enumerate(results):
            matches = [
                name
                for name in ("acme", "zeta")
                if same([each], [expected[name][index]])
            ]
            assert matches
            seen.update(matches if len(matches) == 1 else ())
    assert seen == {"acme", "zeta"}


def test_an_adapter_of_another_tool_keeps_labels_and_prompt(nlp, folder, tmp_path):
    pipe = component(nlp)
    pipe.swap_adapter(folder / "zeta")
    shutil.copytree(folder / "acme" / "adapter", tmp_path / "plain")
    pipe.swap_adapter(tmp_path / "plain")
    assert list(pipe.labels) == LABELS["zeta"]


def test_refused_swaps_change_nothing(tiny_base, nlp, folder, expected, tmp_path):
    pipe = component(nlp)
    pipe.swap_adapter(folder / "acme")
    xml = pipeline(tiny_base("llama"), labels=["A"], format="inline_xml")
    component(xml).to_disk(tmp_path / "xml")
    far = pipeline(tiny_base("llama", seed=5), labels=["A"])
    component(far).to_disk(tmp_path / "far")
    # An adapter as another tool may save it, without the weights of a layer.
    shutil.copytree(folder / "zeta" / "adapter", tmp_path / "plain")
    tensors = load_file(tmp_path / "plain" / "adapter_model.safetensors")
    del tensors[min(tensors)]
    save_file(tensors, tmp_path / "plain" / "adapter_model.safetensors")
    shutil.copytree(folder / "zeta", tmp_path / "damaged")
    weights = tmp_path / "damaged" / "adapter" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    shutil.copytree(folder / "zeta", tmp_path / "state")
    (tmp_path / "state" / "genner.json").write_text("{}")
    for name, code in {
        "xml": r"G861.*'inline_xml'.*'inline_bracketed'",
        "far": "G862",
        "missing": "G281",
        "plain": "G255",
        "damaged": "G271",
        "state": "G41[78]",
    }.items():
        with pytest.raises(ValueError, match=code):
            pipe.swap_adapter(tmp_path / name)
        assert list(pipe.labels) == LABELS["acme"]
    assert same(annotate(nlp), expected["acme"])


def test_a_model_behind_a_server_is_refused():
    import spacy

    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy-genner.OpenAICompatible.v1",
        "name": "m",
        "base_url": "http://localhost:1/v1",
    }
    pipe = nlp.add_pipe(NAME, config={"labels": ["A"], "model": model})
    with pytest.raises(ValueError, match="G860"):
        pipe.swap_adapter("universal")


def test_the_draft_head_comes_with_the_adapter(nlp):
    folder = FIXTURES / "inline_bracketed_draft_head"
    source = find_adapter(str(folder))
    assert source.draft_head_file is not None
    other = component(nlp).lm.with_adapter(source)
    saved = source.draft_head_file.read_bytes()
    # An earlier version saved it without its labels.
    assert head_labels(saved) == ()
    found = other.drafting.to_bytes()
    assert head_labels(found) == tuple(source.labels) != ()
    assert load_tensors(found).keys() == load_tensors(saved).keys()
    for name, tensor in load_tensors(saved).items():
        assert torch.equal(load_tensors(found)[name], tensor)
    assert other.memory > len(source.draft_head_file.read_bytes())


# The pool


def test_documents_name_their_adapters(nlp, folder, expected):
    pool = AdapterPool(nlp, folder)
    component(nlp).swap_adapter(folder / "nova")
    names = ["acme", "zeta", None]
    docs = list(
        pool.pipe(
            [(make_doc(nlp, text), name) for text in WORDS for name in names],
            batch_size=4,
        )
    )
    for number, name in enumerate(names):
        found = [result(doc) for doc in docs[number :: len(names)]]
        assert same(found, expected[name or "nova"])
        assert all(doc._.genner_adapter == name for doc in docs[number :: len(names)])
    assert pool("Lisbon wins", "acme").spans["sc"].attrs["status"] == "ok"
    # The component works in a copy of the pipeline, too, which loads its own adapters.
    copied = pickle.loads(pickle.dumps(component(nlp)))
    assert copied.adapters is not pool and copied.adapters.component is copied
    assert copied.adapters.settings() == pool.settings() and not copied.adapters.loaded


def test_the_least_recently_used_adapter_is_dropped(nlp, folder):
    pool = AdapterPool(nlp, {name: folder / name for name in LABELS}, max_loaded=2)
    acme = pool.get("acme")
    pool.get("zeta")
    assert pool.get("acme") is acme
    pool.get("nova")
    assert list(pool.loaded) == ["acme", "nova"]
    assert pool.get("acme") is acme
    pool.drop("acme")
    assert list(pool.loaded) == ["nova"] and pool.get("acme") is not acme
    size = pool.loaded["acme"]
    assert size == acme.lm.memory / 1e6
    pool.clear()
    assert not pool.loaded
    # The size limits, too. One adapter may exceed it.
    pool = AdapterPool(nlp, folder, max_mb=2.5 * size)
    for name in LABELS:
        pool.get(name)
    assert list(pool.loaded) == ["zeta", "nova"]
    pool = AdapterPool(nlp, folder, max_mb=size / 2)
    with pytest.warns(GennerWarning, match="W860.*'acme'"):
        pool.get("acme")
    pool.get("zeta")
    assert list(pool.loaded) == ["zeta"]


def test_threads_share_a_pool(nlp, folder, expected, monkeypatch):
    """Each adapter is loaded once, and a small pool gives the same results."""
    loads = []
    plain = GenerativeNER.with_adapter

    def counted(self, adapter):
        loads.append(Path(adapter).name)
        return plain(self, adapter)

    monkeypatch.setattr(GenerativeNER, "with_adapter", counted)
    for max_loaded in (8, 1):
        pool = AdapterPool(nlp, folder, max_loaded=max_loaded)
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda n: annotate(nlp, n), [*LABELS] * 4))
        for name, results in zip([*LABELS] * 4, found, strict=True):
            assert same(results, expected[name])
        assert len(pool.loaded) == min(max_loaded, len(LABELS))
        if max_loaded == 8:
            assert sorted(loads) == sorted(LABELS)


def test_an_adapter_that_is_dropped_while_it_loads_is_not_kept(
    nlp, folder, monkeypatch
):
    pool = AdapterPool(nlp, folder)
    plain = GenerativeNER.prepare

    def dropped(self):
        plain(self)
        pool.drop("acme")

    monkeypatch.setattr(GenerativeNER, "prepare", dropped)
    assert list(pool.get("acme").labels) == LABELS["acme"]
    assert not pool.loaded


def test_a_failure_belongs_to_the_documents_that_name_the_adapter(nlp, folder):
    def texts():
        return [(make_doc(nlp, "Lisbon wins"), n) for n in ("acme", "../acme", "zeta")]

    handled = []
    pool = AdapterPool(nlp, folder)
    component(nlp).set_error_handler(lambda *args: handled.append(args))
    docs = list(pool.pipe(texts()))
    assert [d.spans["sc"].attrs["status"] for d in docs] == ["ok", "failed", "ok"]
    ((_, _, (failed,), error),) = handled
    assert failed is docs[1]
    assert "G863" in str(error) and "acme, nova, zeta" in str(error)
    component(nlp).adapters = None
    (doc,) = nlp.pipe([docs[0]])
    assert "G865" in str(handled[-1][3])
    assert doc.spans["sc"].attrs["status"] == "failed"


@pytest.mark.parametrize("name", ["..", ".", "", 3, "nobody", "acme/adapter"])
def test_names_outside_of_the_pool_are_refused(nlp, folder, name):
    pool = AdapterPool(nlp, folder)
    with pytest.raises(ValueError, match="G86[36]"):
        pool.get(name)
    assert not pool._loading


@pytest.mark.parametrize(
    "settings",
    [
        {"max_loaded": 0},
        {"max_loaded": 1.5},
        {"max_mb": -1},
        {"max_mb": True},
        {"adapters": "no/such/folder"},
    ],
)
def test_settings_of_a_pool_are_checked(nlp, settings):
    (key,) = settings
    with pytest.raises(ValueError, match=f"G864.*'{key}'"):
        AdapterPool(nlp, **settings)
    assert component(nlp).adapters is None


def test_a_pool_without_a_pipeline_has_no_pipe(nlp, folder):
    pool = AdapterPool(component(nlp), folder)
    assert list(pool.get("acme").labels) == LABELS["acme"]
    with pytest.raises(ValueError, match="G864"):
        pool("Lisbon wins", "acme")
