"""The handbook's features of one transaction at a time in SQL: two indexed queries, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

DAYS = (1, 7, 30)
DELAY = 7
_DAY = 24 * 3600 * 1_000_000

Payment = tuple[int, int, int, int, float]
"""transaction_id, timestamp (microseconds), customer_id, terminal_id, amount."""

_SCHEMA = """
CREATE TABLE payments (
  transaction_id INTEGER PRIMARY KEY, timestamp INTEGER, customer_id INTEGER,
  terminal_id INTEGER, amount REAL, is_fraud INTEGER, labelled_at INTEGER
);
CREATE INDEX by_customer ON payments (customer_id, timestamp, amount);
CREATE INDEX by_terminal ON payments (terminal_id, timestamp, is_fraud, labelled_at);
"""
_INSERT = "INSERT INTO payments VALUES (?, ?, ?, ?, ?, NULL, NULL)"
_CUSTOMER = "SELECT {} FROM payments WHERE customer_id = :key AND timestamp > :now - {}"
_TERMINAL = (
    "SELECT {} FROM payments WHERE terminal_id = :key AND timestamp > :now - {}"
    " AND timestamp <= :now - {}"
)


def _customer_query() -> str:
    columns = []
    for days in DAYS:
        inside = f"FILTER (WHERE timestamp > :now - {days * _DAY})"
        columns += [f"count(*) {inside}", f"avg(amount) {inside}"]
    return _CUSTOMER.format(", ".join(columns), max(DAYS) * _DAY)


def _terminal_query() -> str:
    columns = []
    for days in DAYS:
        inside = f"FILTER (WHERE timestamp > :now - {(DELAY + days) * _DAY})"
        known = "ifnull(is_fraud AND labelled_at <= :now, 0)"
        columns += [f"count(*) {inside}", f"coalesce(avg({known}) {inside}, 0)"]
    return _TERMINAL.format(", ".join(columns), (DELAY + max(DAYS)) * _DAY, DELAY * _DAY)


class Features:
    """A table of all payments so far, and the features of the next ones."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._queries = _customer_query(), _terminal_query()

    def load(self, payments: Iterable[Payment]) -> None:
        """Take in ``payments`` without computing anything."""
        self._database.execute("BEGIN")
        self._database.executemany(_INSERT, payments)
        self._database.execute("COMMIT")

    def label(self, labels: Iterable[tuple[bool, int, int]]) -> None:
        """Take in labels: is_fraud, labelled_at, transaction_id."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "UPDATE payments SET is_fraud = ?, labelled_at = ? WHERE transaction_id = ?", labels
        )
        self._database.execute("COMMIT")

    def update(self, payments: Iterable[Payment]) -> list[tuple[float, ...]]:
        """The 12 window features of each payment, which is in the table from now on."""
        execute = self._database.execute
        of_customer, of_terminal = self._queries
        rows = []
        execute("BEGIN")
        for payment in payments:
            execute(_INSERT, payment)
            _, now, customer, terminal, _ = payment
            rows.append(
                execute(of_customer, {"key": customer, "now": now}).fetchone()
                + execute(of_terminal, {"key": terminal, "now": now}).fetchone()
            )
        execute("COMMIT")
        return rows
