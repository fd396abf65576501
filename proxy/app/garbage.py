"""Python's cyclic garbage collector, set for a server: there is next to nothing for it to find."""

from __future__ import annotations

import gc
from typing import Final

_FRESH: Final = 10_000


def settle() -> None:
    """To be called once, when everything is built, before the first request.

    What was built so far lives as long as the process: the collector need not look at it again. And the first
    generation is made larger than what the requests under way make together: with Python's own 700, sixty
    writes at a time had it run after every thirteenth, which took a tenth of the processor's time and made
    pauses of 20 ms. Requests leave no cycles behind; what does is found a little later.
    """
    gc.collect()
    gc.freeze()
    _, second, third = gc.get_threshold()
    gc.set_threshold(_FRESH, second, third)
