from pathlib import Path

import pytest


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the config of a teacher, whose answers are the default ones."""
    from teacher_cases import ANSWERS, CONFIG, Answers

    monkeypatch.setattr(Answers, "by_text", dict(ANSWERS))
    monkeypatch.setattr(Answers, "asked", [])
    monkeypatch.setattr(Answers, "usage", None)
    (tmp_path / "teacher.cfg").write_text(CONFIG, encoding="utf-8")
    return tmp_path
