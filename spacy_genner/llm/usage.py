"""What the components of a pipeline have asked of models behind servers."""

from typing import Any

from spacy.language import Language

from .remote.usage import Usage


def usage_of(nlp: Language) -> dict[str, Usage]:
    """Count requests, tokens and cost since the pipeline was made or loaded.

    nlp (Language): The pipeline.
    RETURNS (Dict[str, Usage]): The counts of each component with a model behind a
        server, of the factory `generative_ner` or `llm`, by its name.
    """
    found = {}
    for name, pipe in nlp.pipeline:
        # spacy-llm's component shows its model in no other way.
        models: list[Any] = [getattr(pipe, "_model", None)]
        models.append(getattr(getattr(pipe, "lm", None), "client", None))
        for model in models:
            usage = getattr(model, "usage", None)
            # Models of others may count in ways of their own.
            if isinstance(usage, Usage):
                found[name] = usage
    return found
