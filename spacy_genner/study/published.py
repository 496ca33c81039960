"""Figures of the study "Assessment of Generative Named Entity Recognition in the Era of
Large Language Models" (arXiv 2601.17898), and of the systems that it compares with.

All figures are micro-F1 in percent, and differences are in points.
"""

from typing import NamedTuple

CORPORA = {
    "conll2003": "CoNLL-2003",
    "ontonotes": "OntoNotes 5",
    "ace2005": "ACE 2005",
    "genia": "GENIA",
}
BRACKETED = "inline_bracketed"
# The order of the columns of the study.
_FORMATS = (
    BRACKETED,
    "inline_xml",
    "grouped_json",
    "occurrence_json",
    "offset_json",
)


class StudyModel(NamedTuple):
    """One of the models of the study.

    name (str): Its name in the study.
    base (str): The instruction-tuned model on the hub.
    family (str): The `model_type` of its text decoder in transformers.
    gated (bool): Whether its terms have to be accepted on the hub.
    """

    name: str
    base: str
    family: str
    gated: bool


MODELS = {
    "llama-3.1-8b": StudyModel(
        "Llama 3.1-8B", "meta-llama/Llama-3.1-8B-Instruct", "llama", True
    ),
    "llama-3.2-3b": StudyModel(
        "Llama 3.2-3B", "meta-llama/Llama-3.2-3B-Instruct", "llama", True
    ),
    "qwen-2.5-7b": StudyModel(
        "Qwen 2.5-7B", "Qwen/Qwen2.5-7B-Instruct", "qwen2", False
    ),
    "qwen-3-4b": StudyModel("Qwen 3-4B", "Qwen/Qwen3-4B", "qwen3", False),
    "granite-3.3-8b": StudyModel(
        "Granite 3.3-8B", "ibm-granite/granite-3.3-8b-instruct", "granite", False
    ),
    "granite-4-3b": StudyModel(
        "Granite 4-3B", "ibm-granite/granite-4.0-micro", "granitemoehybrid", False
    ),
    "gemma-2-9b": StudyModel("Gemma 2-9B", "google/gemma-2-9b-it", "gemma2", True),
    "gemma-3-4b": StudyModel("Gemma 3-4B", "google/gemma-3-4b-it", "gemma3_text", True),
}

# Mean over the eight models, by format and corpus (in the order of CORPORA).
MEAN_BY_FORMAT = {
    name: dict(zip(CORPORA, values, strict=True))
    for name, values in {
        BRACKETED: (93.59, 90.23, 86.72, 78.98),
        "inline_xml": (93.36, 90.07, 86.47, 78.87),
        "grouped_json": (92.62, 88.93, 85.14, 78.23),
        "occurrence_json": (93.25, 89.10, 82.30, 77.85),
        "offset_json": (61.62, 46.20, 34.22, 34.84),
    }.items()
}
_GENIA = (
    (79.18, 78.41, 78.29, 78.66, 34.62),
    (79.15, 78.22, 77.99, 77.41, 25.79),
    (78.67, 79.27, 78.15, 77.58, 32.02),
    (79.16, 79.60, 78.48, 78.47, 36.81),
    (78.87, 79.09, 78.47, 78.27, 39.54),
    (78.42, 78.61, 78.38, 77.25, 36.80),
    (79.73, 79.32, 78.93, 79.12, 41.15),
    (78.64, 78.46, 77.18, 76.03, 32.00),
)
# By model, the inline bracketed format on the other corpora.
_BRACKETED = {
    "ace2005": (87.51, 85.82, 86.70, 86.48, 86.81, 86.78, 87.44, 86.20),
    "conll2003": (93.85, 93.54, 93.73, 93.37, 93.76, 93.15, 93.64, 93.68),
    "ontonotes": (91.28, 89.19, 90.97, 89.30, 90.31, 89.82, 90.91, 90.09),
}
# Other systems: CoNLL-2003, OntoNotes 5, ACE 2005 and GENIA; None where the study names
# no figure.
OTHER_SYSTEMS: dict[str, tuple[float | None, ...]] = {
    "GPT-3, zero-shot": (89.97, 81.73, 72.96, 64.06),
    "GPT-3, with verification": (90.62, 82.08, 73.46, 64.29),
    "GPT-3, few-shot, with verification": (90.91, 82.20, 73.59, 64.42),
    "BERT-MRC": (93.04, 91.11, 86.88, 83.75),
    "BINDER": (None, None, 90.00, 80.80),
    "W2NER": (None, None, 86.79, 80.32),
    "Biaffine+CNN": (None, None, 87.25, 80.33),
    "BERT-MRC+DSC": (93.33, 92.07, None, None),
    "ACE + fine-tune": (93.64, None, None, None),
    "GNN-SL": (93.20, 91.39, None, None),
    "BERT tagger": (91.70, 89.16, None, None),
}
# The change in F1 on CoNLL-2003 when labels are replaced by letters.
LETTERS = {"letters": -0.62, "letters_no_definitions": -0.42}
# The range of the gain in F1 on DROP from tuning for NER.
DROP_GAIN = (25.0, 45.0)


def published_score(model: str, corpus: str, format: str = BRACKETED) -> float | None:
    """Look up the micro-F1 of a model in the study.

    model (str): The key of the model.
    corpus (str): The key of the corpus.
    format (str): The output format.
    RETURNS (float | None): The score in percent; None if the study's figure is not
        known here.
    """
    index = list(MODELS).index(model)
    if corpus == "genia":
        return _GENIA[index][_FORMATS.index(format)] if format in _FORMATS else None
    return _BRACKETED[corpus][index] if format == BRACKETED else None
