"""Adapter folders, written all or nothing, and the export for peft and vLLM."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import torch

from spacy_genner import io
from spacy_genner.io import backup_of, check_folder, replaced_folder
from spacy_genner.models import adapter_files, base_model
from spacy_genner.models.adapter_files import (
    AdapterFiles,
    export_base,
    read_adapter,
    write_adapter,
)
from spacy_genner.models.base_model import BaseSource
from spacy_genner.models.language_model import LanguageModel


class Killed(BaseException):
    """Simulates a kill: it is not an Exception, so no handler catches it."""


OLD = AdapterFiles({"peft_type": "LORA", "r": 1}, b"old")
NEW = AdapterFiles({"peft_type": "LORA", "r": 2}, b"new")


def test_an_adapter_folder_is_replaced(tmp_path):
    folder = tmp_path / "sub" / "adapter"
    write_adapter(OLD, folder)
    assert read_adapter(folder) == OLD
    write_adapter(NEW, folder)
    assert read_adapter(folder) == NEW
    assert [path.name for path in folder.parent.iterdir()] == ["adapter"]


@pytest.mark.parametrize("cleanup", [True, False], ids=["error", "kill"])
@pytest.mark.parametrize(
    "step", ["mkdtemp", "write", "replace-1", "replace-2", "rmtree"]
)
def test_an_interruption_loses_no_state(tmp_path, monkeypatch, step, cleanup):
    """The folder holds the old state or the new one, or the error names the backup."""
    folder = tmp_path / "adapter"
    write_adapter(OLD, folder)
    count = {"replace": 0}
    real = os.replace, shutil.rmtree

    def replace(*args):
        count["replace"] += 1
        at = int(step[-1]) if step.startswith("replace") else 9
        # A killed process restores nothing.
        if count["replace"] == at or (count["replace"] > at and not cleanup):
            raise Killed
        real[0](*args)

    def rmtree(path, ignore_errors=False):
        if step == "rmtree":
            raise Killed
        # A killed process removes nothing.
        if cleanup or path == backup_of(folder):
            real[1](path, ignore_errors=ignore_errors)

    def stop(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(io.os, "replace", replace)
    monkeypatch.setattr(io.shutil, "rmtree", rmtree)
    if step == "mkdtemp":
        monkeypatch.setattr(io.tempfile, "mkdtemp", stop)
    files = NEW
    if step == "write":
        files = AdapterFiles(NEW.config, None)
    with pytest.raises((Killed, TypeError)):
        write_adapter(files, folder)
    monkeypatch.undo()
    if step == "replace-2" and not cleanup:
        with pytest.raises(ValueError, match=r"G251.*\.adapter\.genner-backup"):
            read_adapter(folder)
        assert read_adapter(backup_of(folder)) == OLD
    else:
        assert read_adapter(folder) == (NEW if step == "rmtree" else OLD)
    # The next save succeeds and leaves no other files.
    write_adapter(NEW, folder)
    assert read_adapter(folder) == NEW
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_backup_survives_a_second_interruption(tmp_path, monkeypatch):
    folder = tmp_path / "adapter"
    write_adapter(OLD, folder)
    os.replace(folder, backup_of(folder))

    def stop(*args):
        raise Killed

    monkeypatch.setattr(io.os, "replace", stop)
    with pytest.raises(Killed):
        write_adapter(NEW, folder)
    monkeypatch.undo()
    assert read_adapter(backup_of(folder)) == OLD


def test_folders_of_the_user_stay(tmp_path):
    """Their names resemble those of backups and unfinished folders."""
    folder = tmp_path / "model"
    others = ["model.bak", "model.new", ".model.old.new", ".model.v2.abcdefgh.new"]
    others += [".model.v2.abcdefgh.genner-new", "[m]odel"]
    for name in others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    write_adapter(OLD, folder)
    write_adapter(NEW, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*others, "model"]
    )
    for name in others:
        assert (tmp_path / name / "weights").read_text() == name


def test_a_name_may_contain_glob_characters(tmp_path):
    folder = tmp_path / "[m]*"
    leftover = tmp_path / ".[m]*.abcdefgh.genner-new"
    leftover.mkdir()
    write_adapter(NEW, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["[m]*"]


@pytest.mark.parametrize("fails", [1, 2])
def test_a_failed_rename_leaves_the_old_state(tmp_path, monkeypatch, fails):
    folder = tmp_path / "model"
    write_adapter(OLD, folder)
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(target)
        if len(calls) == fails:
            raise PermissionError(errno.EACCES, "no", str(source))
        real(source, target)

    monkeypatch.setattr(io.os, "replace", replace)
    with pytest.raises(PermissionError) as error:
        write_adapter(NEW, folder)
    assert error.value.filename == str(folder)
    assert read_adapter(folder) == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_error_names_a_backup_that_can_not_be_restored(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    write_adapter(OLD, folder)
    real = os.replace

    def replace(source, target):
        if target == folder:
            raise PermissionError(errno.EACCES, "no", str(source))
        real(source, target)

    monkeypatch.setattr(io.os, "replace", replace)
    with pytest.raises(ValueError, match=r"G251.*\.model\.genner-backup"):
        write_adapter(NEW, folder)
    monkeypatch.undo()
    assert read_adapter(backup_of(folder)) == OLD


def test_an_error_in_the_block_leaves_nothing(tmp_path):
    folder = tmp_path / "f"
    with pytest.raises(RuntimeError):
        with replaced_folder(folder) as fresh:
            (fresh / "a").write_text("x")
            raise RuntimeError
    assert not list(tmp_path.iterdir())
    check_folder(folder)


def fail(number, *name):
    raise OSError(number, os.strerror(number), *name)


def test_a_full_disk_names_the_folder(tmp_path):
    """The error of a failed write names no file, and the unfinished folder is gone."""
    folder = tmp_path / "sub" / "model"
    with pytest.raises(OSError, match="sub.model'") as error:
        with replaced_folder(folder):
            fail(errno.ENOSPC)
    assert error.value.filename == str(folder)
    with pytest.raises(OSError) as error:
        with replaced_folder(folder) as fresh:
            with replaced_folder(fresh / "adapter"):
                fail(errno.ENOSPC)
    assert error.value.filename == str(folder / "adapter")


def test_an_error_names_a_file_of_the_final_folder(tmp_path):
    folder = tmp_path / "model"
    with pytest.raises(PermissionError) as error:
        with replaced_folder(folder) as fresh:
            fail(errno.EACCES, str(fresh / "config.json"))
    assert Path(error.value.filename) == folder / "config.json"
    # Files elsewhere keep their names, and an error without a number its message.
    with pytest.raises(FileNotFoundError) as error:
        with replaced_folder(folder):
            (tmp_path / "source").read_bytes()
    assert Path(error.value.filename) == tmp_path / "source"
    with pytest.raises(OSError, match="^in words$"):
        with replaced_folder(folder):
            raise OSError("in words")


@pytest.fixture
def component(tiny_base, tmp_path):
    lm = LanguageModel(
        str(tiny_base("llama")), lora={"rank": 2}, dtype="float32", device="cpu"
    )
    for parameter in lm.adapter_parameters().values():
        parameter.data += 0.05
    lm.touch()
    folder = tmp_path / "pipeline" / "generative_ner"
    lm.save(folder / "adapter")
    return lm, folder


@pytest.mark.parametrize("level", ["component", "pipeline", "adapter"])
def test_peft_loads_the_export(component, tmp_path, level):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    lm, folder = component
    given = {
        "component": folder,
        "pipeline": folder.parent,
        "adapter": folder / "adapter",
    }[level]
    base, adapter = export_base(given, tmp_path / "out")
    assert base == tmp_path / "out" / "base"
    assert read_adapter(adapter).config["base_model_name_or_path"] == str(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    AutoTokenizer.from_pretrained(base)
    tuned = PeftModel.from_pretrained(model, adapter)
    ids = torch.arange(4, 30)[None]
    with torch.no_grad():
        expected = lm.decoding_network()(ids).logits
        torch.testing.assert_close(tuned(ids).logits, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="G261"):
        export_base(folder, tmp_path / "out")


def test_the_export_of_a_package_contains_its_base(component, tmp_path, monkeypatch):
    lm, folder = component
    files = read_adapter(folder / "adapter")
    named = {**files.config, "base_model_name_or_path": "pip:some-weights"}
    write_adapter(AdapterFiles(named, files.weights), folder / "adapter")
    requested = []

    def resolve(name, revision=None):
        requested.append(name)
        return BaseSource(name, revision, lm.base.source.folder, "0" * 64)

    monkeypatch.setattr(adapter_files, "resolve_base", resolve)
    base, _ = export_base(folder, tmp_path / "out")
    assert requested == ["pip:some-weights"]
    assert (base / "model.safetensors").is_file()


def test_an_export_needs_exactly_one_adapter(component, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="G262"):
        export_base(tmp_path / "empty", tmp_path / "out")
    _, folder = component
    shutil.copytree(folder, folder.parent / "second")
    with pytest.raises(ValueError, match="G263.*second"):
        export_base(folder.parent, tmp_path / "out")
    assert base_model.is_pip_name("pip:a") and not base_model.is_pip_name("a/b")
