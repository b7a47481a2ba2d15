"""Functions that are compiled to machine code, because they go through one thing after another.

Only where each step depends on the one before: what can be done with whole arrays, is.

To compile takes seconds, so the result is kept for the processes to come: in the user's cache, in
a folder for exactly these sources, for Numba would not notice that a function in another file has
changed. Where nothing can be written, every process compiles for itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import numba
from numba.core import config

_Function = TypeVar("_Function", bound="Callable[..., object]")


def compiled(function: _Function) -> _Function:
    """``function``, compiled when it is first called with arguments of some types.

    Numbers are as in NumPy: whole ones have 64 bits, and a division by zero is no exception.
    """
    settings = vars(config)
    before = settings["CACHE_DIR"]
    settings["CACHE_DIR"] = str(_cache_folder())  # where decorators that come next look
    try:
        return cast("_Function", numba.njit(error_model="numpy", cache=True)(function))
    except RuntimeError:  # nothing can be written there
        return cast("_Function", numba.njit(error_model="numpy")(function))
    finally:
        settings["CACHE_DIR"] = before


@cache
def _cache_folder() -> Path:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "fraud-ml" / digest.hexdigest()[:16]
