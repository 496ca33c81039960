"""What can be said of language models asked in text, and of spacy-llm: the codes G7
and W7."""


class LlmErrors:
    G730 = (
        "The task has no labels. Set 'labels' in [components.NAME.task], or call "
        "'nlp.initialize' with annotated examples."
    )
    G731 = (
        "'label_definitions' defines {found!r}, which is not among the labels "
        "{labels}. Add it to 'labels' in [components.NAME.task], or remove it."
    )
    G732 = (
        "'{key}' in [components.NAME.task] is {found!r}: expected {expected}. Set it "
        "so, or leave it out."
    )
    G733 = (
        "Example {number} in 'examples' can't be used: {reason}. Expected "
        '{{"text": ..., "spans": [...]}}, each span with "start", "end" (characters, '
        'end exclusive) and "label", or with "text", "is_entity" and "label".'
    )
    G734 = (
        "The prompt without its text takes {prompt} tokens, and the model holds "
        "{limit}: no room is left for text. Shorten definitions and examples, or set "
        "a larger 'context_length' in [components.NAME.model]."
    )
    G735 = (
        "The model gave {found} answers to the {expected} prompts of a document. "
        "Expected one for each: use a model that answers every prompt."
    )
    G736 = (
        "The model gave {found} as an answer. Expected a string: use a model that "
        "answers in text."
    )
    G737 = "The saved task is damaged: {reason}. Save the pipeline again."
    G738 = (
        "{found} documents stand for one document's shards. Expected the shards that "
        "'generate_prompts' gave, or the one document."
    )
    G739 = (
        "The model's answer can't be used: {reason}. Show the model demonstrations, "
        "ask in another 'format', or ask another model."
    )
    G740 = (
        "'{key}' in [components.NAME.model] is {found!r}: expected {expected}. Set it "
        "so, or leave it out."
    )
    G741 = (
        "The prompt {prompt!r} takes {size} tokens with room for an answer, and the "
        "model holds {limit}. Shorten it, or use a model that holds more."
    )
    G742 = (
        "The adapter in {path} was tuned on a base model with the checksum "
        "{expected}, and {base!r} has {found}. Set 'name' in [components.NAME.model] "
        "to the base that it was tuned on, {tuned_on!r}."
    )
    G743 = (
        "The task asks for the labels {found}, and the component in {path} was "
        "tuned on {labels}. Ask for those, or name an adapter that was tuned on the "
        "task's labels under 'adapter' in [components.NAME.model]."
    )
    G744 = (
        "The prompt is {found}. Expected a string: use a task that writes prompts as "
        "text."
    )
    G745 = (
        "'chat' in [components.NAME.model] is true, and the tokenizer of {name!r} has "
        'no chat template. Set it to false or "auto", or name a model that is tuned '
        "for chat."
    )


class LlmWarnings:
    W730 = (
        "{count} of {all} documents failed; the first: {reason}. Each has no spans "
        "and the reason under doc.spans[{key!r}].attrs['issues']."
    )
    W731 = (
        "{count} of {all} prompts were not answered; the first: {reason}. An empty "
        "answer takes their place."
    )
    W732 = (
        "An answer of the model {model!r} was cut at {room} tokens. Raise '{name}' in "
        "[components.NAME.model], or have the model asked about shorter texts."
    )
