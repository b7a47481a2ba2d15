"""The README's table says what the code declares, and names tests that there are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from capability_table import PLACES, PROJECT, PROOFS, all_tests, functions_of, in_readme, table

from data_connector.backends import _BACKENDS, Capabilities
from data_connector.locations import parse


def test_the_readme_has_the_table_that_the_code_declares() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert in_readme(readme) == table(), "run: python tests/capability_table.py"


def test_every_backend_and_capability_is_in_the_table() -> None:
    assert {_BACKENDS[parse(url).scheme] for url in PLACES.values()} == set(_BACKENDS.values())
    assert [field.name for field in dataclasses.fields(Capabilities)] == list(PROOFS)


def test_every_proof_is_a_test() -> None:
    for test in all_tests():
        file, _, name = test.partition("::")
        assert name in functions_of(Path(__file__).parent / file)
