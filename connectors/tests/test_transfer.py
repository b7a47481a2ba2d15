"""What holds for every source and target: one suite, which each backend must pass."""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import bucket  # noqa: F401 - registers s3://
import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data_connector as dc
from data_connector.backends import Capabilities, open_backend
from data_connector.locations import parse

UTC = pa.timestamp("us", tz="UTC")
NAIVE = pa.timestamp("us")
TIMES = ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "2018-04-01 00:00:31"]

# The types that come back as another one, wide enough for every value.
WIDENED = {"sqlite": {pa.int16(): pa.int64(), pa.int32(): pa.int64(), pa.float32(): pa.float64()}}

ALL_TYPES = pa.table(
    {
        "i16": pa.array([None, -(2**15), 2**15 - 1, 0], pa.int16()),
        "i32": pa.array([None, -(2**31), 2**31 - 1, 0], pa.int32()),
        "i64": pa.array([None, -(2**63), 2**63 - 1, 0], pa.int64()),
        "f32": pa.array([None, 0.5, -3.4e38, 1e-45], pa.float32()),
        "f64": pa.array([None, 0.1, -1.7976931348623157e308, float("inf")]),
        "money": pa.array(
            [None, Decimal("12.34"), Decimal("-9999999999.99"), Decimal("5.00")],
            pa.decimal128(12, 2),
        ),
        "exact": pa.array(
            [None, Decimal("123456789012345678901.123456789"), Decimal("-1E-9"), Decimal(0)],
            pa.decimal128(30, 9),
        ),
        "flag": pa.array([None, True, False, True]),
        "text": pa.array([None, "", "NULL", "Grüße 🦊, \"quoted\"\n\\. 'x' \t\\N"]),
        "bytes": pa.array([None, b"", b'\x00\xff",\n\r', bytes(range(256))], pa.binary()),
        "day": pa.array([None, dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2018, 4, 1)]),
        "naive": pa.array([None, *TIMES]).cast(NAIVE),
        "instant": pa.array([None, *(time + "Z" for time in TIMES)]).cast(UTC),
    }
)


def without_what_mysql_lacks(table: pa.Table) -> pa.Table:
    """NULL for infinity, and for instants out of a TIMESTAMP's 1970 to 2038."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if field.type == pa.float64():
            held = pc.is_finite(column)
        elif field.type == UTC:
            held = pc.is_in(pc.year(column), pa.array(range(1971, 2038)))
        else:
            continue
        null = pa.scalar(None, field.type)
        table = table.set_column(index, field, pc.if_else(held, column, null))
    return table


@dataclass(frozen=True)
class Place:
    """A source and target to test."""

    kind: str
    url: str
    folder: Path
    table: str | None

    @property
    def capabilities(self) -> Capabilities:
        return open_backend(parse(self.url)).capabilities

    def storable(self, table: pa.Table) -> pa.Table:
        """What the place can hold of it: not every column, nor every value."""
        if self.kind == "mariadb":
            table = without_what_mysql_lacks(table)
        bytes_too = self.capabilities.keeps_bytes
        return table.select([f.name for f in table.schema if bytes_too or f.type != pa.binary()])

    def stored(self, schema: pa.Schema) -> pa.Schema:
        """The schema that is expected back."""
        widened = WIDENED.get(self.kind, {})
        return pa.schema([f.with_type(widened.get(f.type, f.type)) for f in schema])

    def load(self, data: pa.Table | pa.RecordBatchReader, if_exists: str = "fail") -> int:
        return dc.load(data, self.url, table=self.table, if_exists=if_exists)  # type: ignore[arg-type]

    def fetch(self, like: pa.Schema, **options: object) -> pa.RecordBatchReader:
        """The place's reader; `like` stands in for the types where the place keeps none."""
        if not self.capabilities.keeps_types:
            options["schema"] = like
        return dc.fetch(self.url, table=self.table, **options)  # type: ignore[arg-type]

    def held(self) -> list[str]:
        """The files of the place, and the sockets, that this process holds open."""
        found = []
        for entry in Path("/proc/self/fd").iterdir():
            try:
                target = str(entry.readlink())
            except FileNotFoundError:  # the listing's own
                continue
            if target.startswith(("socket:", str(self.folder))):
                found.append(target)
        return sorted(found)


PLACES = ["sqlite", "postgresql", "mariadb", "duckdb", "parquet", "csv", "csv.gz"]
OBJECTS = ["s3 parquet", "s3 csv", "s3 csv.gz", "memory parquet", "memory csv"]


