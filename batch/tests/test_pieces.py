"""What tasks write for those of the next stage: each row once for each piece that needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from batch_proc.bucketing import Buckets, HotSlice
from batch_proc.pieces import Ints, read_piece, write_pieces
from batch_proc.time_slices import Slice


@dataclass
class ByColumn:
    """To the piece that a column names, and all to the last one."""

    n_pieces: int

    def place(self, rows: pa.Table) -> tuple[Ints, Ints]:
        piece = rows["piece"].to_numpy()
        at = np.arange(len(piece))
        last = np.full(len(piece), self.n_pieces - 1)
        return np.concatenate([at, at]), np.concatenate([piece, last])


def rows(seed: int, n: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "piece": rng.integers(0, 5, n),
            "number": 1_000 * seed + np.arange(n),
            "text": pa.array([f"t{it}" if it % 7 else None for it in range(n)], pa.string()),
        }
    )


def test_each_piece_has_its_rows_in_order(tmp_path: Path) -> None:
    placing = ByColumn(n_pieces=7)  # nothing goes to piece 5
    chunks = [rows(0, 300), rows(1, 1), rows(2, 200), rows(3, 50)]
    files = (tmp_path / "a", tmp_path / "b")
    assert write_pieces(files[0], chunks[:2], placing)["rows"] == 602
    written = write_pieces(files[1], chunks[2:], placing)
    assert written == {"rows": 500, "bytes": files[1].stat().st_size}
    whole = pa.concat_tables(chunks)
    for number in range(5):
        found = read_piece(files, number, placing)
        assert found is not None
        assert found.equals(whole.filter(pa.compute.equal(whole["piece"], number)))
    assert read_piece(files, 5, placing) is None
    last = read_piece(files, 6, placing)
    assert last is not None
    assert last.to_pylist() == whole.to_pylist()


def test_without_rows_there_is_no_file(tmp_path: Path) -> None:
    nothing = rows(0, 3).slice(0, 0)
    written = write_pieces(tmp_path / "a", [nothing, nothing], ByColumn(n_pieces=2))
    assert written == {"rows": 0, "bytes": 0}
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield rows(0, 10)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_pieces(tmp_path / "a", broken(), ByColumn(n_pieces=7))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_pieces(tmp_path / name, [rows(0, 300)], ByColumn(n_pieces=7))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def payments(keys: list[object]) -> pa.Table:
    times = pa.array(np.arange(len(keys)) * 10).cast(pa.timestamp("us", tz="UTC"))
    return pa.table({"id": np.arange(len(keys)), "time": times, "key": keys})


def buckets(*slices: HotSlice, key: tuple[str, ...] = ("key",)) -> Buckets:
    return Buckets(key=key, identity="id", time="time", n_usual=8, slices=slices)


def test_rows_of_a_key_lie_together_and_those_without_are_spread() -> None:
    keys = [f"k{number % 20}" if number % 2 else None for number in range(2_000)]
    at, bucket = buckets().place(payments(keys))
    assert at.tolist() == list(range(2_000))
    of = {key: set(bucket[[it == key for it in keys]].tolist()) for key in set(keys)}
    assert len(of.pop(None)) == 8
    assert {len(it) for it in of.values()} == {1}
    by_id = buckets(key=()).place(payments(keys))[1]
    np.testing.assert_array_equal(by_id[::2], bucket[::2])
    assert set(by_id.tolist()) == set(range(8))


def test_rows_of_a_hot_key_go_to_each_slice_that_needs_them() -> None:
    from batch_proc.key_hash import hashes

    keys = ["hot" if number % 3 else "other" for number in range(30)]
    (hot,) = hashes(pa.chunked_array([["hot"]])).tolist()
    slices = [
        HotSlice(key=hot, first=10, slice=Slice(None, 100, None), bucket=8),
        HotSlice(key=hot, first=10, slice=Slice(100, 200, 70), bucket=9),
        HotSlice(key=hot, first=10, slice=Slice(200, None, 170), bucket=10),
    ]
    placing = buckets(*slices)
    assert placing.n_pieces == 11
    at, bucket = placing.place(payments(keys))
    is_hot = [number for number in range(30) if number % 3]
    assert at[bucket == 8].tolist() == [it for it in is_hot if it < 10]
    assert at[bucket == 9].tolist() == [1, *(it for it in is_hot if 7 <= it < 20)]
    assert at[bucket == 10].tolist() == [1, *(it for it in is_hot if it >= 17)]
    assert at[bucket < 8].tolist() == list(range(0, 30, 3))
