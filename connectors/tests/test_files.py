"""Files: the format by the name, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import data_connector as dc

TABLE = pa.table({"a": [1, 2], "b": ["x", "y"]})


def test_a_missing_file_is_an_error_at_once(tmp_path: Path) -> None:
    for name in ("rows.csv", "rows.parquet", "rows"):
        with pytest.raises(dc.SourceNotFoundError, match="check the path"):
            dc.fetch(tmp_path / name)


def test_an_unknown_suffix_says_which_are_known(tmp_path: Path) -> None:
    with pytest.raises(dc.UnsupportedSourceError, match=r"\.parquet, \.csv or \.csv\.gz$"):
        dc.fetch(tmp_path / "rows.xlsx")
    with pytest.raises(dc.UnsupportedSourceError, match="sqlite:///.*rows.db"):
        dc.fetch(tmp_path / "rows.db")


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "ro ws.parquet"
    dc.load(TABLE, path.as_uri())
    assert dc.fetch(path.as_uri()).read_all() == dc.fetch(path).read_all() == TABLE
    assert dc.list_tables(path) == ["ro ws"]


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    folder = tmp_path / "rows.parquet"
    folder.mkdir()
    with pytest.raises(dc.TargetExistsError, match="folder"):
        dc.load(TABLE, folder, if_exists="replace")
    with pytest.raises(dc.SourceNotFoundError, match="no folder"):
        dc.load(TABLE, tmp_path / "none" / "rows.csv")


def test_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(dc.SchemaMismatchError, match="'a'.*twice"):
        dc.load(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "rows.parquet")


def test_a_reader_of_a_file_that_is_replaced_reads_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    dc.load(TABLE, path)
    with dc.fetch(path, batch_rows=1, schema=TABLE.schema) as reader:
        first = reader.read_next_batch()
        dc.load(pa.table({"other": [1]}), path, if_exists="replace")
        assert pa.Table.from_batches([first, *reader]) == TABLE


LOAD_HALF = """
import sys
import pyarrow as pa
import data_connector as dc

schema = pa.schema([("n", pa.int64())])

def batches():
    yield pa.record_batch([pa.array(range(300_000))], schema=schema)
    stop_here()

dc.load(pa.RecordBatchReader.from_batches(schema, batches()), sys.argv[1], if_exists="replace")
"""


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz"])
def test_a_killed_load_leaves_the_old_file_and_its_leftover_goes_with_the_next(
    tmp_path: Path, suffix: str, killed: Callable[..., None]
) -> None:
    path = tmp_path / f"rows{suffix}"
    old = pa.table({"n": [1, 2, 3]})
    dc.load(old, path)
    killed(LOAD_HALF, path)
    assert dc.fetch(path).read_all() == old
    assert len(list(tmp_path.iterdir())) == 2
    dc.load(old, path, if_exists="append")
    assert list(tmp_path.iterdir()) == [path]


FILL_DISK = """
import os
import pyarrow as pa
import data_connector as dc

def batches(rows):
    for start in range(0, rows, 10_000):
        yield pa.record_batch({"n": [os.urandom(8).hex() for _ in range(10_000)]}, schema=schema)

schema = pa.schema([("n", pa.string())])
for name in ("rows.parquet", "rows.csv", "rows.csv.gz"):
    dc.load(pa.table({"n": ["old"]}), name)
    try:
        data = pa.RecordBatchReader.from_batches(schema, batches(400_000))
        dc.load(data, name, if_exists="replace")
    except dc.DiskFullError as error:
        print(error)
    print(dc.fetch(name).read_all().to_pydict(), len(os.listdir()))
    os.unlink(name)
"""


def test_a_full_disk_is_named_and_nothing_is_kept(
    tmp_path: Path, small_disk: Callable[[str], str]
) -> None:
    lines = small_disk(FILL_DISK).splitlines()
    assert lines[1::2] == ["{'n': ['old']} 1"] * 3
    for message in lines[::2]:
        assert f"mounted at {tmp_path / 'disk'} (2,097,152 bytes" in message