@pytest.fixture(params=[*PLACES, *OBJECTS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind = request.param
    if kind == "sqlite":
        url, table = f"sqlite:///{tmp_path}/data.db", "rows"
    elif kind == "duckdb":
        url, table = f"duckdb:///{tmp_path}/data.duckdb", "rows"
    elif kind in ("postgresql", "mariadb"):
        url, table = request.getfixturevalue(kind), "rows"
    elif kind in OBJECTS:
        scheme, suffix = kind.split()
        url, table = f"{scheme}://{tmp_path}/rows.{suffix}", None
    else:
        url, table = str(tmp_path / f"rows.{kind}"), None
    yield Place(kind, url, tmp_path, table)
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pseudo_dirs[:] = [""]


N = pa.schema([("n", pa.int64())])


def numbers(start: int, stop: int) -> pa.Table:
    return pa.table({"n": range(start, stop)}, schema=N)


def test_every_type_comes_back_exactly(place: Place) -> None:
    table = place.storable(ALL_TYPES)
    assert place.load(table) == 4
    read = place.fetch(table.schema).read_all()
    assert read.schema == place.stored(table.schema)
    assert read.to_pylist() == table.to_pylist()
    if table.num_columns < ALL_TYPES.num_columns:
        with pytest.raises(dc.SchemaMismatchError, match="'bytes'"):
            place.load(ALL_TYPES, "replace")


def test_types_hold_when_the_first_batches_are_all_null(place: Place) -> None:
    table = place.storable(ALL_TYPES)
    nulls = pa.table([pa.nulls(5, f.type) for f in table.schema], schema=table.schema)
    place.load(pa.concat_tables([nulls, table]))
    read = place.fetch(table.schema, batch_rows=2).read_all()
    assert read.schema == place.stored(table.schema)
    assert read.to_pylist() == [*nulls.to_pylist(), *table.to_pylist()]


def test_an_empty_table_keeps_its_schema(place: Place) -> None:
    table = place.storable(ALL_TYPES).slice(0, 0)
    assert place.load(table) == 0
    read = place.fetch(table.schema).read_all()
    assert read.num_rows == 0
    assert read.schema == place.stored(table.schema)


def test_nulls_of_a_single_column_are_rows(place: Place) -> None:
    table = pa.table({"text": pa.array(["a", None, "", None])})
    place.load(table)
    assert place.fetch(table.schema).read_all() == table


@pytest.mark.parametrize(
    "name",
    ["größe", 'a"b', "semi;colon", "%s %(x)s :x ?", "select", "Camel Case", "a,b", "a.b", "🦊"],
)
def test_any_name_is_an_identifier(place: Place, name: str) -> None:
    table = pa.table({name: [1, 2], "other": [3, 4]})
    renamed = replace(place, table=place.table and name)
    if place.kind == "mariadb" and max(name) > "\uffff":
        with pytest.raises(dc.SchemaMismatchError, match=r"up to U\+FFFF"):
            renamed.load(table)
        return
    renamed.load(table)
    assert renamed.fetch(table.schema).read_all() == table
    assert renamed.fetch(table.schema, columns=[name]).read_all() == table.select([name])
    if place.capabilities.many_tables:
        assert dc.list_tables(place.url) == [name]


@pytest.mark.parametrize("batch_rows", [1, 3, 9, 10, 11])
def test_batches_are_as_long_as_asked_and_lose_no_row(place: Place, batch_rows: int) -> None:
    place.load(numbers(0, 10))
    with place.fetch(N, batch_rows=batch_rows) as reader:
        batches = list(reader)
    assert max(batch.num_rows for batch in batches) <= batch_rows
    assert pa.Table.from_batches(batches) == numbers(0, 10)


def test_columns_come_in_the_order_asked_for(place: Place) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]})
    place.load(table)
    assert place.fetch(table.schema, columns=["c", "a"]).read_all() == table.select(["c", "a"])


def test_a_missing_column_is_an_error_at_once_that_lists_the_others(place: Place) -> None:
    table = pa.table({"a": [1], "b": [2]})
    place.load(table)
    with pytest.raises(dc.ColumnNotFoundError, match="'zz'.*'a', 'b'") as caught:
        place.fetch(table.schema, columns=["a", "zz"])
    assert caught.value.available == ("a", "b")


