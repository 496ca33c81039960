"""Atomic files, the check of a place before a file is written, and JSON lists."""

import errno
import json

import pytest

from spacy_genner import io
from spacy_genner.io import check_place, json_records, replaced_file, write_bytes
from spacy_genner.training.logger import FILE, read_rows, write_row


@pytest.fixture
def no_permission(monkeypatch):
    """A folder that accepts no files. It is simulated, because the superuser may write
    anywhere."""

    def mkstemp(dir, prefix, suffix):
        raise PermissionError(errno.EACCES, "no", f"{dir}/{prefix}x{suffix}")

    monkeypatch.setattr(io.tempfile, "mkstemp", mkstemp)


def test_an_error_names_the_file_that_the_user_named(tmp_path, no_permission):
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


def test_a_check_leaves_the_place_unchanged(tmp_path):
    path = tmp_path / "sub" / "a.json"
    check_place(path)
    assert list(path.parent.iterdir()) == []
    path.write_text("old")
    check_place(path)
    assert [file.read_text() for file in path.parent.iterdir()] == ["old"]
    with pytest.raises(IsADirectoryError):
        check_place(tmp_path / "sub")


INFO = {
    "epoch": 0,
    "seconds": 1,
    "words": 2,
    "losses": {},
    "score": 0.5,
    "other_scores": {},
}


def test_an_interrupted_write_leaves_the_log_whole(tmp_path, monkeypatch):
    path = tmp_path / FILE
    for step in (0, 4, 8):
        write_row(path, {**INFO, "step": step})
    before = path.read_bytes()

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(io.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_row(path, {**INFO, "step": 12})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    # A run that resumes from a checkpoint removes the rows after it.
    write_row(path, {**INFO, "step": 4})
    assert [row["step"] for row in read_rows(path)] == [0, 4]


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
    monkeypatch.setattr("spacy_genner.io._CHUNK", chunk)
    found = list(json_records(path))
    assert [row for _, row in found] == rows
    assert [line for line, _ in found] == lines
    path.write_text("[]")
    assert list(json_records(path)) == []
