"""The requests and responses of the server, as pydantic models with examples.

The description of the interface is made from them, and FastAPI checks requests with
them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

EXAMPLES = {
    "texts": {
        "summary": "Two texts",
        "value": {
            "texts": ["The University of Lisbon is old.", "Maria lives in Porto."]
        },
    },
    "selection": {
        "summary": "Likely spans with certain labels, from one of several models",
        "value": {
            "model": "demo",
            "texts": ["The University of Lisbon is old."],
            "labels": ["ORG"],
            "min_score": 0.5,
        },
    },
}
ANSWER = {
    "model": "demo",
    "unit": "characters",
    "results": [
        {
            "text": "The University of Lisbon is old.",
            "spans": [
                {"start": 4, "end": 24, "label": "ORG", "score": 0.97},
                {"start": 18, "end": 24, "label": "GPE", "score": 0.91},
            ],
            "status": "ok",
            "issues": [],
            "error": None,
        }
    ],
}


class AnnotateRequest(BaseModel):
    """The texts to annotate."""

    model_config = ConfigDict(extra="forbid")

    texts: list[StrictStr] = Field(description="The texts, in any language.")
    model: StrictStr | None = Field(
        None, description="The name of the model. Optional if the server has only one."
    )
    labels: list[StrictStr] | None = Field(
        None, description="The labels of the spans to return. Default: all."
    )
    min_score: Annotated[StrictFloat | StrictInt, Field(ge=0, le=1)] = Field(
        0.0,
        description="The minimum score of the spans to return. Spans below the "
        "minimum in the pipeline's config are not found at all.",
    )


class SpanRecord(BaseModel):
    """A span of a text. Spans may be inside of others."""

    start: int = Field(description="The first character, from 0.")
    end: int = Field(description="The character after the last one.")
    label: str
    score: float | None = Field(description="The probability; null if not known.")


class TextRecord(BaseModel):
    """An annotated text, as `genner annotate` writes it."""

    text: str
    spans: list[SpanRecord]
    status: str = Field(
        description="`ok`, `windowed` (read in parts), `repaired` (with issues) or "
        "`failed` (no spans, see `error`)."
    )
    issues: list[dict[str, Any]] = Field(description="Repairs and failures.")
    error: str | None = Field(description="The reason of a failure.")


class AnnotateResponse(BaseModel):
    """The annotated texts, in the order of the request."""

    model: str
    unit: Literal["characters"] = Field(
        "characters", description="What `start` and `end` count: Unicode code points."
    )
    results: list[TextRecord]


class ModelInfo(BaseModel):
    """A model of the server."""

    name: str
    state: str = Field(description="`loading`, `ready`, `stopped` or `failed`.")
    labels: dict[str, str] = Field(description="The labels, with their definitions.")
    spans_key: str
    lang: str
    pipeline: str
    version: str
    components: list[str]
    bases: list[str] = Field(description="The base models.")


class ModelList(BaseModel):
    """The models of the server."""

    models: list[ModelInfo]


class Status(BaseModel):
    """The state of the server and of each model."""

    status: str
    models: dict[str, str]


class ErrorDetail(BaseModel):
    """A code, and a message with the remedy."""

    code: str
    message: str


class ErrorResponse(BaseModel):
    """An error."""

    error: ErrorDetail
