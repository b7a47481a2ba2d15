"""Rows into MySQL and MariaDB, where CREATE, DROP and RENAME end a transaction by themselves.

A new table is therefore filled aside, under a name that `sql.table_names` hides, and renamed at the
end, which is one step for everybody else. What a killed load left aside is removed by a later one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from data_connector.arrow_types import MICROSECONDS, UTC_MICROSECONDS
from data_connector.errors import SchemaMismatchError, TargetExistsError, WriteError
from data_connector.sql import ASIDE
from data_connector.statements import execute, listed_names, quoted
from data_connector.upsert import Upsert

# Bytes of a statement: more gain nothing.
_STATEMENT_BYTES = 1 << 20

# The table of which it is asked is bound, not written into these.
_ENGINE = (
    "SELECT tables.engine, engines.transactions FROM information_schema.tables AS tables "
    "LEFT JOIN information_schema.engines AS engines ON engines.engine = tables.engine "
    "WHERE tables.table_schema = DATABASE() AND tables.table_name = %s"
)
_REFERRING = (
    "SELECT DISTINCT table_name FROM information_schema.key_column_usage "
    "WHERE referenced_table_schema = DATABASE() AND referenced_table_name = %s "
    "AND table_name <> %s"
)
_UNIQUE = (
    "SELECT index_name, column_name, sub_part FROM information_schema.statistics "
    "WHERE table_schema = DATABASE() AND table_name = %s AND non_unique = 0 "
    "ORDER BY index_name, seq_in_index"
)
# A live load holds the lock of its table's name; on another server of a cluster, a day must do.
_LEFT_OVER = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() "  # noqa: S608
    f"AND table_name REGEXP '^{ASIDE}[0-9a-f]{{32}}$' AND IS_FREE_LOCK(table_name) = 1 "
    "AND create_time < NOW() - INTERVAL 1 DAY"
)


@contextmanager
def created(
    connection: sa.Connection, table: str, definition: str, *, exists: bool
) -> Iterator[str]:
    """The name of a new table, to be filled by the block; it is `table` once that ends well.

    Raises:
        TargetExistsError: somebody else has made the table meanwhile.
        WriteError: what `exists` cannot be replaced.
    """
    if exists:
        _check_replaceable(connection, table)
    for (left_over,) in execute(connection, _LEFT_OVER).all():
        execute(connection, f"DROP TABLE IF EXISTS {left_over}")
    name, old = _name_aside(connection), _name_aside(connection)
    # Of code points, blanks at the end and all: the order and the equality of Arrow's texts.
    is_mariadb = getattr(connection.dialect, "is_mariadb", False)
    collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
    execute(
        connection,
        f"CREATE TABLE {name} {definition} ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE {collation}",
    )
    # Nobody sees the table, so that a transaction as large as the data would be of no use.
    driver: Any = connection.connection.driver_connection
    driver.autocommit(True)  # noqa: FBT003 - the driver's own
    try:
        yield name
        try:
            moves = f"{quoted(table)} TO {old}, " if exists else ""
            execute(connection, f"RENAME TABLE {moves}{name} TO {quoted(table)}")
        except sa.exc.DBAPIError as error:
            if error.orig is not None and error.orig.args[0] == 1050:  # it exists
                raise TargetExistsError(
                    f"table {table!r} was made by another load meanwhile: give "
                    "if_exists='append' or 'replace'"
                ) from None
            raise
    except BaseException:
        with suppress(sa.exc.SQLAlchemyError):  # a later load removes it
            execute(connection, f"DROP TABLE IF EXISTS {name}")
        raise
    if exists:
        with suppress(sa.exc.SQLAlchemyError):  # as above: the data is in its place
            execute(connection, f"DROP TABLE {old}")


def check_engine(connection: sa.Connection, table: str) -> None:
    """Check that rows can be added to a table all or not at all.

    Raises:
        WriteError: it is a view, or of an engine without transactions.
    """
    engine, transactions = _asked(connection, _ENGINE, table)[0]
    if engine is None:
        raise WriteError(f"{table!r} is a view: load into the table behind it")
    if transactions != "YES":
        raise WriteError(
            f"table {table!r} is of the engine {engine}, which cannot undo half a load: run "
            f"ALTER TABLE {_in_backticks([table])} ENGINE=InnoDB"
        )


def check_key(connection: sa.Connection, upsert: Upsert) -> None:
    """Check that the table's only unique index is on exactly the upsert's key.

    Raises:
        WriteError: there is none, or another one, by which the server might update a row that
            has another key.
    """
    indexes: dict[str, set[tuple[str | None, bool]]] = {}
    for index, column, part in _asked(connection, _UNIQUE, upsert.table):
        indexes.setdefault(index, set()).add((column, part is None))
    wanted = {(name, True) for name in upsert.key}
    if wanted not in indexes.values():
        raise upsert.lacks_key(_in_backticks)
    for index, columns in indexes.items():
        if columns != wanted:
            raise WriteError(
                f"table {upsert.table!r} has another unique index, {index!r}, by which MySQL might "
                "update a row of another key: drop it, or upsert by its columns"
            )


def merge(connection: sa.Connection, upsert: Upsert) -> None:
    """Insert what is staged, or update what is there, and drop the staging table.

    The server by itself writes no row that is there with the same bytes.
    """
    names, table = listed_names(upsert.columns), quoted(upsert.table)
    changes = ", ".join(
        f"{quoted(name)} = VALUES({quoted(name)})"
        for name in upsert.columns
        if name not in upsert.key
    )
    nothing = f"{quoted(upsert.key[0])} = {table}.{quoted(upsert.key[0])}"
    execute(
        connection,
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {upsert.staging} "  # noqa: S608
        f"ON DUPLICATE KEY UPDATE {changes or nothing}",
    )
    # TEMPORARY: else it would end the transaction.
    execute(connection, f"DROP TEMPORARY TABLE {upsert.staging}")


def inserts(into: bytes, batch: pa.RecordBatch, most: int) -> Iterator[bytes]:
    """Statements that insert the rows of a batch.

    Args:
        into: INSERT with the table, the columns, and VALUES.
        batch: of stored types.
        most: how many bytes the server takes.
    """
    columns = [_literals(a, f.name) for a, f in zip(batch.columns, batch.schema, strict=True)]
    rows = pc.binary_join_element_wise(
        *columns, b",", null_handling="replace", null_replacement=b"NULL"
    )
    held: list[bytes] = []
    size = 0
    for row in rows.to_pylist():
        if len(into) + len(row) + 2 >= most:
            raise WriteError(
                f"a row of {len(row):,} bytes, more than the server's max_allowed_packet "
                f"({most:,}): raise that, nothing was written"
            )
        if held and size + len(row) > min(_STATEMENT_BYTES, most - len(into)):
            yield into + b"(" + b"),(".join(held) + b")"
            held, size = [], 0
        held.append(row)
        size += len(row) + 3
    if held:
        yield into + b"(" + b"),(".join(held) + b")"


def _literals(array: pa.Array, name: str) -> pa.Array:
    """Each value as SQL writes it, for a session without backslash escapes; NULL stays NULL."""
    kind = array.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return array.cast(pa.string()).cast(pa.binary())
    if pa.types.is_floating(kind) and not pc.all(pc.is_finite(array), min_count=0).as_py():
        raise SchemaMismatchError("MySQL stores no NaN and no infinity: replace it", column=name)
    if kind == UTC_MICROSECONDS:
        array = array.cast(MICROSECONDS)  # the session's zone is UTC
    prefix = b"'"
    if pa.types.is_binary(kind):
        prefix = b"_binary'"
    else:
        array = array.cast(pa.string()).cast(pa.binary())
    escaped = pc.replace_substring(array, "'", "''")
    return pc.binary_join_element_wise(prefix, escaped, b"'", b"")


def _name_aside(connection: sa.Connection) -> str:
    """A new table's name, whose lock this connection holds from now on."""
    name = f"{ASIDE}{uuid4().hex}"
    execute(connection, f"SELECT GET_LOCK('{name}', 0)").close()
    return name


def _check_replaceable(connection: sa.Connection, table: str) -> None:
    engine, _ = _asked(connection, _ENGINE, table)[0]
    if engine is None:
        raise WriteError(f"{table!r} is a view: drop it first, or give another name")
    for (other,) in _asked(connection, _REFERRING, table, table):
        raise WriteError(
            f"table {table!r} cannot be replaced: a foreign key of {other!r} refers to it"
        )


def _asked(connection: sa.Connection, statement: str, *parameters: str) -> Sequence[Any]:
    return connection.exec_driver_sql(statement, parameters).all()


def _in_backticks(names: Sequence[str]) -> str:
    return ", ".join("`" + name.replace("`", "``") + "`" for name in names)
