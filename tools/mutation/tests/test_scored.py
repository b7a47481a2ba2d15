"""What counts as killed, and which mutants a sample takes."""

import pytest

from tools.mutation.scored import Score, sample


def test_a_mutant_is_killed_if_a_test_failed_hung_or_died() -> None:
    score = Score(
        {"a": "killed", "b": "timeout", "c": "segfault", "d": "survived", "e": "no tests"}
    )
    assert score.percent == 60
    assert score.survivors == ["d", "e"]
    assert score.summary() == (
        "60.0 % of 5 mutants were killed: 1 killed, 1 no tests, 1 segfault, 1 survived, 1 timeout"
    )


def test_no_mutant_is_no_success() -> None:
    assert Score({}).percent == 0


@pytest.mark.parametrize("status", ["not checked", "suspicious", "skipped", "caught by type check"])
def test_a_mutant_that_was_not_decided_is_an_error(status: str) -> None:
    with pytest.raises(ValueError, match=rf"'a': '{status}'"):
        Score({"a": status})


MUTANTS = [f"m{number}" for number in range(50)]


def test_a_sample_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    first = sample(MUTANTS, 10, 0)
    assert first == sample(MUTANTS[::-1], 10, 0)
    assert first != sample(MUTANTS, 10, 1)
    assert len(set(first)) == 10
    assert set(first) <= set(MUTANTS)


@pytest.mark.parametrize("size", [None, 50, 99])
def test_all_are_taken_where_the_sample_is_no_smaller(size: int | None) -> None:
    assert sample(MUTANTS, size, 0) == MUTANTS
