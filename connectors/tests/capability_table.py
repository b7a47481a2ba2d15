"""The README's table of what each kind of place can do, from what the code declares.

To put it there anew: `python tests/capability_table.py`, in the project's folder.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

from data_connector.backends import Capabilities, open_backend
from data_connector.locations import parse

PROJECT = Path(__file__).parent.parent
BEGIN = "<!-- tests/capability_table.py writes what follows -->\n"
END = "<!-- to here -->\n"

PLACES = {
    "SQLite": "sqlite:///a.db",
    "PostgreSQL": "postgresql://host/a",
    "MySQL, MariaDB": "mysql://host/a",
    "DuckDB": "duckdb:///a.duckdb",
    "Parquet": "a.parquet",
    "CSV": "a.csv",
    "Parquet in object storage": "memory://bucket/a.parquet",
    "CSV in object storage": "memory://bucket/a.csv",
}

# What it means, and the tests that prove it: where it is declared, and that the others refuse it.
PROOFS = {
    "many_tables": (
        "many tables by name",
        "test_transfer.py::test_of_several_tables_one_must_be_named",
        "test_transfer.py::test_the_only_table_need_not_be_named",
    ),
    "queries": ("SQL", "test_transfer.py::test_queries_are_answered_by_databases_only"),
    "keeps_types": (
        "knows its columns' types",
        "test_transfer.py::test_every_type_comes_back_exactly",
        "test_transfer.py::test_an_empty_table_keeps_its_schema",
    ),
    "keeps_bytes": (
        "columns of bytes",
        "test_transfer.py::test_every_type_comes_back_exactly",
        "test_transfer.py::test_an_unsupported_type_names_the_column",
    ),
    "upserts": (
        "upsert by key",
        "test_upsert.py::test_the_same_upsert_again_changes_nothing",
        "test_upsert.py::test_files_refuse_it",
    ),
}

# What all of them can do.
EVERYWHERE = {
    "streams, in batches of any size": (
        "test_transfer.py::test_batches_are_as_long_as_asked_and_lose_no_row",
    ),
    "load all or nothing": (
        "test_transfer.py::test_a_load_that_breaks_off_changes_nothing",
        "test_transfer.py::test_a_first_load_that_breaks_off_makes_nothing",
    ),
    "append, replace": (
        "test_transfer.py::test_what_exists_is_kept_unless_told_otherwise",
        "test_transfer.py::test_appending_other_columns_names_the_column",
    ),
    "ranges of times and keys": (
        "test_ranges.py::test_since_is_included_and_until_is_not",
        "test_ranges.py::test_every_type_of_key_has_ranges",
    ),
}


def table() -> str:
    """The table, in Markdown."""
    declared = {name: open_backend(parse(url)).capabilities for name, url in PLACES.items()}
    rows = [["", *PLACES, "proved by"], ["---", *("---" for _ in PLACES), "---"]]
    for what, tests in EVERYWHERE.items():
        rows.append([what, *("yes" for _ in PLACES), _listed(tests)])
    for field in dataclasses.fields(Capabilities):
        what, *tests = PROOFS[field.name]
        can = ("yes" if getattr(it, field.name) else "no" for it in declared.values())
        rows.append([what, *can, _listed(tests)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def in_readme(readme: str) -> str:
    """The table that stands in the README."""
    found = re.search(f"{BEGIN}(.*?){END}", readme, re.DOTALL)
    return found[1] if found else ""


def all_tests() -> list[str]:
    """The tests that the table names."""
    proofs = [tests for _, *tests in PROOFS.values()] + [list(t) for t in EVERYWHERE.values()]
    return [test for tests in proofs for test in tests]


def functions_of(file: Path) -> set[str]:
    """The names of the test functions in a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def _listed(tests: list[str] | tuple[str, ...]) -> str:
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    names = [test.partition("::")[2].removeprefix("test_").replace("_", " ") for test in tests]
    return f"{'; '.join(names)} ({', '.join(f'`{file}`' for file in files)})"


if __name__ == "__main__":
    path = PROJECT / "README.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(in_readme(text), table()), encoding="utf-8")
