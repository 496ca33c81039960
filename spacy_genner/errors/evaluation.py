"""What can be said of evaluation: the codes G6."""


class EvaluationErrors:
    G601 = (
        "There are {gold} documents on one side and {found} on the other. Score the "
        "same documents on both."
    )
    G602 = "There are no documents to evaluate. Check the path and the file."
    G604 = (
        "There is no evaluation in {folder}: no .json file. Run 'python -m spacy "
        "genner evaluate' with --output in that folder first."
    )
    G605 = "The evaluation {path} is damaged: {reason}. Run 'evaluate' again."
    G606 = "There is no file {path}."
    G607 = (
        "The training log {path} can't be read: {reason}. Expected the "
        "training_log.jsonl that training writes beside model-best."
    )
    G603 = (
        "No document has spans under 'doc.spans[{key!r}]'; there are {found}. Name the "
        "group with --spans-key, or convert the data with that key."
    )
    G610 = (
        "{first} and {second} can't be compared: {reason}. Expected the same documents "
        "with the same reference, in the same order: run 'evaluate' for both systems "
        "on the same file."
    )
    G611 = (
        "The documents of the evaluation {path} are missing: there is no {spans}. Keep "
        "the two files together, or run 'evaluate' again."
    )
    G612 = (
        "{path} and {spans} do not belong together: the one says {stated}, the other "
        "holds {found}. Run 'evaluate' again."
    )
    G613 = (
        "The training data {path} has no spans under 'doc.spans[{key!r}]'; there are "
        "{found}. Name the training file with --train, converted with the key that the "
        "evaluation has, or leave --train out."
    )
    G614 = (
        "There is no length for the span over characters {range} of document "
        "{document} (from 0). Give the number of tokens for the range of every span, "
        "predicted ones too."
    )
    G615 = (
        "There are {scores} scores and {found} outcomes. Give one score and one "
        "outcome for each predicted span."
    )
    G616 = (
        "There are no documents in {path}. Expected one a line, as 'evaluate' writes."
    )
    G617 = "{path} is to be read and to be written. Name another file with --output."
    G618 = (
        "{path} is a comparison, not an evaluation. Name two files that 'evaluate' "
        "wrote."
    )


class EvaluationWarnings:
    W601 = (
        "{count} of {total} documents failed, and count as documents in which nothing "
        "was found. The first: {first}"
    )
