"""Rows that update others by their key: staged in a temporary table, merged by one statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from uuid import uuid4

import pyarrow as pa
import sqlalchemy as sa

from data_connector.errors import ColumnNotFoundError, SchemaMismatchError, WriteError, listed
from data_connector.statements import execute, listed_names, quoted

# A condition that holds unless the columns here hold exactly what the columns there do.
Differ: TypeAlias = Callable[[Sequence[str], Sequence[str]], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upsert:
    """One upsert of a table that is there, inside of a transaction."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    staging: str
    """The temporary table's name."""

    @classmethod
    def of(cls, table: str, columns: Sequence[str], key: Sequence[str]) -> Upsert:
        """An upsert with a staging table of its own."""
        staging = f"staged_{uuid4().hex}"
        return cls(table=table, columns=tuple(columns), key=tuple(key), staging=staging)

    def on_conflict(self, differ: Differ) -> str:
        """Inserts what is staged, or updates what is there, in the words of most databases.

        Args:
            differ: as the database says that columns hold other values.
        """
        names = listed_names(self.columns)
        # By another name, since a table may be called `excluded`; with a WHERE, without which
        # SQLite would take the ON for a join's.
        return (
            f"INSERT INTO {quoted(self.table)} AS target ({names}) "  # noqa: S608
            f"SELECT {names} FROM {self.staging} WHERE 1 = 1 "
            f"ON CONFLICT ({listed_names(self.key)}) DO {self._update(differ)}"
        )

    def _update(self, differ: Differ) -> str:
        """What to do with a row that is there: nothing unless a value changes.

        Else PostgreSQL would write it anew and leave the old one to be vacuumed, and SQLite write
        its indexes anew.
        """
        changed = [quoted(name) for name in self.columns if name not in self.key]
        if not changed:
            return "NOTHING"
        changes = ", ".join(f"{name} = excluded.{name}" for name in changed)
        there, given = ([f"{row}.{name}" for name in changed] for row in ("target", "excluded"))
        return f"UPDATE SET {changes} WHERE {differ(there, given)}"

    def lacks_key(self, named: Callable[[Sequence[str]], str] = listed_names) -> WriteError:
        """The error that tells the statement by which the table gets the index it lacks.

        Args:
            named: names as the database's users write them.
        """
        index = named([f"key_of_{self.table}"])
        return WriteError(
            f"table {self.table!r} has no unique index on the key {listed(self.key)}, by which to "
            f"find the rows to update: run CREATE UNIQUE INDEX {index} ON {named([self.table])} "
            f"({named(self.key)})"
        )

    def check_distinct(self, connection: sa.Connection, row_order: str) -> None:
        """Check that no key is staged twice.

        Args:
            connection: the one that has staged them.
            row_order: the hidden column by which the database orders rows as they came.

        Raises:
            WriteError: two rows have the same key.
        """
        key, number = listed_names(self.key), f"number_{self.staging}"
        having = f"GROUP BY {key} HAVING count(*) > 1"
        if execute(connection, f"SELECT 1 FROM {self.staging} {having} LIMIT 1").first() is None:  # noqa: S608
            return
        # Numbered only now, since to number rows takes a sort.
        row = execute(
            connection,
            f"SELECT {key}, min({number}), max({number}) FROM (SELECT {key}, "  # noqa: S608
            f"row_number() OVER (ORDER BY {row_order}) AS {number} FROM {self.staging}) AS numbered"
            f" {having} ORDER BY min({number}) LIMIT 1",
        ).one()
        *values, first, last = tuple(row)
        named = ", ".join(f"{n} = {v!r}" for n, v in zip(self.key, values, strict=True))
        raise WriteError(
            f"the key {named} is in rows {first} and {last} of the data, nothing was written: "
            "leave one of them, or name in key= all columns that tell rows apart"
        )


def check_key(key: Sequence[str], columns: Sequence[str]) -> None:
    """Check that the data has the key.

    Raises:
        ColumnNotFoundError: it lacks one of its columns.
    """
    for name in key:
        if name not in columns:
            raise ColumnNotFoundError(
                f"no column {name!r} in the data: name those that tell rows apart with key=",
                available=columns,
            )


def check_no_null(key: Sequence[str], batch: pa.RecordBatch, row: int) -> None:
    """Check that all rows have a key; `row` come before the batch.

    Raises:
        SchemaMismatchError: there is a NULL in it, which equals nothing, not even itself.
    """
    for name in key:
        column = batch.column(name)
        if column.null_count:
            raise SchemaMismatchError(
                "NULL in the key: give every row one",
                column=name,
                row=row + column.is_null().index(pa.scalar(True)).as_py() + 1,  # noqa: FBT003
            )
