"""How much memory prepared matrix products take."""

import os

# torch and oneDNN each keep the products they have prepared, by shape: 1,024, up
# to 0.6 MB each. Sentences of all lengths make new shapes at every pass, which are
# hardly met again; those of one pass fit into this many.
CAPACITY = 128
VARIABLES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def limit_kernel_caches() -> None:
    """Keep fewer prepared products than torch does of its own accord, unless the
    variables are set. Heard only before the first product in bfloat16 of a process."""
    for name in VARIABLES:
        os.environ.setdefault(name, str(CAPACITY))
