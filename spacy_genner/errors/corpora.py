"""What can be said of corpora and the command line: the codes G5 and W5."""


class CorporaErrors:
    G501 = "No converter is called {name!r}. Expected one of: {expected}."
    G502 = "The tokenizer is {found!r}. Expected one of: {expected}."
    G503 = (
        "spaCy has no language {lang!r} here ({reason}). Expected a code such as 'en', "
        "'de', or 'xx' for any; some languages need a package of their own."
    )
    G504 = (
        "{path} holds no document. Expected at least one text in the form {name!r}: "
        "check the file and --from."
    )
    G505 = (
        "The corpus has no path. Set it in the config ([paths] train and dev), or on "
        "the command line: --paths.train FILE --paths.dev FILE"
    )
    G506 = "'limit' of the corpus is {found!r}: expected 0 for all, or a number above."
    G510 = (
        "{path}, line {line}: the file is not UTF-8 ({reason}). Save it as UTF-8: "
        "iconv -f ENCODING -t UTF-8"
    )
    G511 = (
        "{path}, line {line}: {reason}. Expected marks such as [Oslo | GPE], every "
        "bracket a part of one; a text with literal brackets goes into JSONL."
    )
    G512 = "{path}, line {line}: expected one JSON object on each line, found: {found}."
    G513 = (
        '{path}, line {line}: {reason}. Expected {{"text": "...", "spans": '
        '[{{"start": 0, "end": 4, "label": "GPE"}}]}}, \'entities\' and '
        "'type' being as good; give an empty list where a text has no spans."
    )
    G514 = (
        "{path}, line {line}: expected a token and its tags in columns (such as O, "
        "B-PER, I-PER), found: {found!r}."
    )
    G515 = (
        "{path} can't be read as a .spacy file ({reason}). Expected what 'python -m "
        "spacy genner convert' or DocBin.to_disk writes."
    )
    G516 = "{path}, line {line}: 'text' is {found!r}. Expected a string under 'text'."
    G520 = "{path} does not exist. Check the path and the working directory."
    G521 = "{path} is a folder. Expected a file."
    G522 = "{path} can't be read or written: no permission. Check its owner and mode."
    G523 = (
        "No space is left on the disk while writing {path}. What stood there before is "
        "as it was. Free some space and run the command again."
    )
    G524 = "{path}: {reason}."
    G525 = (
        "{path} has the ending {found!r}. Expected one of: {expected}. The ending says "
        "in which form the file is read or written."
    )
    G526 = (
        "The pipeline {path} has {found} components of the factory 'generative_ner'. "
        "Name the group of doc.spans to write: --spans-key KEY"
    )
    G527 = (
        "The pipeline {path} can't be loaded: {reason}. Expected the folder of a saved "
        "pipeline, such as training/model-best, or the name of an installed one."
    )
    G528 = "The document was lost in the pipeline: {reason}."
    G530 = "{name!r} is {found!r}: expected one of {expected}."
    G531 = (
        "{path} names no document. Expected the names of documents, one a line, as the "
        "corpus has them."
    )
    G532 = (
        "None of the {count} documents asked for is in {path}. Its documents have "
        "names such as {found}: write them so in the list, one a line."
    )
    G533 = (
        "{path}: the form {form!r} does not say where sentences start, so its "
        "documents can't be split into them. Leave --split-sentences out."
    )
    G534 = (
        "The folder {path} holds no files {expected}, in it or below. Name the folder "
        "that has them, or one such file."
    )
    G535 = (
        "{path}, line {line}: the XML is not well formed ({reason}). The file is "
        "damaged or cut off: get it again."
    )
    G536 = (
        "{path}, line {line}: the entity {name!r} is not one of XML's own. Entities "
        "that a file or a DTD declares are never read: write the characters themselves."
    )
    G537 = (
        "{path} can't be read as an archive with one XML file ({reason}). Unpack it, "
        "and name the .xml file."
    )
    G538 = (
        "{path}, line {line}: {reason}. Expected articles as in GENIA 3.02: a "
        "'bibliomisc' with the MEDLINE id, then sentences, and in them 'cons' elements."
    )
    G539 = (
        "{path}, line {line}: {reason}. Expected documents between '#begin document "
        "(NAME); part 000' and '#end document', each word on a line of at least 12 "
        "columns: the word is the 4th, the named entities are the 11th, such as (ORG*, "
        "*, *) or (GPE)."
    )
    G540 = (
        "{path} is there, and {missing} beside it is not. Expected both, X.sgm and "
        "X.apf.xml, for each document: get the corpus again."
    )
    G541 = (
        "{path}, line {line}: {reason}. Expected entities of the types {expected}, and "
        "their mentions with an extent and a head, each a 'charseq' with START and END."
    )
    G542 = (
        "{path}, line {line}: the annotation says {said!r} from {start} to {end}, and "
        "{found!r} stands there in {text_path}. Offsets count characters (code "
        "points), not bytes: restore text and annotation, or correct the line."
    )
    G543 = (
        "The document {name!r} is there twice: {first} and {second}. Name a folder "
        "with one annotation of it."
    )
    G544 = (
        "{path}, line {line}: {reason}. Expected standoff such as 'T1', a tab, 'GPE 3 "
        "7', a tab and the text 'Oslo', or another kind of BRAT's lines."
    )
    G545 = (
        "{path}, line {line}: the span {found!r} is not contiguous. Read the text from "
        "its first to its last character as one span with --discontinuous join, or "
        "each part as a span with --discontinuous split; or correct the line."
    )
    G546 = (
        "There is no {expected} beside {path}. Expected X.txt, and with it X.ann or "
        "X.a1, which is empty where the text has no entities."
    )
    G547 = (
        "{path}, line {line}: {reason}. Expected PubTator's 'ID|t|TITLE', 'ID|a|"
        "ABSTRACT', then lines of the same ID with start, end, text and type, parted "
        "by tabs; and an empty line between documents."
    )
    G548 = (
        "{path}, line {line}: the XML names an encoding that can't be read ({reason}). "
        "Save it as UTF-8 (iconv -f ENCODING -t UTF-8), and let its first line say so."
    )
    G550 = "No form is called {name!r}. Expected one of: {expected}."
    G551 = (
        "The label {label!r} can't stand in the form {form!r}: expected one without "
        "white space. Rename it in the source, or write the form 'jsonl'."
    )
    G552 = (
        "Document {doc_id} holds the word '-DOCSTART-', which starts a document in "
        "CoNLL's form. Write the form 'jsonl', or leave the document out."
    )
    G553 = (
        "Document {doc_id} holds the character {found!r}, and in the form 'bracketed' "
        "every bracket is a mark. Write the form 'jsonl' or 'alpaca'."
    )
    G554 = (
        "The folder {path} holds {found}, which is no part of a pair of .txt and .ann "
        "files: it is not overwritten. Name a new or empty folder."
    )
    G555 = (
        "{backup} is in the way: the folder {path} is replaced by way of that name. "
        "Move it, or name another folder."
    )
    G556 = "{path} is a file. Expected a folder, new or empty, for the form 'brat'."
    G557 = (
        "{path}, line {line}: {reason}. Expected objects with the strings "
        "'instruction', 'input' and 'output'."
    )
    G558 = (
        "{path}, line {line}: {reason}. Expected a JSON list of objects, or one object "
        "on each line."
    )
    G559 = (
        "{path}, line {line}: 'input' is empty, and what the instruction gives as text "
        "is not there or not sure: expected it behind a line such as 'Text:', and an "
        "output that copies it exactly (beside one in JSON: one such line, and a text "
        "of one line). Put the text under 'input'."
    )
    G560 = (
        "{path}, line {line}: the format of the outputs can't be told (here: "
        "{found!r}). Name it: --format with one of {expected}."
    )
    G561 = (
        "{path} holds no labels: expected a JSON object of labels with their "
        "definitions, or a list ({reason})."
    )
    G562 = (
        "{path}: the form 'alpaca' does not say which texts are of one document, so "
        "they can't be joined. Leave --join-sentences out."
    )
    G563 = (
        "Document {doc_id!r}: doc.user_data[{key!r}] has {found}. Expected lists of "
        "start, end (characters of the text, the end exclusive) and label, as "
        "'convert' writes them: convert the corpus again, or remove the key."
    )


