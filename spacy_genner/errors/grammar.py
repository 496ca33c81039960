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
    G107 = (
        "The prompt's 'template' is {found!r}: expected one of {expected}, or a file "
        "that ends in .jinja or .j2."
    )
    G108 = "The prompt's template {path!r} can't be read: {reason}."
    G109 = (
        "The prompt's template can't be rendered: {reason}. It may name text, "
        "instruction, full_instruction, short_instruction, labels (each with name and "
        "definition), format, examples (each with text and output), readings and "
        "output_cue."
    )
    G110 = (
        "The prompt's template does not hold the text: put '{{ text }}' where it is to "
        "stand, without a filter."
    )
    G111 = (
        "'spacy-genner.NearestDemonstrations.v1' needs scikit-learn. Install it, as "
        "with pip install 'spacy-genner[llm]', or name an 'embed' function."
    )
    G112 = "Unknown settings under 'prompt': {found}. Known are {known}."
    G113 = (
        "'prompt.chat' is true, and the tokenizer of {name!r} has no chat template. "
        'Set it to false or "auto", or name a base model that is tuned for chat.'
    )
