"""A pipeline on a stand-in for the hub: sent, loaded by its name, and refused."""

import json
import shutil

import pytest
import spacy
from hub_server import TOKEN
from share_cases import BASE, make_scores
from typer.testing import CliRunner

import spacy_genner
from spacy_genner.cli import app
from spacy_genner.hub.card import CardInfo
from spacy_genner.hub.package import PackageSettings, make_package

RUNNER = CliRunner()
REPO = "org/en_places"
TEXT = "Lisbon hosts the University of Lisbon ."


def run(*arguments):
    return RUNNER.invoke(app, list(map(str, arguments)))


def message(result):
    return " ".join((result.output + result.stderr).split())


@pytest.fixture(scope="module")
def package(saved, tmp_path_factory):
    """The folder that `genner package` makes."""
    info = CardInfo("", "", license="mit")
    settings = PackageSettings(info, version="1.0.0", build="none")
    output = tmp_path_factory.mktemp("packages")
    return make_package(str(saved), output, settings, make_scores()).folder


@pytest.fixture
def on_hub(hub, tiny_base):
    """The hub, with the base on it."""
    from huggingface_hub import HfApi

    HfApi().create_repo(BASE)
    HfApi().upload_folder(repo_id=BASE, folder_path=tiny_base("llama"))
    hub.requests.clear()
    return hub


def spans(nlp):
    doc = nlp(TEXT)
    return [
        (span.text, span.label_, round(float(score), 4))
        for span, score in zip(
            doc.spans["sc"], doc.spans["sc"].attrs["scores"], strict=True
        )
    ]


def test_a_pipeline_makes_the_round_trip(on_hub, package, saved, tmp_path, monkeypatch):
    from huggingface_hub import constants

    done = run("push", package, REPO, "--tag", "v1", "--message", "First")
    assert done.exit_code == 0, message(done)
    assert TOKEN not in done.output + done.stderr
    # One commit has it all.
    repo = on_hub.repos[REPO]
    assert repo.messages == ["initial", "First"]
    assert repo.tags == {"v1": repo.branches["main"]}
    tree = on_hub.tree(REPO)
    assert set(tree) - {".gitattributes"} >= {
        "README.md",
        "config.cfg",
        "meta.json",
        "tokenizer",
        "vocab/strings.json",
        "generative_ner/genner.json",
        "generative_ner/adapter/adapter_model.safetensors",
    }
    card = tree["README.md"].decode()
    assert f'spacy_genner.load("{REPO}", revision="v1")' in card
    assert "library_name: spacy" in card
    local = spans(spacy_genner.load(saved.parent / "model"))
    assert ("University of Lisbon", "ORG") in [found[:2] for found in local]
    loaded = spacy_genner.load(REPO, revision="v1")
    assert spans(loaded) == local
    # From now on nothing needs the network, by any of the names.
    on_hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert spans(spacy_genner.load(f"{REPO}@v1")) == local
    (tmp_path / "texts.txt").write_text(TEXT + "\n")
    out = tmp_path / "out.jsonl"
    done = run("annotate", f"{REPO}@v1", tmp_path / "texts.txt", out)
    assert done.exit_code == 0, message(done)
    record = json.loads(out.read_text())
    assert [span["label"] for span in record["spans"]] == [row[1] for row in local]
    assert on_hub.requests == []


def test_a_later_version_replaces_the_files_of_the_components(hub, package):
    from huggingface_hub import HfApi

    HfApi().create_repo(REPO)
    stale = {"generative_ner/old.safetensors": b"old", "picture.png": b"picture"}
    hub.repos[REPO].add(stale, "main", "by hand")
    done = run("push", package, REPO, "--revision", "next/2")
    assert done.exit_code == 0, message(done)
    tree = hub.tree(REPO, "next/2")
    assert "generative_ner/old.safetensors" not in tree
    assert tree["picture.png"] == b"picture"
    # The main branch is as it was.
    assert hub.tree(REPO) == stale
    assert 'revision="next/2"' in tree["README.md"].decode()


def test_a_dry_run_sends_nothing(hub, package):
    done = run("push", package, REPO, "--dry-run", "--private", "--tag", "v1")
    assert done.exit_code == 0, message(done)
    assert hub.requests == []
    assert "private if it is new" in done.output
    assert "generative_ner/adapter/adapter_model.safetensors" in done.output
    assert "tag: v1" in done.output


