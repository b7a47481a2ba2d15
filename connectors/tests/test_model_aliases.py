from pathlib import Path

import pytest

from data_connector import ModelNotFoundError, ModelStore
from data_connector.model_aliases import CHAMPION, choose


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """With versions 1 to 3 of a model."""
    store = ModelStore(tmp_path / "models")
    for content in "abc":
        store.publish("fraud", lambda folder, it=content: (folder / "weights").write_text(it))
    return store


def test_without_a_wish_it_is_the_champion_or_the_newest(store: ModelStore) -> None:
    assert choose(store, "fraud", None).version == 3
    store.set_alias("fraud", CHAMPION, 2)
    assert choose(store, "fraud", None).version == 2


@pytest.mark.parametrize("wanted", ["1", "trial"])
def test_a_version_and_an_alias_come_before_the_champion(store: ModelStore, wanted: str) -> None:
    store.set_alias("fraud", CHAMPION, 2)
    store.set_alias("fraud", "trial", 1)
    assert choose(store, "fraud", wanted).version == 1


@pytest.mark.parametrize("wanted", ["4", "trial", CHAMPION])
def test_what_is_not_there_is_not_replaced_by_another(store: ModelStore, wanted: str) -> None:
    with pytest.raises(ModelNotFoundError):
        choose(store, "fraud", wanted)


def test_of_an_empty_store_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        choose(ModelStore(tmp_path / "models"), "fraud", None)
