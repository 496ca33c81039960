"""The Dockerfile and the compose file fit the package and the server.

The image is not built here. `hadolint Dockerfile` and `check-jsonschema
--builtin-schema vendor.compose-spec compose.yaml` check the form of the files.
"""

import fnmatch
import json
import re
import shlex
from configparser import ConfigParser
from pathlib import Path

import pytest
import typer

from spacy_genner.cli import app
from spacy_genner.serving.settings import TOKEN_VARIABLE, ServeSettings

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
OPTIONS = typer.main.get_command(app).commands["serve"].params
VARIABLES = {param.envvar: param for param in OPTIONS if getattr(param, "envvar", None)}


def instructions():
    """The instructions of the Dockerfile: stages of (keyword, arguments)."""
    lines = (ROOT / "Dockerfile").read_text("utf8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    stages = []
    for line in text.replace("\\\n", " ").splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            stages.append([])
        if keyword:
            stages[-1].append((keyword, " ".join(rest.split())))
    return stages


def all_of(stage, keyword):
    return [rest for found, rest in stage if found == keyword]


def environment(stage):
    words = (word for rest in all_of(stage, "ENV") for word in shlex.split(rest))
    return dict(word.split("=", 1) for word in words)


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text("utf8"))


def test_the_image_has_what_the_server_needs():
    build, final = instructions()
    copied = [name for rest in all_of(build, "COPY") for name in rest.split()[:-1]]
    assert {"constraints.txt", "setup.cfg", "pyproject.toml"} < set(copied)
    ignored = (ROOT / ".dockerignore").read_text("utf8").splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    for name in copied:
        assert (ROOT / name).exists()
        assert any(fnmatch.fnmatch(name.removeprefix("./"), each) for each in allowed)
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    # `pip install .` reads them.
    assert {"README.md", "LICENSE"} < set(copied)
    [extras] = re.findall(r"EXTRAS=(\S+)", " ".join(all_of(build, "ARG")))
    assert "serve" in extras.split(",")
    assert set(extras.split(",")) <= set(config["options.extras_require"])
    assert all(
        "-c constraints.txt" in r for r in all_of(build, "RUN") if "install" in r
    )
    versions = re.findall(r"Python :: (3\.\d+)", config["metadata"]["classifiers"])
    for stage in (build, final):
        [[image]] = [
            re.findall(r"^python:(3\.\d+)-slim", r) for r in all_of(stage, "FROM")
        ]
        assert image in versions


def test_the_container_runs_the_server_as_a_user_without_rights():
    _, final = instructions()
    [user] = all_of(final, "USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    # Nothing is done as root after it.
    after = [keyword for keyword, _ in final[final.index(("USER", user)) :]]
    assert "RUN" not in after and "COPY" not in after
    assert json.loads(all_of(final, "ENTRYPOINT")[0]) == ["genner", "serve"]
    variables = environment(final)
    settings = {name for name in variables if name.startswith("SPACY_GENNER_SERVE_")}
    assert settings <= set(VARIABLES) and TOKEN_VARIABLE not in settings
    # The server refuses such an address without a token.
    assert ServeSettings(host=variables["SPACY_GENNER_SERVE_HOST"]).is_public
    [port] = all_of(final, "EXPOSE")
    assert port == variables["SPACY_GENNER_SERVE_PORT"]
    # Whatever is written is in the cache.
    [[volume]] = map(json.loads, all_of(final, "VOLUME"))
    for name in ("HOME", "HF_HOME", "SPACY_GENNER_CACHE"):
        assert variables[name].startswith(volume)


def test_the_health_check_is_a_program(monkeypatch):
    """It succeeds if the server is healthy, and only then."""
    import urllib.request

    _, final = instructions()
    [check] = all_of(final, "HEALTHCHECK")
    python, flag, code = json.loads(check.partition("CMD ")[2])
    assert (python, flag) == ("python", "-c")
    asked = []
    monkeypatch.setenv("SPACY_GENNER_SERVE_PORT", "8123")
    monkeypatch.setattr(
        urllib.request, "urlopen", lambda url, timeout: asked.append(url)
    )
    exec(code, {})
    assert asked == ["http://127.0.0.1:8123/health"]


def test_the_compose_file_fits_the_image(compose):
    _, final = instructions()
    [service] = compose["services"].values()
    variables = service["environment"]
    assert variables[TOKEN_VARIABLE].startswith(f"${{{TOKEN_VARIABLE}:?")
    given = {name for name in variables if name.startswith("SPACY_GENNER_SERVE_")}
    assert given <= {*VARIABLES, TOKEN_VARIABLE}
    [port] = service["ports"]
    assert port.startswith("127.0.0.1:") and port.endswith(":8000")
    mounts = {mount["target"]: mount for mount in service["volumes"]}
    assert mounts["/model"]["read_only"] is True and mounts["/model"]["type"] == "bind"
    [[cache]] = map(json.loads, all_of(final, "VOLUME"))
    assert mounts[cache]["source"] in compose["volumes"]
    [model] = service["command"]
    assert model.endswith("=/model")
    assert service["read_only"] is True and service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    grace = ServeSettings().grace
    assert float(service["stop_grace_period"].rstrip("s")) > grace