def test_what_exists_is_kept_unless_told_otherwise(place: Place) -> None:
    place.load(numbers(0, 3))
    with pytest.raises(dc.TargetExistsError, match="append.*replace"):
        place.load(numbers(3, 5))
    assert place.fetch(N).read_all() == numbers(0, 3)
    assert place.load(numbers(3, 5), "append") == 2
    assert place.fetch(N).read_all() == numbers(0, 5)
    assert place.load(numbers(7, 9), "replace") == 2
    assert place.fetch(N).read_all() == numbers(7, 9)


@pytest.mark.parametrize("if_exists", ["append", "replace"])
def test_what_does_not_exist_is_made(place: Place, if_exists: str) -> None:
    assert place.load(numbers(0, 3), if_exists) == 3
    assert place.fetch(N).read_all() == numbers(0, 3)


def test_appended_columns_are_matched_by_name(place: Place) -> None:
    table = pa.table({"a": [1], "b": ["x"]})
    place.load(table)
    place.load(pa.table({"b": ["y"], "a": [2]}), "append")
    read = place.fetch(table.schema).read_all()
    assert read.to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize(
    ("data", "column"),
    [
        ({"a": [1]}, "b"),
        ({"a": [1], "b": [2], "c": [3]}, "c"),
        ({"a": [1], "b": ["text"]}, "b"),
    ],
)
def test_appending_other_columns_names_the_column(
    place: Place, data: dict[str, list[object]], column: str
) -> None:
    table = pa.table({"a": [1], "b": [2]})
    place.load(table)
    if not place.capabilities.keeps_types and isinstance(data.get("b", [0])[0], str):
        assert place.load(pa.table(data), "append") == 1  # without types, 2 is a text too
        return
    with pytest.raises(dc.SchemaMismatchError, match=column) as caught:
        place.load(pa.table(data), "append")
    assert caught.value.column == column
    assert place.fetch(table.schema).read_all() == table


def test_an_unsupported_type_names_the_column(place: Place) -> None:
    schema = pa.schema([("fine", pa.int64()), ("odd", pa.month_day_nano_interval())])
    with pytest.raises(dc.SchemaMismatchError, match="'odd'.*interval"):
        place.load(schema.empty_table())
    assert list(place.folder.glob("rows*")) == []


class SourceBrokeError(Exception): ...


def breaking(schema: pa.Schema, batches: int) -> pa.RecordBatchReader:
    def generate() -> Iterator[pa.RecordBatch]:
        for start in range(batches):
            yield pa.record_batch([pa.array([start] * 1000, pa.int64())], schema=schema)
        raise SourceBrokeError

    return pa.RecordBatchReader.from_batches(schema, generate())


@pytest.mark.parametrize("if_exists", ["append", "replace"])
def test_a_load_that_breaks_off_changes_nothing(place: Place, if_exists: str) -> None:
    place.load(numbers(0, 3))
    files = sorted(place.folder.iterdir())
    with pytest.raises(SourceBrokeError):
        place.load(breaking(N, 3), if_exists)
    assert place.fetch(N).read_all() == numbers(0, 3)
    assert sorted(place.folder.iterdir()) == files


def test_a_first_load_that_breaks_off_makes_nothing(place: Place) -> None:
    with pytest.raises(SourceBrokeError):
        place.load(breaking(N, 3))
    if place.capabilities.many_tables:
        assert dc.list_tables(place.url) == []
    else:
        assert list(place.folder.iterdir()) == []
        with pytest.raises(dc.SourceNotFoundError):
            place.fetch(N)


@pytest.mark.parametrize("end", ["exhausted", "closed", "closed unread", "collected", "with"])
def test_a_reader_lets_go_of_its_source(place: Place, end: str) -> None:
    place.load(numbers(0, 10_000))
    before = place.held()
    reader = place.fetch(N, batch_rows=10)
    if end != "closed unread":
        reader.read_next_batch()
    # Files wait for the first read; of objects, nothing is held from one read to the next.
    if place.kind not in OBJECTS and (place.capabilities.many_tables or end != "closed unread"):
        assert place.held() != before
    if end == "exhausted":
        reader.read_all()
    elif end.startswith("closed"):
        reader.close()
    elif end == "with":
        with reader:
            pass
    else:
        del reader
        gc.collect()
    assert place.held() == before


