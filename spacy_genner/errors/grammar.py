"""What can be said of the grammar, the prompt and the decoders: the codes G1."""


class GrammarErrors:
    G101 = (
        "The mark {mark!r} has the token ids {ids} under the base model's tokenizer, "
        "which can't be told from those of {others}: the tokenizer does not know "
        "some character of the labels. Rename the labels with plain letters, or use "
        "another base model."
    )
    G102 = (
        "Token id {found} is not legal after {before} output tokens: legal are {legal}."
    )
    G104 = (
        "'readings' is {found!r}: expected 1 or 2, how often the text stands in the "
        "prompt."
    )
    G105 = (
        "The language-model head of {model} computes its logits in a way that is not "
        "known here, so decisions between tokens would be wrong. Use a base model "
        "with a plain linear head."
    )
    G106 = "{key!r} is {found!r}: expected a whole number of at least 1."
    G103 = "'max_depth' is {found!r}: expected a whole number of at least 1."
