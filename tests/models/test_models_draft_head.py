"""The draft head: what it learns, and the spans that it proposes."""

import pytest
import safetensors.torch
import torch

from spacy_genner.models.draft_head import MAX_SPAN_LENGTH, DraftHead, HeadSpanProposer


def test_a_head_learns_spans_of_any_length_and_nesting():
    torch.manual_seed(0)
    size = 3 * MAX_SPAN_LENGTH
    hidden = torch.randn(size, 16)
    spans = [(0, 3, 0), (1, 3, 1), (70, 70 + MAX_SPAN_LENGTH, 0), (size - 1, size, 1)]
    head = DraftHead(16, 2)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.001)
    for _ in range(200):
        optimizer.zero_grad()
        head.learn([(hidden, spans)]).backward()
        optimizer.step()
    proposer = HeadSpanProposer(head, hidden)
    assert proposer.likely_spans() == sorted(spans)
    assert proposer.best_ending(70, 71, size) == (70 + MAX_SPAN_LENGTH, 0)
    assert proposer.best_ending(1, 2, 3) == (3, 1)
    for start, first, last in [(5, 6, 9), (5, 9, 9), (0, size, size)]:
        end, label = proposer.best_ending(start, first, last)
        assert first <= end <= last
        assert label in (0, 1)


def test_spans_that_are_too_long_are_ignored():
    hidden = torch.randn(MAX_SPAN_LENGTH + 9, 8)
    head = DraftHead(8, 1)
    loss = head.loss(hidden, [(0, MAX_SPAN_LENGTH + 9, 0), (3, 5, 0)])
    assert torch.equal(loss, head.loss(hidden, [(3, 5, 0)]))
    assert torch.isfinite(loss)


def test_the_most_likely_of_crossing_spans_is_proposed():
    head = DraftHead(4, 1)
    proposer = HeadSpanProposer(head, torch.randn(4, 4))
    odds = torch.full((4, 4, 1), -1.0)
    odds[0, 2], odds[1, 3], odds[1, 1] = 2.0, 3.0, 1.0
    head.logits = lambda *_: odds
    assert proposer.likely_spans() == [(1, 2, 0), (1, 4, 0)]


def test_a_flipped_bit_is_reported():
    """A head that was saved without a checksum is read."""
    head = DraftHead(8, 2)
    data = head.to_bytes()
    seen = 0
    for place in range(0, len(data), len(data) // 300):
        copy = bytearray(data)
        copy[place] ^= 1 << place % 8
        try:
            found = DraftHead.from_bytes(bytes(copy), "here").state_dict()
        except ValueError as error:
            seen += "G271" in str(error) and "draft head in here" in str(error)
            continue
        for name, value in head.state_dict().items():
            assert torch.equal(found[name], value)
    assert seen > 200
    plain = safetensors.torch.save(dict(head.state_dict()))
    assert torch.equal(DraftHead.from_bytes(plain, "here").narrow, head.narrow)


def test_the_head_says_how_certain_its_spans_are():
    head = DraftHead(8, 2, seed=0)
    hidden = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    proposer = HeadSpanProposer(head, hidden)
    for odds in (-1.0, -0.3):
        with torch.no_grad():
            head.length.fill_(odds)
            # One span that is likely, of two words.
            head.length[1, 1] = 0.02
        spans = proposer.likely_spans()
        certain, words = proposer.certainty()
        assert len(certain) == len(spans) > 0 and len(words) == 6
        assert all(0.5 < each < 1 for each in certain)
        logits = head.logits(*head.edges(hidden)).detach()
        for word, absent in enumerate(words):
            unlikely = logits[word][logits[word] <= 0]
            assert absent == pytest.approx(float((1 - unlikely.sigmoid()).prod()), 1e-3)
