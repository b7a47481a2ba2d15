"""Parquet: every type of Arrow's, folders of files, damage."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import data_connector as dc


def test_types_that_no_database_has_come_back_too(tmp_path: Path) -> None:
    table = pa.table(
        {
            "word": pa.array(["a", None, "a"]).dictionary_encode(),
            "list": pa.array([[1, None], None, []], pa.list_(pa.int16())),
            "at": pa.array([1, 2, None], pa.timestamp("ns", "Europe/Paris")),
            "byte": pa.array([255, 0, None], pa.uint8()),
            "struct": pa.array([{"x": 1}, None, {"x": None}], pa.struct([("x", pa.int8())])),
        }
    )
    dc.load(table, tmp_path / "rows.parquet")
    assert dc.fetch(tmp_path / "rows.parquet").read_all() == table
    dc.load(table, tmp_path / "rows.parquet", if_exists="append")
    assert dc.fetch(tmp_path / "rows.parquet").read_all() == pa.concat_tables([table, table])


def test_small_batches_make_large_row_groups(tmp_path: Path) -> None:
    table = pa.table({"n": range(300_000)})
    small = pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(1000)))
    dc.load(small, tmp_path / "rows.parquet")
    metadata = pq.read_metadata(tmp_path / "rows.parquet")
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == 300_000
    assert min(sizes[:-1]) > 100_000


def test_a_folder_is_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    for day, part in [("02", "a"), ("01", "b"), ("01", "a")]:
        (folder / f"day={day}").mkdir(parents=True, exist_ok=True)
        table = pa.table({"part": [part, part.upper()]})
        pq.write_table(table, folder / f"day={day}" / f"{part}.parquet")
    (folder / "_SUCCESS").touch()
    (folder / "notes.txt").write_text("not Parquet")
    (folder / ".hidden.parquet").write_text("half a file of someone's")
    read = dc.fetch(folder, batch_rows=1).read_all()
    assert read.to_pydict() == {
        "part": ["a", "A", "b", "B", "a", "A"],
        "day": [1, 1, 1, 1, 2, 2],
    }
    assert dc.fetch(folder, columns=["day"]).read_all() == read.select(["day"])
    assert dc.list_tables(folder) == ["rows"]


def test_a_folder_without_parquet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(dc.SourceNotFoundError, match="no .parquet file"):
        dc.fetch(tmp_path)


@pytest.mark.parametrize(
    ("other", "column"),
    [
        ({"a": [1]}, "b"),
        ({"a": [1], "b": [2], "c": [3]}, "c"),
        ({"a": [1], "b": ["text"]}, "b"),
    ],
)
def test_files_of_other_columns_are_an_error_at_once(
    tmp_path: Path, other: dict[str, list[object]], column: str
) -> None:
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "1.parquet")
    pq.write_table(pa.table(other), tmp_path / "2.parquet")
    with pytest.raises(dc.SchemaMismatchError, match=r"2\.parquet") as caught:
        dc.fetch(tmp_path)
    assert caught.value.column == column


def test_a_damaged_footer_is_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    dc.load(pa.table({"a": range(100)}), path)
    data = path.read_bytes()
    for damaged in (b"", b"PAR1", data[:-20], data[: len(data) // 2], b"a,b\n1,2\n" * 10):
        path.write_bytes(damaged)
        with pytest.raises(dc.CorruptSourceError, match=r"rows\.parquet.*restore"):
            dc.fetch(path)


def test_damaged_rows_are_an_error_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    dc.load(pa.table({"a": range(100_000)}), path)
    data = bytearray(path.read_bytes())
    data[100:5000] = b"\xff" * 4900
    path.write_bytes(data)
    with pytest.raises(dc.CorruptSourceError, match=r"rows\.parquet"):
        dc.fetch(path).read_all()
