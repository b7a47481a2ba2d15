"""What training processes tell the one that started them, as lines among all that they print."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from fraud_ml.training import Epoch

_EPOCH = "fraud-epoch "
_LINES = 30  # kept, for the message of an error


def tell_epoch(epoch: Epoch) -> None:
    """Tells an epoch to who started this process."""
    sys.stdout.write(f"{_EPOCH}{json.dumps(dataclasses.asdict(epoch))}\n")
    sys.stdout.flush()


class WorkerOutput:
    """Takes the place of a stream: picks out the epochs, and passes on or keeps the rest."""

    def __init__(
        self, on_epoch: Callable[[Epoch], None], tail: deque[str], passed_on: TextIO | None = None
    ) -> None:
        """Takes nothing yet.

        Args:
            on_epoch: is told the epochs.
            tail: keeps the last other lines.
            passed_on: the stream for other lines; None: they are only kept.
        """
        self.tail = tail
        self._on_epoch = on_epoch
        self._passed_on = passed_on
        self._begun = ""

    def write(self, text: str) -> int:
        """Takes a piece of the output."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.startswith(_EPOCH):
                self._on_epoch(Epoch(**json.loads(line.removeprefix(_EPOCH))))
            else:
                self._other(f"{line}\n")
        # A terminal's bars are redrawn without an end of line.
        if self._passed_on is not None and not _EPOCH.startswith(self._begun[: len(_EPOCH)]):
            self._other(self._begun)
            self._begun = ""
        return len(text)

    def flush(self) -> None:
        """Flushes what is passed on."""
        if self._passed_on is not None:
            self._passed_on.flush()

    def __getattr__(self, name: str) -> Any:
        """Is a terminal, and all else, where that is one to which it passes on."""
        return getattr(self._passed_on, name)

    def _other(self, text: str) -> None:
        if self._passed_on is not None:
            self._passed_on.write(text)
        elif text.strip():
            self.tail.append(text.rstrip())


@contextmanager
def watched(on_epoch: Callable[[Epoch], None], *, also_errors: bool) -> Iterator[WorkerOutput]:
    """Watches what is written to the standard output, and keeps its end.

    Args:
        on_epoch: is told the epochs.
        also_errors: look for epochs in the standard error, too, and pass the rest of it on.
    """
    tail: deque[str] = deque(maxlen=_LINES)
    output = WorkerOutput(on_epoch, tail)
    with contextlib.ExitStack() as streams:
        streams.enter_context(contextlib.redirect_stdout(output))  # type: ignore[type-var]
        if also_errors:
            errors = WorkerOutput(on_epoch, tail, sys.stderr)
            streams.enter_context(contextlib.redirect_stderr(errors))  # type: ignore[type-var]
        yield output
