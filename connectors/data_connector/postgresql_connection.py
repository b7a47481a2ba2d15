"""One connection to PostgreSQL 14 or later, through psycopg 3, for statements prepared once."""

from __future__ import annotations

from typing import Any

import psycopg

from data_connector.errors import ConnectorError, SourceUnreachableError
from data_connector.locations import DatabaseLocation
from data_connector.one_connection import FORMAT, another_kind
from data_connector.postgresql import open_postgresql

# Seconds to wait for a server that does not answer, and for a lock that somebody holds.
_CONNECT_TIMEOUT = 10
_LOCK_TIMEOUT = 5

# The server ends the session, or does not begin one (it is starting, or has too many).
_ENDED = frozenset({"57P01", "57P02", "57P03", "57P05"})
_LOCKED = frozenset({"40001", "40P01", "55P03"})


class PostgresqlConnection:
    """A driver, as `OneConnection` asks for.

    Args:
        location: the database's.
        name: of what is kept in it; the names of its tables start so.
        kind: what that is, for messages.
        word: stands for the name in statements.
    """

    def __init__(self, location: DatabaseLocation, name: str, *, kind: str, word: str) -> None:
        self._dialect = open_postgresql(location).dialect
        self._name = name
        self._kind = kind
        self._word = word
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """All of psycopg's."""
        return (psycopg.Error,)

    def lost(self, error: Exception) -> bool:
        """By what the server said, or the driver saw."""
        if self._connection is None or self._connection.closed:
            return True
        return isinstance(error, psycopg.Error) and error.sqlstate in _ENDED

    def translate(self, error: Exception) -> ConnectorError:
        """As for tables."""
        if isinstance(error, psycopg.Error) and error.sqlstate in _LOCKED:
            return SourceUnreachableError(
                f"{self._dialect.location} is in use ({error.diag.message_primary}): let the "
                "other transaction end, then repeat"
            )
        return self._dialect.translate(error)

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def connect(self) -> None:
        """Connect."""
        url = self._dialect.location.url
        _, options = url.get_dialect()().create_connect_args(url)
        options.setdefault("connect_timeout", _CONNECT_TIMEOUT)
        self._connection = psycopg.connect(**options, autocommit=True)
        self._execute(
            "SELECT set_config('lock_timeout', %b, false)"
            " WHERE current_setting('lock_timeout') = '0'",  # else the URL's or the role's
            f"{_LOCK_TIMEOUT}s",
        )

    def disconnect(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _open(self) -> psycopg.Connection[Any]:
        assert self._connection is not None  # noqa: S101 - `OneConnection` connects first
        return self._connection

    def _named(self, statement: str) -> str:
        # A name has letters, digits and `_` only.
        return statement.replace(self._word, self._name)

    def _execute(self, statement: str, *values: object) -> psycopg.Cursor[Any]:
        return self._open.execute(self._named(statement), values, prepare=True, binary=True)

    def _rows(self, statement: str, *values: object) -> list[Any]:
        return self._execute(statement, *values).fetchall()

    def _row(self, statement: str, *values: object) -> Any:
        return self._execute(statement, *values).fetchone()

    def _create(self, tables: tuple[str, str], *statements: str) -> None:
        """Run the statements, unless one of the tables is there; each `%b` is the format."""
        # Asked first: a role that may not create tables may use those that are there.
        names = [self._named(table) for table in tables]
        if any(
            self._row("SELECT to_regclass(%b) IS NOT NULL, to_regclass(%b) IS NOT NULL", *names)
        ):
            return
        with self._open.transaction():
            # CREATE TABLE IF NOT EXISTS fails where two do it at once. The number is any.
            self._execute("SELECT pg_advisory_xact_lock(5236897126478231)")
            for statement in statements:
                self._execute(statement, *[FORMAT] * statement.count("%b"))

    def _check(self, columns: str, formats: str) -> None:
        """Refuse tables without what the first statement reads, or of another format."""
        place = self._dialect.location
        try:
            self._execute(columns)
            found = self._rows(formats)
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            reason = f"{error.diag.message_primary}"
            raise another_kind(self._kind, place, self._name, reason) from None
        if found != [(FORMAT,)]:
            raise another_kind(self._kind, place, self._name, f"it says {found}")
