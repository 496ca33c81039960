"""KV caches: rows with write positions of their own, and a shared prefix."""

import torch

from spacy_genner.models.kv_cache import BatchKVCache, PrefixKVCache

HEADS, WIDTH = 2, 3


def states(*values):
    """Keys of one row, shape (1, heads, tokens, width), with one number for a token."""
    tokens = torch.tensor(values, dtype=torch.float32)
    return tokens[None, None, :, None].expand(1, HEADS, -1, WIDTH)


def write(cache, row, start, *values):
    """Write tokens of one row; returns the numbers of the whole row."""
    positions = torch.arange(start, start + len(values))[None]
    cache.set_write_positions(
        torch.tensor([row]),
        torch.full_like(positions, row),
        positions,
        1,
        start + len(values),
    )
    keys, read = cache.update(states(*values), -states(*values), 0)
    assert torch.equal(keys, -read)
    assert keys.shape == (1, HEADS, start + len(values), WIDTH)
    assert cache.get_seq_length() == start + len(values)
    return keys[0, 0, :, 0].tolist()


def test_rows_are_written_at_positions_of_their_own():
    cache = BatchKVCache(2, 4)
    assert write(cache, 0, 0, 1, 2, 3) == [1, 2, 3]
    assert write(cache, 1, 0, 7) == [7]
    # A rejected token is overwritten.
    assert write(cache, 0, 2, 4, 5) == [1, 2, 4, 5]
    assert write(cache, 1, 1, 8) == [7, 8]


def test_a_cache_grows_and_keeps_its_content():
    cache = BatchKVCache(2, 2)
    write(cache, 1, 0, 1, 2)
    assert write(cache, 1, 2, 3, 4, 5) == [1, 2, 3, 4, 5]
    assert cache.capacity == 5
    assert write(cache, 1, 5, 6) == [1, 2, 3, 4, 5, 6]
    assert cache.capacity == 7


def test_padding_is_written_behind_the_last_position():
    cache = BatchKVCache(1, 3)
    positions = torch.arange(5)[None]
    cache.set_write_positions(None, torch.zeros_like(positions), positions, 1, 3)
    keys, _ = cache.update(states(1, 2, 3, 9, 9), states(0, 0, 0, 0, 0), 0)
    assert keys[0, 0, :, 0].tolist() == [1, 2, 3]
    assert cache.capacity == 3


def test_rows_are_forked_and_copied():
    prefix = BatchKVCache(1, 2)
    write(prefix, 0, 0, 1, 2)
    cache = prefix.fork(3, 4, 2)
    assert write(cache, 2, 2, 3) == [1, 2, 3]
    assert write(cache, 0, 2, 4) == [1, 2, 4]
    cache.copy_row(2, 0)
    assert write(cache, 0, 3, 5) == [1, 2, 3, 5]
    larger = prefix.fork(5, 8, 2)
    larger.copy_from(cache)
    assert write(larger, 2, 3, 6) == [1, 2, 3, 6]
    assert write(larger, 4, 2, 7) == [1, 2, 7]


def test_a_prefix_is_prepended_to_every_row():
    cache = PrefixKVCache()
    assert cache.get_seq_length() == 0
    prefix = states(1, 2).clone().requires_grad_()
    keys, _ = cache.update(prefix, prefix, 0)
    assert keys is prefix
    cache.stop_recording()
    rows = torch.cat([states(3), states(4)])
    keys, values = cache.update(rows, rows, 0)
    assert cache.get_seq_length() == 2
    assert keys[:, 0, :, 0].tolist() == [[1, 2, 3], [1, 2, 4]]
    (keys.sum() + values.sum()).backward()
    assert torch.equal(prefix.grad, torch.full_like(prefix, 4))
