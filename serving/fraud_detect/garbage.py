"""Python's garbage collector, in a process that must not pause."""

from __future__ import annotations

import gc

_YOUNG_OBJECTS = 10_000  # more than a list of transactions takes: most are gone before a look


def keep_collections_short() -> None:
    """Lets the collector pass over all that is there now, and look less often at the rest.

    For a process that has loaded what it keeps. To look at that, too, as the collector now and then
    does, takes longer than to score a thousand payments, and none is answered meanwhile.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
