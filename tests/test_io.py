"""Files written as a whole, and their places checked before."""

import errno

import pytest

from spacy_genner import io
from spacy_genner.io import check_place, replaced_file
from spacy_genner.training.logger import FILE, read_rows, write_row


@pytest.fixture
def no_permission(monkeypatch):
    """Of a folder that takes no files. The superuser may write anywhere."""

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


def test_a_place_is_left_as_it_was(tmp_path):
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


def test_a_log_is_whole_whatever_happens(tmp_path, monkeypatch):
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
    # What lies behind a checkpoint is cut off by the run that goes on from it.
    write_row(path, {**INFO, "step": 4})
    assert [row["step"] for row in read_rows(path)] == [0, 4]
