"""Grouped-query attention and packing, compared with transformers and with padding."""

import pytest
import torch

from spacy_genner.models.attention import (
    NAME,
    PackedLayout,
    attention_implementation,
    grouped_attention,
)


def tolerances(network):
    wide = network.dtype == torch.float64
    return {"rtol": 1e-9, "atol": 1e-9} if wide else {"rtol": 1e-3, "atol": 1e-4}


def test_logits_equal_those_of_transformers_attention(networks, padded_batch):
    ours, plain = networks
    ids, mask = padded_batch
    assert ours.config._attn_implementation == NAME
    assert plain.config._attn_implementation != NAME
    with torch.no_grad():
        found = ours(ids, attention_mask=mask).logits[mask.bool()]
        expected = plain(ids, attention_mask=mask).logits[mask.bool()]
    torch.testing.assert_close(found, expected, **tolerances(plain))


def test_other_devices_use_the_attention_of_transformers():
    assert attention_implementation(torch.device("cpu")) == NAME
    assert attention_implementation(torch.device("cuda", 0)) is None


@pytest.mark.parametrize(
    "lengths, columns",
    [
        ([5], [5]),
        ([3] * 20, [3]),
        ([40, 41, 43], [43]),
        ([2, 90, 2, 2, 2], [2, 90]),
        ([1] * 10 + [200, 60, 60, 60, 60, 60, 200], [1, 60, 200]),
    ],
)
def test_rows_of_different_lengths_form_blocks(lengths, columns):
    packed = PackedLayout.from_lengths(0, lengths, torch.device("cpu"))
    assert [block.columns.stop for block in packed.blocks] == columns
    tokens = torch.cat([block.tokens for block in packed.blocks])
    assert sorted(tokens.tolist()) == list(range(sum(lengths)))
    for rows, within, tokens, layout in packed.blocks:
        selected = torch.arange(len(lengths)) if rows is None else rows
        assert torch.equal(packed.token_rows[tokens], selected[layout.token_rows])
        assert torch.equal(
            packed.token_columns[tokens], layout.token_columns + within.start
        )
        assert layout.max_length == within.stop - within.start


def test_packed_rows_give_the_same_output_as_padded_rows():
    lengths = [1, 90, 4, 2, 1, 60]
    packed = PackedLayout.from_lengths(0, lengths, torch.device("cpu"))
    assert len(packed.blocks) > 1
    draw = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    query, keys, values = drawn(1, 4, 158, 8), drawn(6, 2, 120, 8), drawn(6, 2, 120, 8)
    mask = drawn(6, 1, 90, 120)
    module = torch.nn.Module()
    found, _ = grouped_attention(module, query, keys, values, mask, packed=packed)
    padded = packed.pad(query[0])
    expected, _ = grouped_attention(module, padded, keys, values, mask)
    assert found.shape == (1, 158, 4, 8)
    torch.testing.assert_close(found[0], packed.unpad(expected))
