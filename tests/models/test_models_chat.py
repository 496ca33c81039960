"""Chat templates: what stands around a prompt that is a turn of a chat."""

import copy

import pytest

from spacy_genner.models.tokenization import chat_frame

PLAIN = (
    "{{ bos_token }}{% for m in messages %}<unk>{{ m.role }}\n{{ m.content | trim }}"
    "<eos>\n{% endfor %}{% if add_generation_prompt %}<unk>model\n{% endif %}"
)


def chatty(tokenizer, template):
    made = copy.deepcopy(tokenizer)
    made.chat_template = template
    return made


def test_frame_has_control_tokens_and_the_prompt_has_none(tiny_tokenizers):
    tokenizer = chatty(tiny_tokenizers["bytelevel"], PLAIN)
    frame = chat_frame(tokenizer)
    assert tokenizer.decode(frame.before) == "<bos><unk>user\n"
    assert tokenizer.decode(frame.after) == "<eos>\n<unk>model\n"
    assert frame.before[0] == tokenizer.bos_token_id
    assert frame.after[0] == tokenizer.eos_token_id == frame.end_id


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{{ raise_exception('system turns only') }}",
        "{% for m in messages %}{{ m.role }}{% endfor %}",
    ],
)
def test_none_where_there_is_no_place_for_a_prompt(tiny_tokenizers, template):
    assert chat_frame(chatty(tiny_tokenizers["bytelevel"], template)) is None


def test_no_end_where_an_answer_ends_without_a_control_token(tiny_tokenizers):
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    frame = chat_frame(chatty(tiny_tokenizers["metaspace"], template))
    assert frame.end_id is None
