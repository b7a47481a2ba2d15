"""What holds for the holds on a journal, in each database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data_connector import JournalHolds

Open = Callable[[], JournalHolds]


@pytest.fixture
def now() -> list[float]:
    return [1_000.0]


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def holds(request: pytest.FixtureRequest, tmp_path: Path, now: list[float]) -> Open:
    """Opens the holds of one journal, as a process of its own would."""
    url = f"sqlite:///{tmp_path}/features.db"
    if request.param != "sqlite":
        fixture = "postgresql" if request.param == "postgresql" else "redis_url"
        url = request.getfixturevalue(fixture)

    def opened() -> JournalHolds:
        one = JournalHolds(url, clock=lambda: now[0])
        request.addfinalizer(one.close)
        return one

    return opened


def test_the_earliest_that_anyone_needs_is_needed(holds: Open) -> None:
    ours, theirs = holds(), holds()
    assert ours.needed_after() is None
    ours.hold("us", 70, seconds=10)
    theirs.hold("them", 30, seconds=10)
    assert ours.needed_after() == 30
    theirs.hold("them", 90, seconds=10)
    assert ours.needed_after() == 70
    theirs.release("us")
    theirs.release("nobody")
    assert ours.needed_after() == 90


def test_a_hold_runs_out_unless_it_is_renewed(holds: Open, now: list[float]) -> None:
    ours = holds()
    ours.hold("us", 0, seconds=10)
    now[0] += 9
    assert ours.needed_after() == 0
    ours.hold("us", 0, seconds=10)
    now[0] += 9
    assert ours.needed_after() == 0
    now[0] += 1
    assert ours.needed_after() is None
