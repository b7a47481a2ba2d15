"""The journal is forgotten only as far as all that is in use can be restored without it."""

import numpy as np
import pytest
from history import columns_of
from payments import (
    OTHER_SPEC as OTHER,
)
from payments import (
    SPEC,
    calls_of,
    publish,
    rows_of,
    scorer_at,
    scores_of,
    small_artifact,
    small_simulation,
    state_at,
)

from data_connector import (
    JournalHolds,
    JournalTrimmedError,
    ModelStore,
    SnapshotStore,
    SourceUnreachableError,
    open_journal,
)
from fraud_detect.errors import ServingError
from fraud_detect.keep import SpecsOfModels
from fraud_detect.keeper import Keeper
from fraud_detect.online_state import check_history
from fraud_detect.snapshots import RebuiltError, Snapshots
from fraud_ml.feature_state import FeatureState
from fraud_ml.replica import Replica, name_of_snapshots

PAYMENTS = small_simulation().transactions
CALLS, ROWS = calls_of(PAYMENTS), rows_of(PAYMENTS)


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'features.db'}"


def first_kept(url: str) -> int:
    """The position up to which the journal is forgotten."""
    with open_journal(url) as journal:
        for position in range(journal.last() + 1):
            try:
                journal.since(position, limit=1)
            except JournalTrimmedError:
                continue
            return position
    raise AssertionError("the journal ends before its end")


def score(url: str, start: int, stop: int, spec=SPEC) -> np.ndarray:
    """The scores of some payments, each counted on its own."""
    scorer = scorer_at(url, small_artifact(spec))
    return scores_of([scorer.answer([call])[0] for call in CALLS[start:stop]])


def test_nothing_is_forgotten_that_the_snapshot_before_lacks(url) -> None:
    keeper = Keeper(url, lambda: [SPEC])
    score(url, 0, 30)
    keeper.look()
    keeper.save()
    assert first_kept(url) == 0
    score(url, 30, 50)
    keeper.look()
    keeper.save()
    assert first_kept(url) == 30
    expected = score(f"{url}.whole", 0, 60)
    np.testing.assert_allclose(score(url, 50, 60), expected[50:], atol=1e-6)


def test_a_spec_that_comes_later_gets_all_the_past_and_holds_the_journal(url) -> None:
    in_use = [SPEC]
    keeper = Keeper(url, lambda: in_use)
    score(url, 0, 30)
    keeper.look()
    keeper.save()
    in_use.append(OTHER)
    score(url, 30, 50)
    keeper.look()
    keeper.save()
    assert first_kept(url) == 0  # a snapshot of the second is only there once
    score(url, 50, 60)
    keeper.look()
    keeper.save()
    assert first_kept(url) == 50
    expected = score(f"{url}.whole", 0, 80, OTHER)
    np.testing.assert_allclose(score(url, 60, 80, OTHER), expected[60:], atol=1e-6)


def test_a_spec_without_snapshot_nor_journal_is_refused_until_it_is_backfilled(url, caplog) -> None:
    in_use = [SPEC]
    keeper = Keeper(url, lambda: in_use)
    for stop in (10, 20):
        score(url, stop - 10, stop)
        keeper.look()
        keeper.save()
    check_history(url, SPEC)
    for refused in (check_history, lambda url, spec: state_at(url, spec)):
        with pytest.raises(ServingError, match="//batch:backfill"):
            refused(url, OTHER)
    in_use.append(OTHER)
    keeper.look()
    keeper.look()
    assert caplog.text.count("//batch:backfill") == 1


def test_what_is_in_use_no_longer_holds_nothing(url) -> None:
    in_use = [SPEC, OTHER]
    keeper = Keeper(url, lambda: in_use)
    score(url, 0, 10)
    keeper.look()
    keeper.save()
    in_use.remove(OTHER)
    score(url, 10, 20)
    keeper.look()
    keeper.save()
    assert first_kept(url) == 10


def test_nothing_is_forgotten_as_long_as_it_is_not_known_what_is_in_use(url, caplog) -> None:
    away = False

    def in_use():
        if away:
            raise SourceUnreachableError("the model store is away")
        return [SPEC]

    keeper = Keeper(url, in_use)
    for stop in (10, 20, 30):
        away = stop > 10
        score(url, stop - 10, stop)
        keeper.look()
        keeper.save()
    assert first_kept(url) == 0
    assert "the model store is away" in caplog.text
    away = False
    keeper.look()
    score(url, 30, 40)
    keeper.look()
    keeper.save()
    assert first_kept(url) == 30