def test_two_readers_of_one_place_do_not_disturb_each_other(place: Place) -> None:
    place.load(numbers(0, 10))
    with (
        place.fetch(N, batch_rows=3) as one,
        place.fetch(N, batch_rows=4) as two,
    ):
        assert one.read_next_batch().num_rows == 3
        assert two.read_all() == numbers(0, 10)
        assert one.read_all() == numbers(3, 10)


rows = st.fixed_dictionaries(
    {
        "text": st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
        "number": st.none() | st.floats(allow_nan=False),
        "instant": st.none() | st.datetimes(timezones=st.just(dt.UTC)),
        "amount": st.none() | st.decimals(-(10**10), 10**10, places=2),
        "blob": st.none() | st.binary(max_size=20),
    }
)
ROWS = pa.schema(
    [
        ("text", pa.string()),
        ("number", pa.float64()),
        ("instant", UTC),
        ("amount", pa.decimal128(13, 2)),
        ("blob", pa.binary()),
    ]
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.lists(rows, max_size=20), batch_rows=st.integers(1, 7))
def test_any_rows_come_back(place: Place, data: list[dict[str, object]], batch_rows: int) -> None:
    table = place.storable(pa.Table.from_pylist(data, ROWS))
    place.load(table, "replace")
    read = place.fetch(table.schema, batch_rows=batch_rows).read_all()
    assert read.schema == table.schema
    assert read.to_pylist() == table.to_pylist()


def test_the_only_table_need_not_be_named(place: Place) -> None:
    place.load(numbers(0, 3))
    like = {} if place.capabilities.keeps_types else {"schema": N}
    assert dc.list_tables(place.url) == ["rows"]
    assert dc.fetch(place.url, **like).read_all() == numbers(0, 3)
    assert dc.fetch(place.url, table="rows", **like).read_all() == numbers(0, 3)
    assert dc.schema_of(place.url) == N
    with pytest.raises(dc.TableNotFoundError, match="'labels'; tables there: 'rows'"):
        dc.fetch(place.url, table="labels")


def test_of_several_tables_one_must_be_named(place: Place) -> None:
    if not place.capabilities.many_tables:
        with pytest.raises(dc.UnsupportedSourceError, match="leave out table='labels'"):
            dc.load(numbers(0, 1), place.url, table="labels")
        return
    dc.load(numbers(0, 1), place.url, table="labels")
    dc.load(numbers(0, 2), place.url, table="transactions")
    with pytest.raises(dc.TableNotFoundError, match="table=.*'labels', 'transactions'"):
        dc.fetch(place.url)
    assert dc.fetch(place.url, table="transactions").read_all() == numbers(0, 2)
    with pytest.raises(ValueError, match="table= is required"):
        dc.load(numbers(0, 1), place.url)


def test_queries_are_answered_by_databases_only(place: Place) -> None:
    place.load(pa.table({"a": [3, 1, 2], "b": ["x:y", "100%", "?"]}))
    query = "SELECT b, a FROM \"rows\" WHERE b <> 'a:b %s' ORDER BY a -- a comment"
    if not place.capabilities.queries:
        with pytest.raises(dc.UnsupportedSourceError, match="query"):
            dc.fetch(place.url, query=query)
        return
    expected = pa.table({"b": ["100%", "?", "x:y"], "a": [1, 2, 3]})
    assert dc.fetch(place.url, query=query).read_all() == expected
    only = dc.fetch(place.url, query=query, columns=["a"]).read_all()
    assert only == expected.select(["a"])
    with pytest.raises(dc.QueryError, match="nothing_there"):
        dc.fetch(place.url, query="SELECT * FROM nothing_there")
    with pytest.raises(dc.QueryError):
        dc.fetch(place.url, query='DELETE FROM "rows"')
    with pytest.raises(dc.SchemaMismatchError, match="'a'.*twice") as caught:
        dc.fetch(place.url, query='SELECT a, a FROM "rows"')
    assert caught.value.column == "a"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_rows": 0}, "batch_rows"),
        ({"columns": []}, "columns"),
        ({"columns": "a"}, "columns"),
        ({"columns": ["a", "a"]}, "columns"),
        ({"table": "t", "query": "SELECT 1"}, "not both"),
    ],
)
def test_contradicting_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dc.fetch("rows.csv", **arguments)  # type: ignore[arg-type]


def test_a_word_for_if_exists_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'merge'"):
        dc.load(numbers(0, 1), tmp_path / "rows.csv", if_exists="merge")  # type: ignore[arg-type]
