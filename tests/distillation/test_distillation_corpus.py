"""`annotate --teacher`: a corpus in a folder."""

import spacy
from teacher_cases import OK, reviewed, run, write_texts

from spacy_genner.corpora.corpus import make_corpus


def test_a_large_corpus_is_a_folder(workdir, monkeypatch):
    monkeypatch.setattr("spacy_genner.distillation.corpus.DOCS_PER_FILE", 2)
    texts = [f"{OK} {number}" for number in range(5)]
    source = write_texts(workdir, *texts)
    arguments = ["--teacher", workdir / "teacher.cfg", source, workdir / "corpus"]
    assert run(*arguments).exit_code == 0
    names = ["00001.spacy", "00002.spacy", "00003.spacy"]
    assert sorted(path.name for path in (workdir / "corpus").iterdir()) == names
    read = make_corpus(str(workdir / "corpus"))(spacy.blank("en"))
    assert sorted(example.reference.text for example in read) == texts
    assert len(reviewed(workdir)) == 5
    # Files of an earlier run are replaced, other files never.
    write_texts(workdir, OK)
    assert run(*arguments).exit_code == 0
    assert [path.name for path in (workdir / "corpus").iterdir()] == names[:1]
    (workdir / "corpus" / "mine.txt").write_text("mine")
    result = run(*arguments)
    assert (result.exit_code, "[G771]" in result.output) == (1, True)
    assert (workdir / "corpus" / "mine.txt").read_text() == "mine"