def test_nothing_is_forgotten_that_is_held(url) -> None:
    keeper = Keeper(url, lambda: [SPEC])
    holds = JournalHolds(url)
    holds.hold("backfill", 5, seconds=60)
    for stop in (10, 20, 30):
        score(url, stop - 10, stop)
        keeper.look()
        keeper.save()
    assert first_kept(url) == 5
    holds.release("backfill")
    score(url, 30, 40)
    keeper.look()
    keeper.save()
    assert first_kept(url) == 30


def backfilled(position: int) -> Replica:
    """The state of a service that lived through the first payments, from no journal."""
    replica = Replica(FeatureState(SPEC), position)
    replica.count(columns_of(ROWS[:20]))
    replica.begin_here()
    return replica


def put(url: str, replica: Replica) -> None:
    store = SnapshotStore(url, name=name_of_snapshots(replica.state.spec))
    store.save(replica.to_bytes())
    store.close()


def test_a_rebuilt_state_stays_and_is_gone_on_from(url) -> None:
    """Of the first payments the journal knows nothing."""
    keeper = Keeper(url, lambda: [SPEC])
    score(url, 20, 30)
    keeper.look()
    keeper.save()
    put(url, backfilled(0))
    score(url, 30, 40)
    keeper.look()
    keeper.save()  # would put what it has in its place
    kept = Snapshots(url, SPEC).load()
    assert (kept.origin, kept.position) == (backfilled(0).origin, 0)
    keeper.save()
    kept = Snapshots(url, SPEC).load()
    assert (kept.origin, kept.position) == (backfilled(0).origin, 20)
    expected = score(f"{url}.whole", 0, 60)
    np.testing.assert_allclose(score(url, 40, 60), expected[40:], atol=1e-6)


def test_of_no_snapshot_an_older_one_takes_the_place(url) -> None:
    score(url, 0, 20)
    older, newer = state_at(url), state_at(url)
    score(url, 20, 30)
    newer.catch_up()
    snapshots = Snapshots(url, SPEC)
    snapshots.save(newer.replica)
    snapshots.save(older.replica)
    assert snapshots.load().position == 30
    put(url, backfilled(0))
    for each in (older, newer):
        with pytest.raises(RebuiltError, match=r"features\.db"):
            snapshots.save(each.replica)
    assert snapshots.load().origin == backfilled(0).origin


def test_a_rebuilt_state_counts_as_history_and_one_that_is_of_no_use_stops_no_other(
    url, caplog
) -> None:
    assert not check_history(url, SPEC)
    put(url, backfilled(0))
    assert check_history(url, SPEC)
    keeper = Keeper(url, lambda: [SPEC, OTHER])
    for stop in (10, 20):
        score(url, stop - 10, stop, OTHER)
        keeper.look()
        keeper.save()
    store = SnapshotStore(url, name=name_of_snapshots(SPEC))
    wrong = backfilled(19)
    wrong.count(columns_of(ROWS[20:21]))
    wrong.begin_here()
    store.save(wrong.to_bytes()[:-1])
    store.close()
    score(url, 20, 30, OTHER)
    keeper.look()
    keeper.save()
    assert "damaged" in caplog.text
    assert Snapshots(url, OTHER).load().position == 30


def test_keepers_of_several_machines_leave_every_newcomer_the_whole_past(url) -> None:
    keepers = [Keeper(url, lambda: [SPEC]) for _ in range(2)]
    expected = score(f"{url}.whole", 0, 60)
    for number, start in enumerate(range(0, 60, 10)):
        found = score(url, start, start + 10)  # by one that begins with the latest snapshot
        np.testing.assert_allclose(found, expected[start : start + 10], atol=1e-6)
        for keeper in keepers:
            keeper.look()
        for keeper in keepers[:: 1 if number % 2 else -1]:
            keeper.save()
    assert first_kept(url) == 50


def test_in_use_is_what_serves_and_all_that_has_an_alias(tmp_path) -> None:
    for spec in (SPEC, OTHER, SPEC):
        publish(tmp_path, small_artifact(spec))
    store = ModelStore(tmp_path)
    specs = SpecsOfModels(store, 1)
    assert list(specs()) == [SPEC]
    store.set_alias("fraud", "challenger", 2)
    assert list(specs()) == [SPEC, OTHER]
