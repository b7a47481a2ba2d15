"""CSV: what is guessed, what is given, and what is wrong with a file."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import pyarrow as pa
import pytest

import data_connector as dc

UTC = pa.timestamp("us", "UTC")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def test_types_are_guessed_where_none_are_given(path: Path) -> None:
    path.write_text(
        "id,amount,name,day,at,naive,empty\n"
        "1,0.5,NA,2018-04-01,2018-04-01 00:00:31Z,2018-04-01 00:00:31,\n"
        '2,,"",,,,\n'
    )
    read = dc.fetch(path).read_all()
    assert read.schema == pa.schema(
        [
            ("id", pa.int64()),
            ("amount", pa.float64()),
            ("name", pa.string()),
            ("day", pa.date32()),
            ("at", UTC),
            ("naive", pa.timestamp("us")),
            ("empty", pa.string()),
        ]
    )
    assert read["name"].to_pylist() == ["NA", ""]
    assert read["at"][0].as_py() == dt.datetime(2018, 4, 1, 0, 0, 31, tzinfo=dt.UTC)


def test_given_types_are_kept(path: Path) -> None:
    path.write_text("id,amount\n007,1.10\n,\n")
    schema = pa.schema([("amount", pa.decimal128(5, 2)), ("id", pa.string())])
    read = dc.fetch(path, schema=schema).read_all()
    assert read.schema == pa.schema([schema.field("id"), schema.field("amount")])
    assert str(read.to_pylist()[0]) == "{'id': '007', 'amount': Decimal('1.10')}"


@pytest.mark.parametrize(("names", "column"), [(["id"], "amount"), (["id", "amount", "x"], "x")])
def test_given_types_must_be_those_of_the_file(path: Path, names: list[str], column: str) -> None:
    path.write_text("id,amount\n1,2\n")
    with pytest.raises(dc.SchemaMismatchError) as caught:
        dc.fetch(path, schema=pa.schema([(name, pa.string()) for name in names]))
    assert caught.value.column == column


@pytest.mark.parametrize("columns", [None, ["amount"], ["amount", "id"]])
def test_a_value_that_does_not_fit_names_column_and_row(
    path: Path, columns: list[str] | None
) -> None:
    path.write_text("id,amount\n" + "1,2\n" * 7 + "1,much\n")
    schema = pa.schema([("id", pa.int64()), ("amount", pa.int64())])
    reader = dc.fetch(path, schema=schema, columns=columns)
    with pytest.raises(dc.SchemaMismatchError, match="'amount', row 8.*'much'.*schema=") as caught:
        reader.read_all()
    assert (caught.value.column, caught.value.row) == ("amount", 8)


def test_a_guess_that_was_wrong_says_how_to_give_the_type(path: Path) -> None:
    # The first half is larger than the block from which the types are guessed.
    path.write_text("id\n" + "1234567\n" * 1_200_000 + "12A\n")
    with pytest.raises(dc.SchemaMismatchError, match="'id'.*'12A'.*schema="):
        dc.fetch(path).read_all()
    read = dc.fetch(path, schema=pa.schema([("id", pa.string())])).read_all()
    assert read["id"][-1].as_py() == "12A"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "[Ee]mpty"),
        ("a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
    ],
)
def test_a_file_that_is_no_table_is_an_error(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(dc.CorruptSourceError, match=message):
        dc.fetch(path).read_all()


def test_a_header_that_repeats_a_name_is_an_error(path: Path) -> None:
    path.write_text("a,a\n1,2\n")
    with pytest.raises(dc.SchemaMismatchError, match="'a'.*twice"):
        dc.fetch(path)


def test_gzip_that_is_cut_short_or_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    for damaged in (whole[:-20], b"a,b\n1,2\n"):
        path.write_bytes(damaged)
        with pytest.raises(dc.CorruptSourceError, match=r"rows\.csv\.gz"):
            dc.fetch(path).read_all()


def test_gzip_of_several_parts_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"))
    assert dc.fetch(path).read_all().to_pydict() == {"a": [1, 3], "b": [2, 4]}


def test_the_same_rows_are_the_same_file(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]})
    for name in ("one.csv.gz", "two.csv.gz"):
        dc.load(table, tmp_path / name)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.csv.gz").read_bytes()) == b'"a"\n1\n2\n'


def test_dictionaries_are_written_as_their_words(path: Path) -> None:
    dc.load(pa.table({"a": pa.array(["x", None, "x"]).dictionary_encode()}), path)
    assert dc.fetch(path).read_all().to_pydict() == {"a": ["x", None, "x"]}


def test_a_header_that_is_no_text_is_an_error(path: Path) -> None:
    path.write_bytes(b"\xff\xfe,b\n1,2\n")
    with pytest.raises(dc.CorruptSourceError, match=r"rows\.csv"):
        dc.fetch(path)


def test_types_are_given_to_csv_only(tmp_path: Path) -> None:
    table = pa.table({"n": [1]})
    dc.load(table, tmp_path / "rows.parquet")
    with pytest.raises(dc.UnsupportedSourceError, match="schema="):
        dc.fetch(tmp_path / "rows.parquet", schema=table.schema)
