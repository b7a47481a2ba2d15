"""Folders that are there in full or not at all, whoever is killed and however many build."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.bootstrap.console import megabytes, say
from tools.bootstrap.launch import BazelwError

UNUSED_DAYS = 30  # a prefix of another branch's recipe is kept while someone works there
FULL = 1_000_000  # bytes: with less left, a disk is what made a program fail
ADVICE = "make room, or set XDG_CACHE_HOME to a folder elsewhere"


def build(final: Path, make: Callable[[Path], None]) -> None:
    """Calls `make` with an empty folder beside `final`, and renames it to `final`.

    Only one process builds at a time; another waits, and finds the work done.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with lock(final):
            if final.is_dir():
                return
            # Who holds the lock is the only living builder. Each has a name of its own, so
            # that a child which outlived its killed parent cannot write into our folder.
            for leftover in final.parent.glob(f"{final.name}.partial-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            aside = Path(tempfile.mkdtemp(prefix=f"{final.name}.partial-", dir=final.parent))
            try:
                make(aside)
                aside.rename(final)
            except BazelwError as error:
                if shutil.disk_usage(aside).free < FULL:
                    raise OSError(errno.ENOSPC, str(error)) from error
                raise
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = f"the disk that holds {final.parent} is full" if full else "cannot write"
        raise BazelwError(f"{what} ({error}): {ADVICE}") from error


@contextlib.contextmanager
def lock(final: Path) -> Iterator[None]:
    """Keeps other builders of `final` waiting; the kernel lets go if we are killed."""
    # The lock file stays: whoever removed it would let two builders hold "the" lock.
    with final.with_name(f"{final.name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another bazelw is preparing {final}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def require_space(folder: Path, size: int) -> None:
    """Raises where less than `size` bytes are free for `folder`."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise BazelwError(
            f"{megabytes(size)} of disk space are needed in {folder.parent}, "
            f"{megabytes(free)} are free: {ADVICE}"
        )


def remove_unused(pattern: str, folder: Path) -> None:
    """Removes what matches `pattern` and was last used long ago (`launch` stamps each use)."""
    limit = time.time() - UNUSED_DAYS * 24 * 3600
    for old in folder.glob(pattern):
        if old.stat().st_mtime < limit:
            say(f"removing {old}, not used for {UNUSED_DAYS} days")
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.unlink()
