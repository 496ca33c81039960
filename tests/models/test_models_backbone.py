"""The forward hook that records the hidden states of a middle layer."""

import copy
import gc
import threading

import torch
from torch import nn

from spacy_genner.models.backbone import Backbone, HiddenStateHook
from spacy_genner.models.base_model import get_base, share_modules, text_decoder


class Decoder(nn.Module):
    def __init__(self, depth, bare=False):
        super().__init__()
        made = [nn.Linear(3, 3) for _ in range(depth)]
        self.layers = made if bare else nn.ModuleList(made)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_the_hook_records_the_middle_layer():
    decoder, x = Decoder(18), torch.randn(2, 3)
    hook = HiddenStateHook(decoder)
    with hook.recording() as outputs:
        decoder(x)
    expected = x
    for layer in decoder.layers[:10]:
        expected = layer(expected)
    assert len(outputs) == 1
    assert torch.equal(outputs[0], expected)
    decoder(x)
    assert len(outputs) == 1
    with HiddenStateHook(Decoder(1)).recording() as outputs:
        pass
    assert outputs == []


def test_a_decoder_without_a_list_of_layers_records_nothing():
    decoder = Decoder(2, bare=True)
    with HiddenStateHook(decoder).recording() as outputs:
        decoder(torch.randn(1, 3))
    assert outputs == []


def test_threads_and_copies_record_separately():
    decoder = Decoder(4)
    hook = HiddenStateHook(decoder)
    other = copy.deepcopy(decoder)
    other_hook = HiddenStateHook(other)
    with hook.recording() as outputs:
        thread = threading.Thread(target=decoder, args=(torch.randn(1, 3),))
        thread.start()
        thread.join()
        assert outputs == []
        decoder(torch.randn(1, 3))
    with other_hook.recording() as copied:
        other(torch.randn(1, 3))
    assert (len(outputs), len(copied)) == (1, 1)


def test_a_deleted_hook_is_removed_from_the_layer():
    decoder = Decoder(4)
    hook = HiddenStateHook(decoder)
    assert sum(len(layer._forward_hooks) for layer in decoder.layers) == 1
    del hook
    gc.collect()
    assert sum(len(layer._forward_hooks) for layer in decoder.layers) == 0


def test_a_backbone_with_the_middle_layer_returns_both_layers(tiny_base):
    base = get_base(str(tiny_base("gemma3")), dtype="float64", device="cpu")
    network = share_modules(base.model)
    decoder = text_decoder(network)
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        plain = Backbone(network, decoder).forward_padded(ids)
        both = Backbone(network, decoder, middle_layer=True).forward_padded(ids)
        states = decoder(input_ids=ids, output_hidden_states=True).hidden_states
    width = plain.shape[-1]
    assert torch.equal(both[..., :width], plain)
    layer = max(0, len(decoder.layers) * 5 // 9 - 1)
    assert torch.equal(both[..., width:], states[layer + 1])
