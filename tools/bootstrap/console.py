"""What `bazelw` says while it works: on stderr, for stdout is Bazel's."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Writes one line."""
    sys.stderr.write(f"bazelw: {text}\n")
    sys.stderr.flush()


def megabytes(size: int) -> str:
    """A size in bytes as people read it."""
    return f"{size / 1e6:,.0f} MB"


class Meter:
    """A line with a growing percentage on a terminal; elsewhere a line without one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._live = sys.stderr.isatty()
        self._shown = -1

    def __enter__(self) -> Meter:
        if self._live:
            self.show(0)
        else:
            say(self._text)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stderr.write("\n")

    def show(self, fraction: float) -> None:
        """Shows `fraction`, 0 to 1, on a terminal."""
        percent = int(100 * fraction)
        if self._live and percent > self._shown:
            self._shown = percent
            sys.stderr.write(f"\rbazelw: {self._text} {percent:3d} %")
            sys.stderr.flush()
