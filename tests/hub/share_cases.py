"""The scores and the base of the pipeline to share."""

BASE = "tiny/base"


def make_scores(labels=("ORG", "GPE"), **changes):
    """The JSON of an evaluation."""
    entry = {"p": 0.75, "r": 0.5, "f": 0.6, "gold": 40, "predicted": 30, "correct": 20}
    return {
        "micro_p": 0.8,
        "micro_r": 0.7,
        "micro_f": 0.7467,
        "nested_p": 0.5,
        "nested_r": 0.4,
        "nested_f": 0.4444,
        "flat_p": 0.9,
        "flat_r": 0.8,
        "flat_f": 0.8471,
        "gold": 80,
        "documents": 12,
        "unaligned_gold": 0,
        "statuses": {"ok": 12},
        "interval": {"low": 0.70, "high": 0.79, "samples": 1000, "seed": 0},
        "per_type": {label: dict(entry) for label in labels},
        "pipeline": {"labels": list(labels)},
        **changes,
    }
