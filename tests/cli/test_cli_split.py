"""`split`: the parts of a corpus, their labels, and what is refused."""

import json
import random
import subprocess
import sys
from collections import Counter

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.corpora.split import assign_groups, group_documents, split_corpus

RUNNER = CliRunner()
NLP = spacy.blank("en")
SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}


def run(*args):
    return RUNNER.invoke(app, ["split", *(str(arg) for arg in args)])


def make_doc(text, labels=(), key="sc", doc_id=None, **user_data):
    doc = NLP.make_doc(text)
    doc.spans[key] = [doc.char_span(0, len(doc[0]), label=each) for each in labels]
    doc.user_data.update(user_data)
    if doc_id is not None:
        doc.user_data["doc_id"] = doc_id
    return doc


def make_docs(count=100, seed=0):
    """Documents with frequent labels and rare ones."""
    draw = random.Random(seed)
    weights = {"OFTEN": 0.6, "SOME": 0.2, "RARE": 0.03}
    docs = []
    for number in range(count):
        labels = [label for label, share in weights.items() if draw.random() < share]
        docs.append(make_doc(f"Text number {number} .", labels, doc_id=f"d{number}"))
    for number in range(3):
        docs[number * 7].spans["sc"] = [
            *docs[number * 7].spans["sc"],
            docs[number * 7].char_span(5, 11, label="THREE"),
        ]
    return docs


def write(path, docs, **settings):
    DocBin(docs=docs, store_user_data=True, **settings).to_disk(path)
    return path


def read(folder):
    parts = {}
    for path in sorted(folder.glob("*.spacy")):
        parts[path.stem] = list(DocBin().from_disk(path).get_docs(NLP.vocab))
    return parts


def label_counts(docs):
    return Counter(span.label_ for doc in docs for span in doc.spans["sc"])


def test_each_part_has_its_share_of_documents_and_labels(tmp_path):
    docs = make_docs(200)
    corpus = write(tmp_path / "all.spacy", docs)
    result = run(corpus, tmp_path / "out", "--dev", "0.1", "--test", "0.2")
    assert result.exit_code == 0, result.output
    parts = read(tmp_path / "out")
    assert set(parts) == {"train", "dev", "test"}
    texts = [doc.text for part in parts.values() for doc in part]
    assert sorted(texts) == sorted(doc.text for doc in docs)
    assert len(set(texts)) == len(docs)
    total = label_counts(docs)
    for part, share in (("train", 0.7), ("dev", 0.1), ("test", 0.2)):
        assert abs(len(parts[part]) - share * 200) <= 3
        counts = label_counts(parts[part])
        for label in total:
            assert abs(counts[label] - share * total[label]) <= 2
        assert counts["THREE"] == 1 and counts["RARE"] >= 1
    # The order of the corpus is kept within a part.
    numbers = [int(doc.text.split()[2]) for doc in parts["train"]]
    assert numbers == sorted(numbers)
    # The table has a row for each label, with a column for each part and the sum.
    rows = [line.split() for line in result.output.splitlines()]
    assert ["train", "dev", "test", "all"] in rows
    assert ["THREE", "1", "1", "1", "3"] in rows
    sizes = [str(len(parts[part])) for part in ("train", "dev", "test")]
    assert ["documents", *sizes, "200"] in rows


def test_the_seed_determines_the_split(tmp_path):
    corpus = write(tmp_path / "all.spacy", make_docs())
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(corpus, tmp_path / name, "--seed", seed).exit_code == 0
    a, b, c = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in "abc"
    )
    assert a == b and a != c


