"""Pause Python's garbage collector while objects are created that will stay.

The collector looks for unreachable cycles, and goes through all objects again each time
their number has grown by a quarter. Importing transformers and loading a base create
several hundred thousand objects, and hardly any of them is garbage.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_gc() -> Iterator[None]:
    """Pause the garbage collector within the block, or in a function that this
    decorates. A collector that is switched off stays off.

    Objects without cycles are freed as always, and the next full collection finds the
    others. If several threads pause the collector, it runs again when the first of
    them has finished.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():
                # Together these make all objects old. The next collection of young
                # objects would otherwise go through all that the block has created.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
