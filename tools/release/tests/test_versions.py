"""What comes after a version, and what works with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from tools.release.errors import ReleaseError
from tools.release.versions import (
    FIRST,
    UNRELEASED,
    Change,
    compatible,
    next_version,
    parse_version,
)

NUMBERS = st.integers(min_value=0, max_value=50)
VERSIONS = st.builds(
    lambda *numbers: Version(".".join(map(str, numbers))), NUMBERS, NUMBERS, NUMBERS
)
RELEASED = VERSIONS.filter(lambda version: version != UNRELEASED)
CHANGES = st.sampled_from(Change)
REAL_CHANGES = CHANGES.filter(lambda change: change is not Change.NONE)


@pytest.mark.parametrize(
    ("version", "change", "after"),
    [
        ("1.2.3", Change.FIX, "1.2.4"),
        ("1.2.3", Change.ADDITION, "1.3.0"),
        ("1.2.3", Change.BREAK, "2.0.0"),
        ("0.2.3", Change.FIX, "0.2.4"),
        ("0.2.3", Change.ADDITION, "0.2.4"),
        ("0.2.3", Change.BREAK, "0.3.0"),
        ("0.2.3", Change.NONE, "0.2.3"),
        ("0.0.0", Change.BREAK, "0.1.0"),
        ("0.0.0", Change.FIX, "0.1.0"),
    ],
)
def test_the_next_version(version, change, after):
    assert str(next_version(Version(version), change)) == after


@given(RELEASED, REAL_CHANGES)
def test_the_next_version_is_later_and_works_with_the_one_before_unless_it_breaks(version, change):
    after = next_version(version, change)
    assert after > version
    assert (after in compatible(version)) == (change is not Change.BREAK)


@given(RELEASED, REAL_CHANGES, REAL_CHANGES)
def test_a_greater_change_never_gets_an_earlier_version(version, one, other):
    smaller, greater = sorted((one, other))
    assert next_version(version, smaller) <= next_version(version, greater)


@given(RELEASED, VERSIONS)
def test_what_works_together_is_at_least_as_late_and_before_the_next_break(version, other):
    before_the_break = other < next_version(version, Change.BREAK)
    assert (other in compatible(version)) == (version <= other and before_the_break)


@given(CHANGES.filter(lambda change: change is not Change.NONE))
def test_the_first_release_has_the_same_version_whatever_it_has(change):
    assert next_version(UNRELEASED, change) == FIRST


@given(VERSIONS)
def test_a_version_is_read_as_it_is_written(version):
    assert parse_version(str(version), where="a file") == version


@pytest.mark.parametrize(
    "text", ["1.2", "1.2.3.4", "1.2.3rc1", "1.2.3+cpu", "01.2.3", "v1.2.3", ""]
)
def test_anything_but_three_numbers_is_refused(text):
    with pytest.raises(ReleaseError, match=r"^a file: .* is no version of three numbers"):
        parse_version(text, where="a file")