def test_documents_that_belong_together(tmp_path):
    docs = [make_doc(f"Sentence {n} .", ["X"], doc_id=f"d{n // 4}") for n in range(80)]
    # Texts that occur twice, apart from white space, without an ID.
    docs += [make_doc(f"Twin {n // 2} ." + " " * (n % 2), ["Y"]) for n in range(40)]
    corpus = write(tmp_path / "all.spacy", docs)
    result = run(corpus, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "120 documents have the ID or the text of others" in result.output
    places = {}
    for part, found in read(tmp_path / "out").items():
        for doc in found:
            key = doc.user_data.get("doc_id") or doc.text.strip()
            places.setdefault(key, set()).add(part)
    assert len(places) == 40
    assert all(len(parts) == 1 for parts in places.values())
    assert set().union(*places.values()) == {"train", "dev", "test"}


def test_groups_are_transitive():
    docs = [
        make_doc("One .", doc_id="a"),
        make_doc("Two .", doc_id="b"),
        make_doc("Two .", doc_id="a"),
        make_doc("Three ."),
        make_doc(""),
        make_doc(" "),
    ]
    assert group_documents(docs) == [[0, 1, 2], [3], [4], [5]]


def test_docs_stay_unchanged(tmp_path):
    docs = make_docs(30)
    docs[3].cats = {"A": 0.5}
    docs[3].user_data["own"] = {"x": [1]}
    docs[3].spans["other"] = [docs[3].char_span(0, 4, label="O", kb_id="Q1")]
    docs[3][0].tag_ = "NN"
    docs[3][2].is_sent_start = True
    expected = {doc.text: doc.to_json() for doc in docs}
    corpus = write(tmp_path / "all.spacy", docs)
    assert run(corpus, tmp_path / "out").exit_code == 0
    found = [doc for part in read(tmp_path / "out").values() for doc in part]
    assert {doc.text: doc.to_json() for doc in found} == expected
    [doc] = [doc for doc in found if doc.text == docs[3].text]
    assert list(doc.user_data["own"]["x"]) == [1] and doc.cats == {"A": 0.5}
    assert doc[0].tag_ == "NN" and doc[2].is_sent_start
    assert [s.kb_id_ for s in doc.spans["other"]] == ["Q1"]


def test_spans_off_the_token_boundaries_count(tmp_path):
    docs = make_docs(40)
    for doc in docs[:12]:
        doc.user_data["genner_unaligned"] = [[0, 2, "OFF"]]
    counts = split_corpus(write(tmp_path / "all.spacy", docs), tmp_path / "out")
    assert [counts.spans[part]["OFF"] >= 1 for part in counts.spans] == [True] * 3
    assert sum(spans["OFF"] for spans in counts.spans.values()) == 12


@pytest.mark.parametrize("seed", range(20))
def test_rare_labels_are_in_every_part_where_possible(seed):
    draw = random.Random(seed)
    labels = [{} for _ in range(60)]
    for number in range(12):
        for index in draw.sample(range(60), draw.randint(3, 6)):
            labels[index][f"L{number}"] = 1
    groups = [[index] for index in range(60)]
    parts = assign_groups(groups, labels, SHARES, seed)
    assert sorted(index for part in parts.values() for index in part) == list(range(60))
    for part in parts.values():
        assert len({label for index in part for label in labels[index]}) == 12


def test_labels_of_too_few_documents(tmp_path):
    docs = make_docs(40)
    docs[5].spans["sc"] = [docs[5].char_span(0, 4, label="ONCE")]
    result = run(write(tmp_path / "all.spacy", docs), tmp_path / "out")
    assert result.exit_code == 0
    message = " ".join(result.stderr.split())
    assert "[W521]" in message and "ONCE (dev, test)" in message
    assert label_counts(read(tmp_path / "out")["train"])["ONCE"] == 1


def test_a_share_of_zero(tmp_path):
    corpus = write(tmp_path / "all.spacy", make_docs(20))
    assert run(corpus, tmp_path / "out", "--test", "0").exit_code == 0
    assert set(read(tmp_path / "out")) == {"train", "dev"}
    # An earlier file of the part would share documents with the others.
    assert run(corpus, tmp_path / "out").exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    result = run(corpus, tmp_path / "out", "--test", "0", "--seed", "3")
    assert result.exit_code == 1 and "[G571]" in result.stderr
    assert "test.spacy" in result.stderr
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "dev, test", [(0, 0), (0.5, 0.5), (1, 0), (-0.1, 0.2), (0.9, 0.3), ("nan", 0.1)]
)
def test_invalid_shares(tmp_path, dev, test):
    corpus = write(tmp_path / "all.spacy", make_docs(20))
    result = run(corpus, tmp_path / "out", "--dev", dev, "--test", test)
    assert result.exit_code == 1 and "[G569]" in result.stderr
    assert str(float(dev)) in result.stderr
    assert not (tmp_path / "out").exists()


def test_small_corpora(tmp_path):
    three = write(tmp_path / "three.spacy", make_docs(30)[:3])
    assert run(three, tmp_path / "out").exit_code == 0
    assert [len(docs) for docs in read(tmp_path / "out").values()] == [1, 1, 1]
    two = write(
        tmp_path / "two.spacy", [make_doc("A ."), make_doc("A ."), make_doc("B")]
    )
    result = run(two, tmp_path / "none")
    assert result.exit_code == 1 and "[G570]" in result.stderr
    assert "3 documents in 2 groups" in " ".join(result.stderr.split())
    assert not (tmp_path / "none").exists()
    empty = write(tmp_path / "empty.spacy", [])
    assert "[G504]" in run(empty, tmp_path / "none").stderr
    # Texts without spans are split, too.
    plain = write(tmp_path / "plain.spacy", [make_doc(f"T {n}") for n in range(10)])
    assert run(plain, tmp_path / "plain").exit_code == 0
    sizes = {part: len(docs) for part, docs in read(tmp_path / "plain").items()}
    assert sizes == {"train": 8, "dev": 1, "test": 1}


