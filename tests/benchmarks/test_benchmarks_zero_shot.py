"""`benchmarks/zero_shot.py`: the gain of perfect drafts."""

import pytest
from component_cases import NESTED, trained_pipeline


@pytest.mark.filterwarnings("ignore:.*W410")
@pytest.mark.parametrize("bias, finds", [(0.0, True), (-1000.0, False)])
def test_perfect_drafts_find_the_same_spans(
    import_benchmark, tiny_base, capsys, bias, finds
):
    benchmark = import_benchmark("zero_shot")
    nlp = trained_pipeline(tiny_base("llama"), NESTED)
    ner = nlp.get_pipe("generative_ner")
    ner.decoder.opening_bias = bias
    labels = dict.fromkeys(ner.labels, "")
    data = [(nlp.make_doc(text), ()) for text, _ in NESTED]
    annotated = list(nlp.pipe(benchmark.make_docs(nlp, data, labels)))
    assert any(doc.spans[ner.key] for doc in annotated) == finds
    decoder = ner.decoder
    assert benchmark.draft_gain(nlp, "generative_ner", annotated, labels) > 0
    assert ner.decoder is decoder
    assert "other spans" not in capsys.readouterr().out
