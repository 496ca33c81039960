"""What can be said of models behind a server: the codes G7 and W7.

No message shows a key: where a value may hold one, it is left out.
"""


class RemoteErrors:
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


class RemoteWarnings:
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
