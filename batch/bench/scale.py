"""What a cluster takes for more payments than one machine has: the arithmetic of batch/SCALE.md.

`./bazelw run //batch:scale -- --json batch/bench/measured.json` reckons from what `//batch:bench`
measured, and prints; with `--write batch/SCALE.md` it puts the tables into the page.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_proc.infer_options import BUCKET_ROWS, SPLIT_BUCKETS
from batch_proc.key_stages import past_of
from fraud_ml.default_specs import DEFAULT_SPEC

BEGIN, END = "<!-- reckoned: begin -->\n", "<!-- reckoned: end -->\n"
NOT_MEASURED = (
    "Not measured in full yet: `./bazelw run //batch:bench -- --json batch/bench/measured.json`,"
    " then `./bazelw run //batch:scale -- --write batch/SCALE.md`.\n"
)
SCORED_DAYS = (1, 7, 30)
LOOKBACK_DAYS = past_of(DEFAULT_SPEC.features, DEFAULT_SPEC).lookback.days
SPLIT_ROWS = SPLIT_BUCKETS * BUCKET_ROWS  # of the input, for a task


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the bench found, of the default features."""

    rows: float
    """Of its history."""
    a_core: float
    """Rows a second of one core, from the history to its scores."""
    scored_a_core: float
    """Rows a second of one core whose features are ready."""
    read: float
    """Bytes a row in the history's files."""
    exchanged: float
    """Bytes a row that stages left for the next in all."""
    megabytes: float
    """Of all processes on one core."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumed:
    """What nobody measured here: put your own in."""

    transactions: float = 1e9  # a day
    hours: float = 1.0  # that a run may take
    efficiency: float = 0.7  # of a core among hundreds, against one of two: stragglers, waiting
    price: float = 0.05  # of a core for an hour, with its memory and disk; an example, in USD
    cores: int = 8  # of an executor's machine
    network: float = 10.0  # Gbit/s of a machine
    disk: float = 500.0  # MB/s of a machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run over so many days takes."""

    scored_days: int
    rows: float
    """All that it computes features of: the days to score, and those that they look back at."""
    core_hours: float
    machines: int
    cost: float
    cost_a_billion: float
    """For a billion rows scored."""
    read: float
    """Bytes, as the next."""
    exchanged: float
    network_minutes: float
    """Of a machine, beside the computing, as the next."""
    disk_minutes: float
    pieces: float
    """That the first stage reads: input splits times buckets."""


def measured_from(results: Sequence[Mapping[str, object]]) -> Measured:
    """What a JSON file of the bench says.

    Raises:
        ValueError: it lacks a result.
    """
    value = {str(it["name"]): float(str(it["value"])) for it in results}
    try:
        cores = value["cores"]
        return Measured(
            rows=value["rows"],
            a_core=value["features_and_score_default"] / cores,
            scored_a_core=value["score"] / cores,
            read=value["history_bytes"],
            exchanged=value["features_and_score_default_exchanged"],
            megabytes=value["features_and_score_default_memory"] / cores,
        )
    except KeyError as error:
        raise ValueError(f"the results lack {error}: they are of another //batch:bench") from error


def plan(measured: Measured, assumed: Assumed, scored_days: int) -> Plan:
    """What it takes to score so many days in one run.

    What is exchanged is written to the file system that all machines see, and read from there.
    """
    rows = assumed.transactions * (LOOKBACK_DAYS + scored_days)
    core_hours = rows / measured.a_core / 3_600 / assumed.efficiency
    machines = math.ceil(core_hours / assumed.hours / assumed.cores)
    read, exchanged = rows * measured.read, rows * measured.exchanged
    cost = core_hours * assumed.price
    return Plan(
        scored_days=scored_days,
        rows=rows,
        core_hours=core_hours,
        machines=machines,
        cost=cost,
        cost_a_billion=cost / (assumed.transactions * scored_days / 1e9),
        read=read,
        exchanged=exchanged,
        network_minutes=(read + 2 * exchanged) / machines / (assumed.network * 1e9 / 8) / 60,
        disk_minutes=(read + 2 * exchanged) / machines / (assumed.disk * 1e6) / 60,
        pieces=math.ceil(rows / SPLIT_ROWS) * math.ceil(rows / BUCKET_ROWS),
    )


