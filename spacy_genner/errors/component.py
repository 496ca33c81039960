"""What can be said of the component: the codes G4 and W4."""


class ComponentErrors:
    G401 = "'window.unit' is {found!r}: expected one of {expected}."
    G402 = (
        "'window.max_tokens' is {max_tokens} and 'window.overlap' is {overlap}: "
        "expected max_tokens of at least 1, and an overlap from 0 to below it."
    )
    G403 = (
        "Unknown settings under 'window': {found}. Known are unit, max_tokens and "
        "overlap."
    )
    G404 = "'window.{key}' is {found!r}: expected a whole number."
    G405 = (
        "The instruction with labels, definitions and demonstrations takes {prefix} "
        "tokens, and the base model holds {limit}: no room is left for text. Shorten "
        "the definitions, or give fewer demonstrations."
    )
    G406 = (
        "'window.unit' is \"sentence\", and the document {text!r} has no sentence "
        "boundaries. Add a component that sets them before this one, such as "
        "'sentencizer', and name it in '[training] annotating_components', too, or set "
        "'window.unit = \"auto\"'."
    )

    G407 = "{key!r} is {found!r}: expected one of {expected}."
    G408 = (
        '\'loss\' is {found!r}: expected "mixed", "constrained", "lm", or weights '
        'such as {{"constrained": 1.0, "lm": 0.2, "lm_share": 0.25}}: none below '
        "0, not both 0, and the share above 0 and at most 1."
    )
    G409 = "{key!r} is {found!r}: expected a number from 0 to 1."
    G410 = (
        "The component {name!r} has no labels. Set 'labels' in its config, call "
        "'add_label', or train it with 'nlp.initialize'."
    )
    G411 = (
        "No labels for {name!r}: none in the config, none given to 'initialize', and "
        "no spans under 'doc.spans[{key!r}]' in the examples."
    )
    G412 = (
        "The component {name!r} has no adapter to train: 'model.lora' is null. Set it, "
        'for instance to {{"rank": 32, "alpha": 64}}.'
    )
    G413 = "There is no saved component at {path}: 'genner.json' is missing."
    G414 = (
        "The saved component at {path} has no folder 'adapter', and its config says "
        "'model.lora'. Restore the folder, or set 'model.lora = null'."
    )
    G415 = (
        "The component {name!r} was trained on a base model with the checksum "
        "{expected}, and {base!r} has {found}. Name the base it was trained on under "
        "'model.name', or train it anew."
    )
    G416 = (
        "The component was saved with 'format = {saved!r}', and the config says "
        "{found!r}. Set the format it was trained in."
    )
    G417 = (
        "The component was saved by another version of spacy-genner (state {found!r}). "
        "Load it with that version, or train it anew."
    )
    G418 = "The saved component is damaged: {reason} in 'genner.json'."
    G419 = (
        "Labels are {found!r}: expected a list of strings, or a dict of label to "
        "definition."
    )
    G420 = "The definition of the label {label!r} has a line break. Write it as one."
    G421 = "A label occurs twice in {found!r}."
    G422 = (
        "A config file can't carry these labels as keys without mangling them: "
        "{found!r}. Put them into a JSON file and name it in the config's block "
        "'[initialize.components.{name}.labels]' with '@readers = "
        "\"spacy.read_labels.v1\"', or give 'labels' as a list, without definitions."
    )
    G423 = "There is no file of demonstrations at {path!r}."
    G424 = "The document {text!r} could not be annotated: {reason}."
    G425 = (
        "The model {name!r} is behind a server and takes no adapter, and there is one "
        "at {path}. Take 'spacy-genner.LoraCausalLM.v1' for a model of this process."
    )
    G426 = (
        "The model {name!r} is behind a server: thinc can't run it. Annotate documents "
        "with the component."
    )
    G427 = (
        "The component {name!r} asks a model behind a server, which can't be trained "
        "from here. Train one of this process, 'spacy-genner.LoraCausalLM.v1', on what "
        "the server's model annotates: see 'genner annotate --teacher'."
    )
    G428 = (
        "The component {name!r} wants no draft head: 'model.draft_head' is false. Set "
        "it to true in the pipeline's config.cfg."
    )
    G435 = (
        "'spans_key' is {found!r}: expected the name of a group of 'doc.spans', such "
        'as "sc".'
    )


class ComponentWarnings:
    W401 = (
        "The component {name!r} writes to 'doc.spans[{key!r}]'. In training, set "
        "'spans_{key}_f = 1.0' and 'spans_sc_f = null' under "
        "'[training.score_weights]': the defaults name the key 'sc'."
    )
    W402 = (
        "The prompt shows {kept} of {count} demonstrations: the base model holds "
        "{limit} positions, and texts need room. Give fewer, or shorter ones."
    )
    W403 = (
        "The component {name!r} sets sentences, but not for training: a whole document "
        "is one example, while in use each sentence is annotated alone. Name it in "
        "'[training] annotating_components' ('annotates' of 'nlp.update')."
    )
    W404 = (
        "'{key}' is {found} in the config of {name!r}, and was {saved} in training: "
        "the latter counts. Train anew to change it."
    )
    W405 = (
        "A process of several annotates on {device!r}. Each holds a base model of its "
        "own there, and one that was forked may not compute there at all. Set "
        "'n_process' to 1, and a larger 'batch_size', or 'model.device' to \"cpu\"."
    )
    W406 = (
        "What {name!r} has computed can't be kept from one pass to the next (layers "
        "that carry a state can't go back to an earlier token), so texts and outputs "
        "are run from their beginning at each. The spans are the same; a base of "
        "attention layers alone is decoded faster."
    )