class CorporaWarnings:
    W501 = (
        "{path}: {count} examples were rejected or ignored by their annotator "
        "('answer'), and are left out."
    )
    W502 = (
        "{count} of {total} documents failed; their records have the status 'failed' "
        "and the reason. The first: {first}"
    )
    W510 = (
        "{count} of the {total} documents asked for are not in {path}. The first: "
        "{first}"
    )
    W511 = (
        "{path}: {count} coordinated terms, such as (AND G#cell_type G#cell_type), are "
        "left out: each says several entities that share words. Terms inside them are "
        "read."
    )
    W512 = (
        "{path}: {count} articles are there more than once; the last of each is read. "
        "The first: {first}"
    )
    W513 = (
        "{path}: {count} files with automatic annotation (auto_conll) are left out, as "
        "there are files with gold annotation."
    )
    W514 = (
        "{path}: {count} files are left out, as the same documents are there in a "
        "later stage of the annotation ({kept})."
    )
    W515 = (
        "{path}: {count} .txt files have no .ann or .a1 beside them, and are left out. "
        "The first: {first}"
    )
    W516 = (
        "{path}: {count} spans are left out: triggers of events, and whatever else an "
        ".a2 file marks. --triggers reads them."
    )
    W517 = (
        "{path}: {count} lines say no entity with a place in the text, and are left "
        "out: {kinds}."
    )
    W518 = (
        "{path}: {count} documents have an ID that occurred before; they are kept. The "
        "first: {first}"
    )
    W519 = (
        "No document has spans under 'doc.spans[{key!r}]'; there are {found}. Training "
        "takes the entities that the documents have: if spans are meant, set "
        "'spans_key' of the corpus."
    )
