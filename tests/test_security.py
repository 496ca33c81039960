"""The promises of SECURITY.md that hold for the whole package."""

import ast
import json
import shutil
from pathlib import Path

import pytest

import spacy_genner
from spacy_genner.models.base_model import get_base

PACKAGE = Path(spacy_genner.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# Modules that run code while they read data, or that start programs.
FORBIDDEN_MODULES = {
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "pickle",
    "shelve",
    "subprocess",
    "yaml",
}
FORBIDDEN_CALLS = {
    "compile",
    "eval",
    "exec",
    "numpy.load",
    "os.popen",
    "os.system",
    "srsly.pickle_loads",
    "srsly.read_yaml",
    "srsly.yaml_loads",
    "torch.load",
}


def violations(source):
    """The imports and calls in a module that the package does without."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        found += [n for n in names if n.partition(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS:
            found.append(ast.unparse(node.func))
        if isinstance(node, ast.Dict):
            pairs = [
                (key.value, value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            ]
        elif isinstance(node, ast.Call):
            pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
        else:
            pairs = []
        for name, value in pairs:
            if name in ("trust_remote_code", "allow_pickle", "shell"):
                if ast.unparse(value) != "False":
                    found.append(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_can_run_code_from_data(path):
    assert violations(path.read_text("utf8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "def f():\n    import subprocess",
        "torch.load(path)",
        "eval(text)",
        "load(name, trust_remote_code=True)",
        'OPTIONS = {"trust_remote_code": ask()}',
    ],
)
def test_the_check_finds_a_violation(source):
    assert violations(source)


@pytest.mark.parametrize("model_type", ["llama", "custom"])
def test_code_in_the_folder_of_a_base_is_not_run(tiny_base, tmp_path, model_type):
    folder = tmp_path / "base"
    shutil.copytree(tiny_base("llama"), folder)
    trace = tmp_path / "trace"
    code = f"open({str(trace)!r}, 'w').close()\nclass Custom: ...\n"
    for module in ("configuration_custom", "modeling_custom", "tokenization_custom"):
        (folder / f"{module}.py").write_text(code, "utf8")
    config = json.loads((folder / "config.json").read_text("utf8"))
    config["model_type"] = model_type
    config["auto_map"] = {
        "AutoConfig": "configuration_custom.Custom",
        "AutoModelForCausalLM": "modeling_custom.Custom",
    }
    (folder / "config.json").write_text(json.dumps(config), "utf8")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf8"))
    settings["auto_map"] = {"AutoTokenizer": ["tokenization_custom.Custom", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf8")
    if model_type == "llama":
        # The class that transformers has for this type is used in its place.
        get_base(str(folder), device="cpu")
    else:
        with pytest.raises(ValueError, match="G233"):
            get_base(str(folder), device="cpu")
    assert not trace.exists()
