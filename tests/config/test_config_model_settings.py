"""What a model's config says, checked before anything is loaded."""

import subprocess
import sys

import pytest

from spacy_genner.config.settings import check_device, check_dtype, check_name
from spacy_genner.models.base_model import resolve_base
from spacy_genner.models.language_model import LanguageModel


@pytest.mark.parametrize("name", ["", " ", "\n", "pip:", " pip:", None, 5])
def test_an_empty_name_is_refused(name):
    for check in (check_name, resolve_base, LanguageModel):
        with pytest.raises(ValueError, match="G200.*Expected a hub id") as error:
            check(name)
        assert repr(name) in str(error.value)


@pytest.mark.parametrize("dtype", ["auto", "float64", "float32", "bfloat16", "float16"])
def test_dtypes(dtype):
    assert check_dtype(dtype) == dtype
    assert LanguageModel("b", dtype=dtype).dtype_name == dtype


@pytest.mark.parametrize("dtype", ["float8", "torch.float32", "FLOAT32", "", None, 32])
def test_a_wrong_dtype_is_refused(dtype):
    match = "G230.*'auto', 'float64', 'float32', 'bfloat16', 'float16'"
    with pytest.raises(ValueError, match=match) as error:
        LanguageModel("b", dtype=dtype)
    assert f"'model.dtype' is {dtype!r}" in str(error.value)


@pytest.mark.parametrize(
    "device", ["auto", "cpu", "cuda", "cuda:0", "cuda:15", "mps", "mps:0"]
)
def test_a_device_need_not_be_here(device):
    assert check_device(device) == device
    assert LanguageModel("b", device=device).device_name == device


@pytest.mark.parametrize(
    "device", ["gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:01", " cpu", "", None]
)
def test_a_wrong_device_is_refused(device):
    with pytest.raises(ValueError, match="G231.*'cuda:N'") as error:
        LanguageModel("b", device=device)
    assert f"'model.device' is {device!r}" in str(error.value)


def test_settings_need_no_torch():
    code = (
        "import sys, spacy_genner.config.settings\n"
        "heavy = {'torch', 'spacy', 'thinc', 'transformers', 'numpy'}\n"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
