"""Versions and aliases as values: what holds after any changes, and what cannot be read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_connector.errors import CorruptSourceError
from data_connector.model_catalogue import Catalogue, Manifest, ModelFile, new_manifest, placed_at

FILES = {"parts/weights": ModelFile(size=3, sha256="abc"), "old": ModelFile(size=0, sha256=None)}

publish = st.just(("publish", 0, ""))
point = st.tuples(st.just("point"), st.integers(0, 9), st.sampled_from(["champion", "challenger"]))
collect = st.tuples(st.just("collect"), st.integers(1, 4), st.just(""))


@given(st.lists(publish | point | collect))
def test_after_any_changes_numbers_are_new_and_aliases_point_to_versions(
    changes: list[tuple[str, int, str]],
) -> None:
    catalogue = Catalogue()
    given_numbers: list[int] = []
    for change, number, alias in changes:
        before = catalogue
        if change == "publish":
            catalogue = catalogue.published(new_manifest(FILES, {"n": len(given_numbers)}))
            given_numbers.append(catalogue.last)
            assert catalogue.versions[catalogue.last].metrics == {"n": len(given_numbers) - 1}
        elif change == "point":
            if number in catalogue.versions or number == 0:
                catalogue = catalogue.pointed(alias, number or None)
                assert catalogue.aliases.get(alias) == (number or None)
        else:
            catalogue = catalogue.collected(number)
            assert sorted(catalogue.versions)[-number:] == sorted(before.versions)[-number:]
            assert len(catalogue.versions) <= number + len(catalogue.aliases)
            assert catalogue.aliases == before.aliases
        assert set(catalogue.aliases.values()) <= catalogue.versions.keys()
        assert Catalogue.from_json(catalogue.to_json(), source="") == catalogue
    assert given_numbers == list(range(1, len(given_numbers) + 1))


def test_a_place_tells_when_it_was_named_and_is_never_named_again() -> None:
    one, two = (new_manifest(FILES, {}) for _ in range(2))
    assert one.place != two.place
    assert placed_at(one.place) == one.published_at.replace(microsecond=0)
    assert placed_at("a folder of somebody else") is None


def written(**changes: Any) -> str:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    manifest = Manifest(published_at=moment, metrics={}, files=FILES, place="p")
    parts = json.loads(Catalogue().published(manifest).pointed("champion", 1).to_json())
    return json.dumps({**parts, **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        written()[:-20],
        written(versions=[]),
        written(aliases={"champion": "x"}),
        written(versions={"1": {}}),
        b"\xff",
    ],
)
def test_what_is_no_catalogue_is_an_error_that_says_where(text: str | bytes) -> None:
    with pytest.raises(CorruptSourceError, match=r"the/file cannot be read .*: restore it"):
        Catalogue.from_json(text, source="the/file")


def test_a_catalogue_of_a_newer_release_is_told_from_a_damaged_one() -> None:
    with pytest.raises(CorruptSourceError, match="format 2, this release reads format 1: install"):
        Catalogue.from_json(written(format=2), source="the/file")


@pytest.mark.parametrize("path", ["../champion", "/etc/passwd", "a/../../b", "", "."])
def test_a_file_that_would_lead_out_of_the_model_is_refused(path: str) -> None:
    versions = json.loads(written())["versions"]
    versions["1"]["files"] = {path: {"size": 1, "sha256": "x"}}
    with pytest.raises(CorruptSourceError, match="leads out of the model"):
        Catalogue.from_json(written(versions=versions), source="the/file")
