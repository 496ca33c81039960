"""Atomic files and folders, the check of an output path, and JSON lists."""

import errno
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from spacy_genner.io import (
    backup_of,
    check_folder,
    check_place,
    copy_folder,
    json_objects,
    json_records,
    json_values,
    read_text,
    replaced_file,
    replaced_folder,
    temporary,
    write_bytes,
)
from spacy_genner.models.adapter_files import (
    AdapterFiles,
    read_adapter,
    write_adapter,
)
from spacy_genner.training.logger import FILE, read_rows, write_row


class Killed(BaseException):
    """Simulates a kill: it is not an Exception, so no handler catches it."""


# The states of a folder before and after a save.
OLD = AdapterFiles({"peft_type": "LORA", "r": 1}, b"old")
NEW = AdapterFiles({"peft_type": "LORA", "r": 2}, b"new")


@pytest.fixture
def no_permission(monkeypatch):
    """A folder that accepts no files. It is simulated, because the superuser may write
    anywhere."""

    def mkstemp(dir, prefix, suffix):
        raise PermissionError(errno.EACCES, "no", f"{dir}/{prefix}x{suffix}")

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)


def test_an_error_names_the_requested_file(tmp_path, no_permission):
    path = tmp_path / "a.json"
    with pytest.raises(PermissionError) as error:
        with replaced_file(path):
            pass
    assert error.value.filename == str(path)
    with pytest.raises(PermissionError) as error:
        check_place(path)
    assert error.value.filename == str(path)


