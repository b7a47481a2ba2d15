"""Which alias a new model gets, and what the user is told."""

from pathlib import Path

import pytest

from batch_proc.champion import Comparison, Incomparable
from batch_proc.promotion import Outcome, register
from data_connector import ModelStore, StoredModel
from fraud_ml.bootstrap import Interval


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def publish(store: ModelStore) -> StoredModel:
    return store.publish("fraud", lambda folder: (folder / "model").write_text("m"))


def comparison(low: float, high: float, *, unread: tuple[str, ...] = ()) -> Comparison:
    """With champion 1, by (low + high) / 2."""
    difference = Interval(estimate=(low + high) / 2, low=low, high=high)
    ap = 0.712 + difference.estimate
    return Comparison(
        champion=1, n_rows=34_000, champion_ap=0.712, ap=ap, difference=difference, unread=unread
    )


def test_the_first_model_is_the_champion(store: ModelStore) -> None:
    said = register(store, publish(store), None, promote=True)
    assert store.aliases("fraud") == {"champion": 1}
    assert said == "promoted version 1 to champion: there was none"


@pytest.fixture
def second(store: ModelStore) -> StoredModel:
    """A second version, where the first is the champion."""
    register(store, publish(store), None, promote=True)
    return publish(store)


def test_what_is_better_beyond_chance_becomes_the_champion(
    store: ModelStore, second: StoredModel
) -> None:
    said = register(store, second, comparison(0.011, 0.033), promote=True)
    assert store.aliases("fraud") == {"champion": 2, "previous": 1}
    assert said == (
        "promoted version 2 to champion: AP 0.734 against 0.712 of version 1 on the same 34,000"
        " test transactions; the difference's 95 % interval, +0.011 to +0.033, lies above 0"
    )


@pytest.mark.parametrize("interval", [(-0.029, 0.015), (-0.001, 0.03), (0.0, 0.0), (-0.03, -0.01)])
def test_what_may_be_chance_is_a_challenger(
    store: ModelStore, second: StoredModel, interval: tuple[float, float]
) -> None:
    said = register(store, second, comparison(*interval), promote=True)
    assert store.aliases("fraud") == {"champion": 1, "challenger": 2}
    assert said.startswith("kept champion 1: AP 0.712 against 0.")
    assert said.endswith(", does not lie above 0; version 2 is the challenger")


def test_never_is_never(store: ModelStore) -> None:
    said = register(store, publish(store), None, promote=False)
    assert store.aliases("fraud") == {"challenger": 1}
    assert said == "no champion: --promote never; version 1 is the challenger"
    store.set_alias("fraud", "champion", 1)
    said = register(store, publish(store), comparison(0.1, 0.2), promote=False)
    assert store.aliases("fraud") == {"champion": 1, "challenger": 2}
    assert said.startswith("kept champion 1: --promote never; AP 0.712 against 0.862 of version 2")
    assert said.endswith("version 2 is the challenger in the place of version 1")


def test_without_a_comparison_the_champion_stays(store: ModelStore, second: StoredModel) -> None:
    outcome = Incomparable(champion=1, why="it cannot score the test: damaged")
    said = register(store, second, outcome, promote=True)
    assert store.aliases("fraud") == {"champion": 1, "challenger": 2}
    assert said == (
        "kept champion 1: not compared, because it cannot score the test: damaged; version 2 is the"
        " challenger"
    )


@pytest.mark.parametrize(
    "outcome",
    [comparison(0.1, 0.2, unread=("shop",)), Incomparable(champion=1, why="w", unread=("shop",))],
)
def test_a_model_whose_columns_no_server_has_gets_no_alias(
    store: ModelStore, second: StoredModel, outcome: Outcome
) -> None:
    said = register(store, second, outcome, promote=True)
    assert store.aliases("fraud") == {"champion": 1}
    assert "version 2 is no challenger either: it reads shop, which the champion does not" in said


@pytest.mark.parametrize(("now", "kept"), [(2, "kept champion 2"), (None, "no champion")])
def test_who_was_promoted_meanwhile_is_not_undone(
    store: ModelStore, second: StoredModel, now: int | None, kept: str
) -> None:
    third = publish(store)
    store.set_alias("fraud", "champion", now)
    said = register(store, third, comparison(0.1, 0.2), promote=True)
    assert said.startswith(f"{kept}: another was promoted meanwhile; train again to compare")
    assert store.aliases("fraud").get("champion") == now
    assert store.aliases("fraud")["challenger"] == 3
