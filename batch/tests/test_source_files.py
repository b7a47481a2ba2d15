"""The rows of files, a chunk at a time, each with its place."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from batch_proc.source_files import Source, local_source, names_there
from fraud_ml.errors import DataError


def write(path: Path, first: int, n: int, group: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"x": range(first, first + n), "y.z": [f"t{it}" for it in range(n)]})
    pq.write_table(table, path, row_group_size=group)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    write(tmp_path / "in/day=2018-04-01/a.parquet", 0, 25, 10)
    write(tmp_path / "in/day=2018-04-02/b.parquet", 100, 7, 10)
    write(tmp_path / "in/day=2018-04-02/c.parquet", 200, 40, 8)
    (tmp_path / "in/_SUCCESS").touch()
    return local_source(tmp_path / "in", ["x", "y.z"])


@pytest.mark.parametrize("target", [1, 9, 17, 1_000])
@pytest.mark.parametrize("size", [3, 10, 1_000])
def test_each_row_is_read_once_and_its_place_is_known(
    source: Source, target: int, size: int
) -> None:
    assert source.n_rows == 72
    splits = source.splits(target)
    assert all(sum(it.rows for it in split) <= max(target, 10) for split in splits)
    found = {}
    for split in splits:
        for chunk in source.chunks(split, ["x", "day"], size=size):
            assert chunk.rows.column_names == ["x", "day"]
            assert chunk.rows.num_rows <= size
            for at, row in enumerate(chunk.rows.to_pylist()):
                file, number = chunk.place(at)
                assert row["day"] in str(source.files[file])
                found[row["x"]] = (source.files[file].name, number)
    expected = {it: ("a.parquet", it) for it in range(25)}
    expected |= {100 + it: ("b.parquet", it) for it in range(7)}
    expected |= {200 + it: ("c.parquet", it) for it in range(40)}
    assert found == expected


def test_a_column_may_be_in_the_folders_names(source: Source) -> None:
    assert names_there(source) == ["x", "y.z", "day"]
    (first, *_) = source.chunks(source.splits(1_000)[0], ["y.z", "day"], size=2)
    assert first.rows.to_pylist() == [
        {"y.z": "t0", "day": "2018-04-01"},
        {"y.z": "t1", "day": "2018-04-01"},
    ]


def test_csv_is_copied_once_with_the_types_of_the_first_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text('x,y,z\n1,"a, b",\n2,,3\n')
    (folder / "b.csv").write_text("x,y,z\n3,4,5\n")
    source = local_source(folder, ["x", "y"])
    assert not source.is_readable
    there = source.readable(tmp_path / "copies", ["x", "y"])
    assert there.is_readable
    (split,) = there.splits(10)
    (chunk,) = there.chunks(split, ["x", "y"], size=10)
    assert chunk.rows.to_pydict() == {"x": [1, 2, 3], "y": ["a, b", None, "4"]}
    assert there.place_of(*chunk.place(2)) == f"{folder / 'b.csv'}, row 0 (the first is 0)"
    before = (tmp_path / "copies/part-00001.parquet").stat().st_mtime_ns
    source.readable(tmp_path / "copies", ["x", "y"])
    assert (tmp_path / "copies/part-00001.parquet").stat().st_mtime_ns == before


def test_a_csv_value_of_another_type_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "b.csv").write_text("x\n1\ntwo\n")
    source = local_source(tmp_path, ["x"])
    with pytest.raises(DataError, match=r"b\.csv cannot be read.*two") as error:
        source.readable(tmp_path / "copies", ["x"])
    assert "'x'" in str(error.value)
