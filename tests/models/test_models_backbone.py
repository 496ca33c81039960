"""What a layer in the middle gives, to whoever asks and to nobody else."""

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


def test_the_middle_layer_is_taken():
    decoder, x = Decoder(18), torch.randn(2, 3)
    tap = HiddenStateHook(decoder)
    with tap.recording() as taken:
        decoder(x)
    wanted = x
    for layer in decoder.layers[:10]:
        wanted = layer(wanted)
    assert len(taken) == 1
    assert torch.equal(taken[0], wanted)
    decoder(x)
    assert len(taken) == 1
    with HiddenStateHook(Decoder(1)).recording() as taken:
        pass
    assert taken == []


def test_a_decoder_of_another_build_gives_nothing():
    decoder = Decoder(2, bare=True)
    with HiddenStateHook(decoder).recording() as taken:
        decoder(torch.randn(1, 3))
    assert taken == []


def test_threads_and_copies_do_not_see_each_other():
    decoder = Decoder(4)
    tap = HiddenStateHook(decoder)
    other = copy.deepcopy(decoder)
    its = HiddenStateHook(other)
    with tap.recording() as taken:
        thread = threading.Thread(target=decoder, args=(torch.randn(1, 3),))
        thread.start()
        thread.join()
        assert taken == []
        decoder(torch.randn(1, 3))
    with its.recording() as copied:
        other(torch.randn(1, 3))
    assert (len(taken), len(copied)) == (1, 1)


def test_a_tap_leaves_no_hook_behind():
    decoder = Decoder(4)
    tap = HiddenStateHook(decoder)
    assert sum(len(layer._forward_hooks) for layer in decoder.layers) == 1
    del tap
    gc.collect()
    assert sum(len(layer._forward_hooks) for layer in decoder.layers) == 0


def test_a_tapped_backbone_gives_both_layers(tiny_base):
    base = get_base(str(tiny_base("gemma3")), dtype="float64", device="cpu")
    network = share_modules(base.model)
    decoder = text_decoder(network)
    ids = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        plain = Backbone(network, decoder).forward_padded(ids)
        both = Backbone(network, decoder, tapped=True).forward_padded(ids)
        states = decoder(input_ids=ids, output_hidden_states=True).hidden_states
    width = plain.shape[-1]
    assert torch.equal(both[..., :width], plain)
    layer = max(0, len(decoder.layers) * 5 // 9 - 1)
    assert torch.equal(both[..., width:], states[layer + 1])
