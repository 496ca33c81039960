"""What can be said where a teacher labels a training corpus: the codes G76, G77 and
W76."""


class AnnotationErrors:
    G760 = (
        "The teacher {path} can't be used: {reason}. Expected a config of a pipeline "
        "that finds spans (a .cfg file), the folder of a saved pipeline, or the name "
        "of an installed one."
    )
    G761 = (
        "The teacher {path} has a component of the factory 'llm', and spacy-llm is not "
        "installed. Install it: pip install 'spacy-genner[llm]'"
    )
    G762 = (
        "The teacher {path} has {found} components that write spans. Expected one of "
        "the factory 'generative_ner', or one of the factory 'llm' with the task "
        "spacy-genner.NER.v1 or spacy-genner.SpanCat.v1. Where another component "
        "writes the spans, name its group of doc.spans: --spans-key KEY"
    )
    G763 = (
        "The component {name!r} of the teacher {path} has no labels. Name them in "
        "[initialize.components.{name}] labels, or under 'labels' where the config "
        "makes the component."
    )
    G764 = (
        "The teacher wrote no group doc.spans[{key!r}] for document {number}. Name the "
        "group that it writes: --spans-key KEY"
    )
    G765 = (
        "The last {count} documents in a row failed, so the run stops. The last "
        "reason: {reason} What is done is kept in {journal}: see to the reason, and "
        "the same command goes on from there. --stop-after 0 goes on whatever fails."
    )
    G766 = (
        "None of the {total} documents can be learnt from: {failed} failed, {left_out} "
        "are left out, and {blank} are blank. {output} is not written. {review} says "
        "why; what is done is kept in {journal}, and the same command, with another "
        "--keep or --min-score or after the teacher was seen to, goes on from there. "
        "{reason}"
    )
    G767 = (
        "{path} was begun with {what}. Go on with it all the same: --resume. Begin "
        "anew, without what is done: --restart"
    )
    G768 = (
        "{path} can't be read as what an unfinished run has left ({reason}). Begin "
        "anew: --restart"
    )
    G769 = (
        "{path}, line {line}: a string holds half of a character (a lone surrogate), "
        "which no text can: {found}. Correct the line."
    )
    G770 = (
        "{path} is named twice, as {first} and as {second}. Expected a file of its own "
        "for each."
    )
    G771 = (
        "The folder {path} holds {found}, which is no part of a corpus written here "
        "(00001.spacy and so on): it is not overwritten. Name a new or empty folder."
    )
    G772 = (
        "The pipeline gave back another document ({found!r}) for this one. Where the "
        "component 'llm' has a cache, its keys don't tell texts with the same words in "
        "another order apart: set path = null in [components.llm.cache]."
    )


class AnnotationWarnings:
    W760 = (
        "{count} of {total} documents failed and are not in {output}: they would be "
        "learnt as texts without entities. They stand first in {review}. The first: "
        "{first}"
    )
    W761 = (
        "--min-score {least} sorts nothing out: this teacher gives no probabilities, "
        "and the score of every span is 1 or missing."
    )
    W762 = (
        "Stopped. What is done, {count} of {total} documents, is kept in {journal}: "
        "the same command goes on from there."
    )
