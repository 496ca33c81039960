"""What can be said of training: the codes G3 and W3."""


class TrainingErrors:
    G301 = (
        "'total_steps' of the schedule spacy-genner.CosineWarmup.v1 is {found!r}: "
        "expected the number of optimizer steps, from 1. 'spacy genner train' counts "
        "the steps where it is 0; 'spacy train' can't: write a config that has the "
        "number with 'spacy genner init-config', or set it."
    )
    G303 = (
        "The label {label!r} of the span {span!r} is not among the component's labels "
        "{labels}. Add it to 'labels', or correct the data."
    )
    G304 = (
        "Two spans cross, which brackets can't say: {first} and {second} in {text!r}. "
        "Correct the data, or set 'crossing = \"drop\"' to train without the shorter "
        "one."
    )
    G305 = (
        "The format can't say the span {span} in {text!r}: the text itself goes on "
        "with the characters of its mark, or spans are nested more than "
        "'max_depth' ({depth}) deep, or the span has white space at its edge. "
        "Correct the data, raise 'max_depth', or set 'crossing = \"drop\"' to train "
        "without it."
    )
    G306 = (
        "There are no training examples. Check the path under '[corpora.train]', and "
        "that the file holds documents."
    )
    G307 = (
        "No training example has spans under 'doc.spans[{key!r}]'. Set 'spans_key' to "
        "the group that the data uses, or convert the data with that key. A component "
        "that is not to learn goes under 'training.frozen_components'."
    )
    G302 = "{name!r} is {found!r}: expected a share between 0 and 1."
    G308 = "{name!r} is {found!r}: expected a number."
    G311 = (
        "There is no checkpoint at {folder}. Expected the output folder of a run of "
        "'spacy genner train'; to begin one, give --output in place of --resume."
    )
    G312 = (
        "The checkpoint can't be used: {reason}. Begin the run anew: --output in place "
        "of --resume."
    )
    G313 = (
        "The config is not the one of the run that stopped ({folder}): {changed}. Take "
        "the changes back, or begin a new run with --output. Only paths, max_steps, "
        "max_epochs, patience and eval_frequency may change."
    )
    G314 = (
        "The corpus {name!r} is not the one of the run that stopped ({folder}): its "
        "texts, tokens or annotations differ. Restore it, or begin a new run with "
        "--output."
    )
    G315 = (
        "The checkpoint {folder} was written by another version of spacy-genner "
        "(state {found!r}). Go on with that version, or begin a new run with --output."
    )
    G316 = (
        "'total_steps' of the schedule is 0, to be counted, and the training has no "
        "end: 'training.max_steps' and 'training.max_epochs' are both 0. Set one of "
        "them."
    )
    G318 = "Give --minutes or --steps, not both."
    G319 = "{name!r} is {found!r}: expected a number above 0."
    G320 = (
        "{path} has spans under the keys {found}: expected one. Name it: --spans-key "
        "KEY"
    )
    G321 = "There are no documents in {path} to train a draft head on."
    G317 = (
        "There is no GPU {found}: torch finds {count}. Leave --gpu-id out, or install "
        "a torch build for your GPU."
    )
    G330 = (
        "'share' of spacy-genner.CoverSpans.v1 is {found!r}: expected the share of the "
        "training spans that is suggested, above 0 and at most 1."
    )
    G331 = (
        "'component' of spacy-genner.CoverSpans.v1 is {name!r}: expected the name of a "
        "component of the factory 'spancat' in the pipeline, which has {found}."
    )
    G340 = (
        "{path} has no section '[{section}]'. Expected a whole training config: write "
        "one with 'python -m spacy genner init-config'."
    )
    G341 = (
        "The file of labels {path}, named by {place}, can't be read ({reason}). "
        "Expected JSON: a list of labels, or an object of labels with their "
        "definitions."
    )


class TrainingWarnings:
    W301 = (
        "{count} of {all} training examples have no spans under 'doc.spans[{key!r}]'; "
        "they count as texts without any entity."
    )
    W303 = (
        "None of the {all} training examples has a span under 'doc.spans[{key!r}]', "
        "though the group is there: from texts without any entity a component learns "
        "to find none. Check that the corpus is the annotated one."
    )
    W302 = (
        "Training goes without spans of 'doc.spans[{key!r}]' that {reason}; the first "
        "is {span}. All are counted: 'component.gold_counts()'."
    )