def test_a_private_repository(hub, package, monkeypatch):
    assert run("push", package, "org/closed", "--private").exit_code == 0
    assert hub.repos["org/closed"].private
    assert run("push", package, "org/open").exit_code == 0
    commits = len(hub.repos["org/open"].commits)
    done = run("push", package, "org/open", "--private")
    assert (done.exit_code, "G916" in message(done)) == (1, True)
    assert len(hub.repos["org/open"].commits) == commits
    # Without the token the private one does not exist.
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/no/such/token")
    with pytest.raises(ValueError, match=r"G901.*private.*hf auth login"):
        spacy_genner.load("org/closed")


def test_what_the_hub_refuses(hub, package):
    assert run("push", package, REPO, "--tag", "v1").exit_code == 0
    done = run("push", package, REPO, "--tag", "v1")
    assert (done.exit_code, "G917" in message(done)) == (1, True)
    assert len(hub.repos[REPO].commits) == 2
    done = run("push", package, "forbidden/x")
    assert done.exit_code == 1
    assert "G915" in message(done)
    assert "hf auth login" in message(done)
    assert TOKEN not in message(done)


def test_a_wrong_token(hub, package, monkeypatch):
    wrong = "hf_" + "w" * 34
    monkeypatch.setenv("HF_TOKEN", wrong)
    done = run("push", package, REPO)
    assert done.exit_code == 1
    assert "G915" in message(done)
    assert wrong not in message(done)
    assert hub.repos == {}


@pytest.mark.parametrize("repo", ["x", "a/b/c", "a b/c", "../x", "a/..", "-/x", ""])
def test_names_of_repositories(package, repo):
    done = run("push", package, "--", repo)
    assert (done.exit_code, "G914" in message(done)) == (1, True)


def copy_of(package, tmp_path):
    """The data of the package, which a test may change."""
    target = tmp_path / "copy"
    shutil.copytree(next(package.glob("*/*/config.cfg")).parent, target)
    return target


def refused(folder, code, *words):
    done = run("push", folder, REPO)
    assert done.exit_code == 1, message(done)
    assert code in message(done)
    for word in words:
        assert word in message(done), message(done)


def test_a_pipeline_without_a_card_is_refused(hub, saved, package, tmp_path):
    refused(saved, "G911", "genner package")
    folder = copy_of(package, tmp_path)
    (folder / "README.md").write_text("# Not a card\n")
    refused(folder, "G911", "library_name: spacy")
    (folder / "README.md").write_text("---\nlibrary_name: [\n---\n")
    refused(folder, "G911", "can't be read")
    refused(tmp_path / "nothing", "G906")
    assert hub.requests == []


@pytest.mark.parametrize(
    "file, old, new, where",
    [
        ("config.cfg", "[system]", '[system]\napi_key = "abc"', "system.api_key"),
        ("config.cfg", "[system]", '[system]\nmine = "sk-' + "a" * 30 + '"', "line"),
        ("meta.json", "{", '{"hf_token": "abc",', "hf_token"),
        ("meta.json", "{", '{"x": "https://me:pass@host/",', "line"),
        ("README.md", "## Use", "Bearer abcdefghijklmnopqrst", "line"),
    ],
)
def test_a_secret_is_refused(hub, package, tmp_path, file, old, new, where):
    folder = copy_of(package, tmp_path)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    refused(folder, "G912", file, where)
    done = run("push", folder, REPO)
    assert not any(
        part in done.output + done.stderr for part in ("abc", "sk-a", "pass@")
    )
    assert hub.requests == []


def test_settings_that_only_look_like_secrets(package, tmp_path):
    folder = copy_of(package, tmp_path)
    text = (folder / "config.cfg").read_text()
    harmless = (
        '[system]\napi_key_env = "OPENAI_API_KEY"\nmax_tokens = 3\ntoken = null\n'
    )
    (folder / "config.cfg").write_text(text.replace("[system]", harmless, 1))
    assert run("push", folder, REPO, "--dry-run").exit_code == 0


def test_other_files_are_never_sent(hub, package, tmp_path):
    folder = copy_of(package, tmp_path)
    others = ["model.safetensors", "notes.txt", ".env", "evil.py", "corpus.spacy"]
    others += ["generative_ner/model.safetensors", "generative_ner/base.gguf"]
    others += ["vocab/x.pkl", "generative_ner/adapter/optimizer.pt"]
    for name in others:
        (folder / name).write_text("x")
    done = run("push", folder, REPO)
    assert done.exit_code == 0, message(done)
    assert not set(others) & set(hub.tree(REPO))
    assert "generative_ner/base.gguf" in done.output + done.stderr