def tables(measured: Measured, assumed: Assumed) -> str:
    """All that is reckoned, as Markdown."""
    plans = [plan(measured, assumed, days) for days in SCORED_DAYS]
    lines = [
        f"| measured, on two cores, {measured.rows:,.0f} transactions | |",
        "|---|---|",
        f"| from the history to scores, rows/s a core | {measured.a_core:,.0f} |",
        f"| ready features to scores, rows/s a core | {measured.scored_a_core:,.0f} |",
        f"| read, bytes a row | {measured.read:,.0f} |",
        f"| exchanged, bytes a row | {measured.exchanged:,.0f} |",
        f"| memory, MB a core | {measured.megabytes:,.0f} |",
        "",
        f"| assumed, {assumed.transactions:,.0f} transactions a day | |",
        "|---|---|",
        f"| wall time of a run, hours | {assumed.hours:g} |",
        f"| a core among hundreds, against one of two | {assumed.efficiency:g} |",
        f"| price of a core for an hour, USD | {assumed.price:g} |",
        f"| a machine | {assumed.cores} cores, {assumed.network:g} Gbit/s, {assumed.disk:g} MB/s |",
        "",
        f"| days scored in one run | {' | '.join(str(it.scored_days) for it in plans)} |",
        f"|---|{'---|' * len(plans)}",
    ]
    return "\n".join([*lines, *_rows(plans)]) + "\n"


def _rows(plans: Sequence[Plan]) -> list[str]:
    rows: dict[str, list[str]] = {
        "rows computed, billions": [f"{it.rows / 1e9:,.0f}" for it in plans],
        "core hours": [f"{it.core_hours:,.0f}" for it in plans],
        "machines": [f"{it.machines:,}" for it in plans],
        "cost, USD": [f"{it.cost:,.0f}" for it in plans],
        "cost of a billion scores, USD": [f"{it.cost_a_billion:,.2f}" for it in plans],
        "read, TB": [f"{it.read / 1e12:,.2f}" for it in plans],
        "exchanged, TB": [f"{it.exchanged / 1e12:,.2f}" for it in plans],
        "network of a machine, minutes": [f"{it.network_minutes:,.1f}" for it in plans],
        "disk of a machine, minutes": [f"{it.disk_minutes:,.1f}" for it in plans],
        f"pieces for the first stage, millions, at --bucket-rows {BUCKET_ROWS}": [
            f"{it.pieces / 1e6:,.0f}" for it in plans
        ],
    }
    return [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]


def reckoned(json_path: Path, assumed: Assumed) -> str:
    """The tables of a bench's file, or how to get one where there is none.

    Raises:
        ValueError: it is no file of the bench.
    """
    if not json_path.exists():
        return NOT_MEASURED
    return tables(measured_from(json.loads(json_path.read_text(encoding="utf-8"))), assumed)


def with_tables(page: str, reckoning: str) -> str:
    """The page with what is between its marks exchanged.

    Raises:
        ValueError: it has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{begin}{reckoning}{end}{after}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./bazelw run //batch:scale --",
        description="What a cluster takes, from what //batch:bench measured.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("batch/bench/measured.json"),
        metavar="PATH",
        help="of //batch:bench (default: %(default)s)",
    )
    for name, unit in {
        "transactions": "a day",
        "hours": "that a run may take",
        "efficiency": "of a core among hundreds, 0 to 1",
        "price": "of a core for an hour",
        "network": "Gbit/s of a machine",
        "disk": "MB/s of a machine",
    }.items():
        default = getattr(Assumed(), name)
        parser.add_argument(f"--{name}", type=_positive, default=default, metavar="X", help=unit)
    parser.add_argument("--cores", type=int, default=Assumed().cores, help="of a machine")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables there")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be positive, got {text}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, or writes them."""
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    json_path, page = given.pop("json"), given.pop("write")
    try:
        reckoning = reckoned(json_path, Assumed(**given))
        if page is None:
            print(reckoning, end="")  # noqa: T201
        else:
            page.write_text(with_tables(page.read_text("utf-8"), reckoning), "utf-8")
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
