"""`n_process` with a local model whose parent process has started its threads."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing
import sys

import spacy

if __name__ == "__main__":
    base, method, constrained = sys.argv[1:]
    multiprocessing.set_start_method(method)
    nlp = spacy.blank("en")
    model = {
        "@llm_models": "spacy-genner.LocalLM.v1",
        "name": base,
        "dtype": "float32",
        "device": "cpu",
        "max_new_tokens": 9,
        "constrained": constrained == "true",
    }
    task = {"@llm_tasks": "spacy-genner.SpanCat.v1", "labels": "ORG,GPE"}
    if constrained != "true":
        task = {"@llm_tasks": "spacy.TextCat.v3", "labels": "ORG,GPE"}
    nlp.add_pipe("llm", config={"task": task, "model": model})
    texts = ["Lisbon hosts the University of Lisbon .", "It rains ."] * 3
    rows = lambda **more: [
        ([str(s) for s in doc.spans.get("sc", [])], doc.cats)
        for doc in nlp.pipe(texts, batch_size=2, **more)
    ]
    expected = rows()
    assert rows(n_process=2) == expected == rows()
    print("same")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "constrained", ["false", pytest.param("true", marks=pytest.mark.slow)]
)
def test_forked_processes(tiny_base, tmp_path, constrained):
    """The script runs in a subprocess with a time limit, in case it hangs."""
    script = tmp_path / "processes.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tiny_base("llama")), "fork", constrained],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "same"