def test_a_link_to_another_file_is_refused(hub, package, tmp_path):
    folder = copy_of(package, tmp_path)
    (tmp_path / "private.txt").write_text("x")
    (folder / "NOTICE").unlink(missing_ok=True)
    (folder / "NOTICE").symlink_to(tmp_path / "private.txt")
    refused(folder, "G918", "NOTICE")


def test_a_base_of_this_machine_is_refused(hub, package, tmp_path, tiny_base):
    folder = copy_of(package, tmp_path)
    text = (folder / "config.cfg").read_text()
    (folder / "config.cfg").write_text(text.replace(BASE, str(tiny_base("llama"))))
    refused(folder, "G913", "generative_ner")
    assert hub.requests == []


# Loading


def put(hub, repo, folder, **changes):
    """Put a pipeline on the hub without the checks of `genner push`."""
    from huggingface_hub import HfApi

    HfApi().create_repo(repo)
    tree = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    for name, (old, new) in changes.items():
        data = tree[name.replace("_", ".")]
        assert old in data
        tree[name.replace("_", ".")] = data.replace(old, new)
    hub.repos[repo].add(tree, "main", "by hand")


def test_code_and_pickles_are_not_downloaded(hub, saved, tmp_path):
    folder = tmp_path / "evil"
    shutil.copytree(saved, folder)
    for name in ("x.py", "generative_ner/__init__.py", "vocab/x.pkl", "a.whl", ".env"):
        (folder / name).write_text("raise SystemExit")
    put(hub, REPO, folder)
    place = spacy_genner.load(REPO).path
    found = {path.name for path in place.rglob("*")}
    assert not found & {
        "x.py",
        "__init__.py",
        "x.pkl",
        "a.whl",
        ".env",
        ".gitattributes",
    }


def test_a_config_that_sends_texts_away_is_refused(hub, saved):
    architecture = b"spacy-genner.LoraCausalLM.v1"
    put(
        hub,
        REPO,
        saved,
        config_cfg=(architecture, b"spacy-genner.OpenAICompatible.v1"),
    )
    with pytest.raises(ValueError, match=r"G903.*OpenAICompatible.*sends the texts"):
        spacy_genner.load(REPO)


@spacy.registry.misc("hub_tests.code.v1")
def make_nothing():
    raise AssertionError("code of the config ran")


def test_a_config_with_functions_of_other_packages_is_refused(hub, saved):
    call = b'before_creation = {"@misc":"hub_tests.code.v1"}'
    put(hub, REPO, saved, config_cfg=(b"before_creation = null", call))
    with pytest.raises(ValueError, match=r"G903.*hub_tests.code.v1"):
        spacy_genner.load(REPO)


def test_names_that_are_not_on_the_hub(hub, saved, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"G901.*'org/none'.*no such repository"):
        spacy_genner.load("org/none")
    put(hub, REPO, saved)
    with pytest.raises(ValueError, match=r"G901.*'v9'.*no such revision"):
        spacy_genner.load(REPO, revision="v9")
    hub.repos[REPO].add({"README.md": b"x"}, "main", "empty")
    with pytest.raises(ValueError, match=r"G902.*found: README.md"):
        spacy_genner.load(REPO)
    with pytest.raises(ValueError, match="G900"):
        spacy_genner.load(f"{REPO}@v1", revision="v2")
    with pytest.raises(ValueError, match="G900"):
        spacy_genner.load(saved, revision="v2")
    # A misspelled path below a folder is never asked for on the hub.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "training").mkdir()
    hub.requests.clear()
    with pytest.raises(ValueError, match="G527"):
        spacy_genner.load("training/demmo")
    with pytest.raises(ValueError, match="G527"):
        spacy_genner.load("no_such_package")
    assert hub.requests == []


def test_options_of_load(saved):
    name = "components.generative_ner.min_score"
    nlp = spacy_genner.load(saved, disable=["generative_ner"], config={name: 0.25})
    assert nlp.disabled == ["generative_ner"]
    assert nlp.get_pipe("generative_ner").cfg["min_score"] == 0.25
    assert spacy_genner.load(saved, exclude="generative_ner").pipe_names == []
