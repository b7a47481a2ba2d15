"""`./bazelw run //serving:sizing`: what a worker costs here, for the capacity formula."""

from __future__ import annotations

import argparse
import sys
import tempfile

from worker_sizing import BATCH, Sizing, measured

from data_connector.command import run
from fraud_detect.errors import ServingError


def lines_of(found: Sizing) -> str:
    """The sizing for people."""
    return (
        f"a worker that knows {found.n_payments:,} payments of {found.n_keys:,} customers and"
        f" terminals, {found.n_features} features\n"
        f"memory:    {found.bytes_a_payment:,.0f} bytes a payment,"
        f" {found.bytes_a_key:,.0f} bytes a customer or terminal seen once or twice\n"
        f"snapshot:  {found.snapshot_bytes_a_payment:,.0f} bytes a payment\n"
        f"count:     {found.count_us:.1f} us a payment that another worker took\n"
        f"append:    {found.append_ms:.2f} ms a batch of {BATCH} to the journal\n"
    )


def main() -> None:
    """Measures as the command line says."""
    parser = argparse.ArgumentParser(
        prog="./bazelw run //serving:sizing --",
        description="Measures what a worker costs: memory, and time to keep in step with others.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--feature-store", metavar="URL", help="an empty database (default: SQLite, thrown away)"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fraud-") as folder:
        url = given.feature_store or f"sqlite:///{folder}/features.db"
        found = measured(url, n_customers=10_000, n_days=37)
    sys.stdout.write(lines_of(found))


if __name__ == "__main__":
    sys.exit(run(main, shown=(ServingError,)))