def test_files_that_are_not_overwritten(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    corpus = write(folder / "train.spacy", make_docs(20))
    content = corpus.read_bytes()
    result = run(corpus, folder)
    assert result.exit_code == 1 and "[G573]" in result.stderr
    assert [path.read_bytes() for path in folder.iterdir()] == [content]
    result = run(corpus, corpus)
    assert result.exit_code == 1 and "[G572]" in result.stderr
    # Other files of the folder are kept.
    whole = write(folder / "all.spacy", make_docs(20))
    corpus.unlink()
    assert run(whole, folder).exit_code == 0
    assert len(list(folder.iterdir())) == 4


def test_nothing_is_written_if_one_file_fails(tmp_path, monkeypatch):
    corpus = write(tmp_path / "all.spacy", make_docs(20))
    assert run(corpus, tmp_path / "out").exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    calls = []
    plain = DocBin.to_bytes

    def fail_at_last(self):
        calls.append(self)
        if len(calls) == 3:
            raise OSError(28, "No space left on device", str(tmp_path / "x"))
        return plain(self)

    monkeypatch.setattr(DocBin, "to_bytes", fail_at_last)
    result = run(corpus, tmp_path / "out", "--seed", "5")
    assert result.exit_code == 1
    after = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert after == before


def test_other_corpus_formats(tmp_path):
    lines = [
        json.dumps(
            {"text": f"Mara {n}.", "spans": [{"start": 0, "end": 2, "label": "P"}]}
        )
        for n in range(20)
    ]
    source = tmp_path / "all.jsonl"
    source.write_text("\n".join(lines), encoding="utf8")
    result = run(source, tmp_path / "out", "--from", "jsonl", "--spans-key", "own")
    assert result.exit_code == 0, result.output
    assert "20 of 20 spans fit no token boundary" in result.output
    parts = read(tmp_path / "out")
    assert sorted(map(len, parts.values())) == [2, 2, 16]
    assert all("own" in doc.spans for docs in parts.values() for doc in docs)
    # Without --from the corpus is a .spacy file.
    result = run(source, tmp_path / "other")
    assert result.exit_code == 1 and ".spacy" in result.stderr


@pytest.mark.parametrize(
    "content, code", [(None, "G520"), (b"broken", "G515"), ("group", "G603")]
)
def test_bad_corpora(tmp_path, content, code):
    corpus = tmp_path / "all.spacy"
    if content == "group":
        write(corpus, [make_doc(f"T {n}", ["A"], key="own") for n in range(10)])
    elif content is not None:
        corpus.write_bytes(content)
    result = run(corpus, tmp_path / "out")
    assert result.exit_code == 1 and f"[{code}]" in result.stderr
    assert not (tmp_path / "out").exists()
    if content == "group":
        assert run(corpus, tmp_path / "out", "--spans-key", "own").exit_code == 0


def test_wrong_usage(tmp_path):
    assert run(tmp_path / "x.spacy").exit_code == 2
    assert run("a.spacy", "b", "--from", "nothing").exit_code == 2
    assert run("a.spacy", "b", "--dev", "much").exit_code == 2
    assert run("--help").exit_code == 0


def test_a_pipe_is_read_as_a_whole(tmp_path):
    """A reader of CoNLL reads its file twice."""
    text = "-DOCSTART-\tO\n\nMara\tB-PER\nleft\tO\nOslo{}\tB-GPE\n.\tO\n\n"
    corpus = "".join(text.format(number) for number in range(3000)).encode()
    command = [sys.executable, "-m", "spacy", "genner", "split"]
    for source in ("-", "/dev/stdin"):
        out = tmp_path / ("a" if source == "-" else "b")
        done = subprocess.run(
            [*command, source, str(out), "--from", "conll"],
            input=corpus,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert b"3000 documents, 6000 spans" in done.stdout


def test_a_corpus_without_marked_documents(tmp_path):
    path = tmp_path / "c.conll"
    path.write_text("Mara\tB-PER\nleft\tO\n\n" * 40)
    result = run(path, tmp_path / "out", "--from", "conll")
    assert result.exit_code == 1
    assert "G570" in result.stderr and "-DOCSTART-" in result.stderr