def test_a_failed_write_leaves_the_old_bytes(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "file"
    write_bytes(path, b"old")

    def fail(*args):
        raise OSError("full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_checking_a_path_changes_nothing(tmp_path):
    path = tmp_path / "sub" / "a.json"
    check_place(path)
    assert list(path.parent.iterdir()) == []
    path.write_text("old")
    check_place(path)
    assert [file.read_text() for file in path.parent.iterdir()] == ["old"]
    with pytest.raises(IsADirectoryError):
        check_place(tmp_path / "sub")


# The columns of a row of the training log, without the step.
INFO = {
    "epoch": 0,
    "seconds": 1,
    "words": 2,
    "losses": {},
    "score": 0.5,
    "other_scores": {},
}


def test_an_interrupted_write_leaves_the_log_complete(tmp_path, monkeypatch):
    path = tmp_path / FILE
    for step in (0, 4, 8):
        write_row(path, {**INFO, "step": step})
    before = path.read_bytes()

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_row(path, {**INFO, "step": 12})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    # A run that resumes from a checkpoint removes the rows after it.
    write_row(path, {**INFO, "step": 4})
    assert [row["step"] for row in read_rows(path)] == [0, 4]


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
        fails_at = int(step[-1]) if step.startswith("replace") else 9
        # A killed process restores nothing.
        if count["replace"] == fails_at or (
            count["replace"] > fails_at and not cleanup
        ):
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

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    if step == "mkdtemp":
        monkeypatch.setattr(tempfile, "mkdtemp", stop)
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

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(Killed):
        write_adapter(NEW, folder)
    monkeypatch.undo()
    assert read_adapter(backup_of(folder)) == OLD


def test_other_folders_of_the_user_stay(tmp_path):
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

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(PermissionError) as error:
        write_adapter(NEW, folder)
    assert error.value.filename == str(folder)
    assert read_adapter(folder) == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_error_names_a_backup_that_cannot_be_restored(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    write_adapter(OLD, folder)
    real = os.replace

    def replace(source, target):
        if target == folder:
            raise PermissionError(errno.EACCES, "no", str(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(ValueError, match=r"G251.*\.model\.genner-backup"):
        write_adapter(NEW, folder)
    monkeypatch.undo()
    assert read_adapter(backup_of(folder)) == OLD


def test_an_error_in_the_block_leaves_no_files(tmp_path):
    folder = tmp_path / "f"
    with pytest.raises(RuntimeError):
        with replaced_folder(folder) as fresh:
            (fresh / "a").write_text("x")
            raise RuntimeError
    assert not list(tmp_path.iterdir())
    check_folder(folder)


def raise_os_error(number, *name):
    raise OSError(number, os.strerror(number), *name)


def test_a_full_disk_names_the_folder(tmp_path):
    """The error of a failed write names no file, and the unfinished folder is gone."""
    folder = tmp_path / "sub" / "model"
    with pytest.raises(OSError, match="sub.model'") as error:
        with replaced_folder(folder):
            raise_os_error(errno.ENOSPC)
    assert error.value.filename == str(folder)
    with pytest.raises(OSError) as error:
        with replaced_folder(folder) as fresh:
            with replaced_folder(fresh / "adapter"):
                raise_os_error(errno.ENOSPC)
    assert error.value.filename == str(folder / "adapter")


def test_an_error_names_a_file_of_the_final_folder(tmp_path):
    folder = tmp_path / "model"
    with pytest.raises(PermissionError) as error:
        with replaced_folder(folder) as fresh:
            raise_os_error(errno.EACCES, str(fresh / "config.json"))
    assert Path(error.value.filename) == folder / "config.json"
    # Other files keep their names, and an error without a number keeps its message.
    with pytest.raises(FileNotFoundError) as error:
        with replaced_folder(folder):
            (tmp_path / "source").read_bytes()
    assert Path(error.value.filename) == tmp_path / "source"
    with pytest.raises(OSError, match="^only a message$"):
        with replaced_folder(folder):
            raise OSError("only a message")


# Links


@pytest.mark.parametrize("chain", [False, True], ids=["link", "link to link"])
def test_a_linked_folder_is_saved_again_and_again(tmp_path, chain):
    """The link stays, and its target on another disk holds the result."""
    disk, runs = tmp_path / "disk", tmp_path / "runs"
    disk.mkdir()
    runs.mkdir()
    target = disk / "moved"
    write_adapter(OLD, target)
    link = runs / "model-last"
    if chain:
        (runs / "between").symlink_to(target)
    link.symlink_to("between" if chain else target)
    for files in (NEW, OLD, NEW):
        write_adapter(files, link)
        assert read_adapter(link) == files == read_adapter(target)
    assert link.is_symlink()
    assert [path.name for path in disk.iterdir()] == ["moved"]
    assert len(list(runs.iterdir())) == 1 + chain


def test_a_link_to_a_missing_folder_is_filled(tmp_path):
    link = tmp_path / "model"
    link.symlink_to(tmp_path / "disk" / "model")
    write_adapter(NEW, link)
    assert link.is_symlink()
    assert read_adapter(tmp_path / "disk" / "model") == NEW


def test_a_folder_below_a_link_and_a_backup_of_a_linked_folder(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "disk" / "model")
    for _ in range(2):
        write_adapter(NEW, tmp_path / "runs" / "model")
    os.replace(tmp_path / "disk" / "model", backup_of(link))
    with pytest.raises(ValueError, match=r"G251.*disk/\.model\.genner-backup"):
        read_adapter(link)


def test_a_linked_file_stays_a_link(tmp_path):
    (tmp_path / "real.json").write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to("real.json")
    for text in (b"1", b"2"):
        write_bytes(link, text)
        assert link.is_symlink()
        assert (tmp_path / "real.json").read_bytes() == text
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "name", [".model.abcdefgh.genner-new", ".model.genner-backup", ".log.a_cdefg1.new"]
)
@pytest.mark.parametrize("dangling", [True, False])
def test_leftovers_that_are_links_are_unlinked(tmp_path, name, dangling):
    other = tmp_path / "other"
    if not dangling:
        other.mkdir()
        (other / "data").write_text("stays")
    folder = tmp_path / "folder"
    folder.mkdir()
    write_adapter(OLD, folder / "model")
    (folder / name).symlink_to(other)
    write_adapter(NEW, folder / "model")
    write_bytes(folder / "log", b"")
    assert sorted(path.name for path in folder.iterdir()) == ["log", "model"]
    assert dangling or (other / "data").read_text() == "stays"


# Killed and concurrent processes


def run_python(code, *args):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_files_of_killed_processes_are_removed(tmp_path):
    """The files of running processes stay."""
    code = """
        import sys, time
        from pathlib import Path
        from spacy_genner.io import replaced_file, replaced_folder
        folder = Path(sys.argv[1])
        with replaced_file(folder / "a"), replaced_folder(folder / "b"):
            print("ready", flush=True)
            time.sleep(600)
    """
    processes = [run_python(code, tmp_path) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        assert len(list(tmp_path.iterdir())) == 4
        processes[0].kill()
        processes[0].wait()
        write_bytes(tmp_path / "a", b"")
        write_adapter(OLD, tmp_path / "b")
        names = sorted(path.name for path in tmp_path.iterdir())
        assert len(names) == 4 and names[2:] == ["a", "b"]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    write_bytes(tmp_path / "a", b"")
    write_adapter(OLD, tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_processes_that_save_one_folder_do_not_break_each_other(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from spacy_genner.io import replaced_folder, write_bytes
        for number in range(60):
            with replaced_folder(Path(sys.argv[1]) / "model") as fresh:
                for name in "abc":
                    (fresh / name).write_text(f"{sys.argv[2]} {number}")
            write_bytes(Path(sys.argv[1]) / "log", sys.argv[2].encode())
    """
    processes = [run_python(code, tmp_path, number) for number in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "model"]
    content = {(tmp_path / "model" / name).read_text() for name in "abc"}
    assert len(content) == 1 and content.pop().endswith(" 59")


def test_without_locks_only_old_leftovers_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary, "fcntl", None)
    old, new = tmp_path / ".a.abcdefgh.new", tmp_path / ".a.abcdefgi.new"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    write_bytes(tmp_path / "a", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "a"]
    for files in (OLD, NEW):
        write_adapter(files, tmp_path / "b")
    assert read_adapter(tmp_path / "b") == NEW


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_under_a_copy_names_the_target(tmp_path, monkeypatch, number):
    """The error of a copy names the file that is read."""
    (tmp_path / "source" / "sub").mkdir(parents=True)
    (tmp_path / "source" / "sub" / "file").write_text("x")

    def fail(source, target):
        raise OSError(number, "full", str(source), None, str(target))

    monkeypatch.setattr(shutil, "copy2", fail)
    with pytest.raises(OSError) as error:
        with replaced_folder(tmp_path / "model") as fresh:
            copy_folder(tmp_path / "source", fresh)
    assert Path(error.value.filename) == tmp_path / "model" / "sub" / "file"
    with pytest.raises(OSError) as error:
        with replaced_folder(tmp_path / "model"):
            raise OSError(number, "full", str(tmp_path / "source"))
    assert Path(error.value.filename) == tmp_path / "model"


# JSON lists


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("indent, lines", [(None, [2, 2, 2]), (2, [3, 13, 14])])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_list_is_parsed_chunk_by_chunk(
    tmp_path, monkeypatch, chunk, indent, lines, ascii_only
):
    rows = [
        {"a": 'é\u2028\\ "[{', "b": {"c": [1, 2.5, True]}},
        {},
        {"d": "}]\n😀"},
    ]
    text = json.dumps(rows, ensure_ascii=ascii_only, indent=indent)
    path = tmp_path / "c.json"
    path.write_bytes(b"\xef\xbb\xbf \n" + text.encode("utf-8"))
    monkeypatch.setattr("spacy_genner.io.json._CHUNK", chunk)
    found = list(json_records(path))
    assert [row for _, row in found] == rows
    assert [line for line, _ in found] == lines
    path.write_text("[]")
    assert list(json_records(path)) == []


@pytest.mark.parametrize("read", [json_objects, json_records, json_values])
def test_objects_over_several_lines(tmp_path, read):
    """`jq` indents the objects that it writes one after another."""
    objects = [{"text": 'a } b \\ " {', "spans": [[], {}]}, {}, {"text": "[["}]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps(each, indent=2) for each in objects))
    found = list(read(path))
    assert [each[-1] for each in found] == objects
    assert [each[0] for each in found] == [1, 8, 9]
    mixed = json.dumps({"b": 1}) + "\n\n" + json.dumps({"c": 2}, indent=1) + "\n"
    path.write_text(mixed)
    assert [(each[0], each[-1]) for each in read(path)] == [
        (1, {"b": 1}),
        (3, {"c": 2}),
    ]


def test_a_line_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "spans": [\n{"text": "c"}\n')
    with pytest.raises(ValueError, match=r"\[G512\] .*line 2.*column 25"):
        list(json_objects(path))


@pytest.mark.parametrize("module", ["gzip", "bz2", "lzma"])
def test_compressed_files_are_named(tmp_path, module):
    path = tmp_path / "in.txt"
    path.write_bytes(importlib.import_module(module).compress(b"Lisbon " * 40))
    for read in (read_text, lambda path: list(json_objects(path))):
        with pytest.raises(ValueError, match=r"\[G574\] .*Unpack it first: \w+ /"):
            read(path)
    path.write_bytes("Lisbon".encode("utf-16"))
    with pytest.raises(ValueError, match=r"\[G510\] .*iconv -f UTF-16 "):
        read_text(path)


def write_folder(path):
    with replaced_folder(path) as fresh:
        (fresh / "file").write_text("new")


WRITE = [lambda path: write_bytes(path, b"new"), write_folder]


@pytest.mark.parametrize("write", WRITE)
def test_links_that_lead_in_a_circle_stay(tmp_path, write):
    for name, target in (("a", "b"), ("b", "a"), ("self", "self")):
        (tmp_path / name).symlink_to(target)
    for place in (tmp_path / "a", tmp_path / "self", tmp_path / "self" / "file"):
        with pytest.raises(OSError) as raised:
            write(place)
        assert raised.value.errno == errno.ELOOP
        assert raised.value.filename == str(place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "self"]
    assert (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("write", WRITE)
def test_a_file_in_the_path_is_named(tmp_path, write):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NotADirectoryError) as raised:
        write(tmp_path / "file" / "folder" / "out")
    assert raised.value.filename == str(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("write", WRITE)
@pytest.mark.parametrize("letter", ["n", "é"])
def test_long_names(tmp_path, write, letter):
    """A name of the greatest length has siblings with shorter names."""
    path = tmp_path / (letter * (254 // len(letter.encode())))
    for _ in range(2):
        write(path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with pytest.raises(OSError) as raised:
        write(tmp_path / ("n" * 256))
    assert raised.value.errno == errno.ENAMETOOLONG
    assert raised.value.filename == str(tmp_path / ("n" * 256))


def test_pipes_and_devices_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(ValueError, match=r"\[G575\]"):
            write_bytes(path, b"new")
        assert not path.is_file()
