"""SQL as text: names and statements, safe whatever stands in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from data_connector.errors import SchemaMismatchError


def execute(connection: sa.Connection, statement: str) -> sa.CursorResult[Any]:
    """The result of a statement that holds no parameters, whatever % and : stand in it."""
    return connection.execution_options(no_parameters=True).exec_driver_sql(statement)


def quoted(name: str) -> str:
    """An identifier as the SQL standard quotes it."""
    return '"' + name.replace('"', '""') + '"'


def listed_names(names: Iterable[str]) -> str:
    """Identifiers between commas."""
    return ", ".join(map(quoted, names))


def check_characters(names: Iterable[str]) -> None:
    """Refuse names that no database takes.

    Raises:
        SchemaMismatchError: one holds a NUL, or half of a surrogate pair, which has no UTF-8.
    """
    for name in names:
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in name):
            raise SchemaMismatchError("no name holds a NUL or a surrogate: rename it", column=name)
