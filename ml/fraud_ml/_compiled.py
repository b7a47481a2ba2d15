"""Functions that are compiled to machine code, because they go through one thing after another.

Only where each step depends on the one before: what can be done with whole arrays, is.

To compile takes seconds, so the result is kept for the processes to come: in the user's cache, in
a folder for exactly these sources, for Numba would not notice that a function in another file has
changed. The build compiles ahead (`//ml:machine_code`), and what it compiled is where that folder
starts from; for another processor than the build's, Numba compiles anew. Where nothing can be
written, every process compiles for itself.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TypeVar, cast

import numba
from numba.core import caching, config

SOURCES = (
    "_aggregates",
    "_compiled",
    "_exact",
    "_key_histories",
    "_key_state",
    "_memory",
    "_rings",
    "_running_max",
    "_usual",
    "feature_spec",
)
"""The modules that compiled code is made from, and whose constants are in it."""

_HERE = Path(__file__).parent
_AHEAD = _HERE / "machine_code"  # what the build compiled; in a plain checkout there is none

_Function = TypeVar("_Function", bound="Callable[..., object]")
# All that a function calls becomes part of it: else each call passes on all arrays of a state.
_njit = partial(numba.njit, error_model="numpy", nogil=True, forceinline=True)


def compiled(function: _Function) -> _Function:
    """``function``, compiled when it is first called with arguments of some types.

    Numbers are as in NumPy: whole ones have 64 bits, and a division by zero is no exception. It
    lets other threads run meanwhile: what it is given is the caller's to guard.
    """
    settings = vars(config)
    before = settings["CACHE_LOCATOR_CLASSES"]
    settings["CACHE_LOCATOR_CLASSES"] = f"{__name__}.{CacheLocator.__name__}"
    try:
        return cast("_Function", _njit(cache=True)(function))
    except RuntimeError:  # nothing can be written there
        return cast("_Function", _njit()(function))
    finally:
        settings["CACHE_LOCATOR_CLASSES"] = before


class CacheLocator(caching.UserWideCacheLocator):
    """Numba's way to ask where the code of a function is kept, and of which source it is.

    Numba's own depends on where the sources lie, which is another place in every sandbox.
    """

    def get_cache_path(self) -> str:
        """The folder, which need not exist."""
        return str(cache_folder())


@cache
def cache_folder() -> Path:
    """Where machine code of these very sources is kept."""
    digest = hashlib.sha256()
    for source in (_HERE / f"{name}.py" for name in SOURCES):
        digest.update(source.read_bytes() if source.exists() else b"\0")
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    folder = Path(home) / "fraud-ml" / digest.hexdigest()[:16]
    if _AHEAD.is_dir() and not folder.exists():
        with suppress(OSError):  # nothing can be written, or another process was faster
            _start_from_what_was_built(folder)
    return folder


def _start_from_what_was_built(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        filled = Path(aside) / "machine_code"
        filled.mkdir()
        for file in _AHEAD.iterdir():
            shutil.copyfile(file, filled / file.name)
        filled.rename(folder)
