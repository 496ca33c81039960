"""Chat templates: the ids around a prompt that is the user's turn of a chat."""

import copy

import pytest

from spacy_genner.models.tokenization import chat_frame

PLAIN = (
    "{{ bos_token }}{% for m in messages %}<unk>{{ m.role }}\n{{ m.content | trim }}"
    "<eos>\n{% endfor %}{% if add_generation_prompt %}<unk>model\n{% endif %}"
)


def with_template(tokenizer, template):
    copied = copy.deepcopy(tokenizer)
    copied.chat_template = template
    return copied


def test_a_frame_contains_the_control_tokens(tiny_tokenizers):
    tokenizer = with_template(tiny_tokenizers["bytelevel"], PLAIN)
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
def test_a_template_without_the_prompt_has_no_frame(tiny_tokenizers, template):
    assert chat_frame(with_template(tiny_tokenizers["bytelevel"], template)) is None


def test_an_answer_without_a_control_token_has_no_end(tiny_tokenizers):
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    frame = chat_frame(with_template(tiny_tokenizers["metaspace"], template))
    assert frame.end_id is None
