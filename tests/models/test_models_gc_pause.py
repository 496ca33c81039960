"""The pause of the garbage collector."""

import gc

import pytest

from spacy_genner.models.gc_pause import paused_gc


@pytest.fixture(autouse=True)
def enabled():
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    gc.enable() if was_enabled else gc.disable()


def test_the_collector_is_paused_within_the_block():
    with paused_gc():
        assert not gc.isenabled()
        with paused_gc():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), paused_gc():
        1 / 0  # noqa: B018
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    with paused_gc():
        pass
    assert not gc.isenabled()


def test_garbage_of_the_block_is_found_later():
    class Cycle:
        pass

    def count():
        return sum(type(each) is Cycle for each in gc.get_objects())

    with paused_gc():
        for _ in range(10):
            cycle = Cycle()
            cycle.itself = cycle
        del cycle
    assert count() == 10
    gc.collect()
    assert count() == 0


def test_frozen_objects_stay_frozen():
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        with paused_gc():
            pass
        assert gc.get_freeze_count() == pytest.approx(count, abs=1000)
    finally:
        gc.unfreeze()
