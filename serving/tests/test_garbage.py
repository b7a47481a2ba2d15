"""Collections of garbage are short where much is kept, and still find cycles."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from fraud_detect.garbage import keep_collections_short


class _Cycle:
    """Nobody else knows it, but for itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def _collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("_collector")
def test_what_was_there_is_passed_over_and_what_comes_is_not() -> None:
    kept = [[number] for number in range(1_000)]
    keep_collections_short()
    assert gc.get_freeze_count() > len(kept)
    assert not any(each is kept for each in gc.get_objects())
    later = weakref.ref(_Cycle())
    more = [[number] for number in range(20_000)]
    assert later() is None
    assert len(more) == 20_000
