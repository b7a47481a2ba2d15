"""Files in object storage: what is read, who wins, what is left behind, secrets."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import unquote

import fsspec
import pyarrow as pa
import pytest
from bucket import AzureBucket, Bucket

import data_connector as dc
from data_connector.locations import parse
from data_connector.object_creation import options_to_create
from data_connector.ranges import KeyRange

TABLE = pa.table({"a": [1, 2], "b": ["x", "y"]})
N = pa.schema([("n", pa.int64())])


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An object's URL, without an object."""
    return f"s3://{tmp_path}/rows.parquet"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes in bytes of all reads of the bucket."""
    sizes: list[int] = []
    cat_file = Bucket.cat_file

    def counted(self: object, path: str, start: int, end: int) -> bytes:
        sizes.append(end - start)
        return bytes(cat_file(self, path, start=start, end=end))

    monkeypatch.setattr(Bucket, "cat_file", counted)
    return sizes


def test_only_the_row_groups_of_the_range_are_read(url: str, reads: list[int]) -> None:
    rows = 131_072 * 8
    dc.load(pa.table({"n": range(rows), "other": [str(n * 7919 % rows) for n in range(rows)]}), url)
    size = fsspec.filesystem("s3").size(url)
    part = KeyRange(column="n", start=rows // 2, stop=rows // 2 + 10)
    assert dc.fetch(url, key_range=part).read_all().num_rows == 10
    ends = 5 * 65_536  # of the file, where the statistics stand: what they tell is not kept
    assert sum(reads) < 1.1 * size / 8 + ends < size / 4
    reads.clear()
    assert dc.fetch(url, columns=["n"]).read_all().num_rows == rows
    columns_n = sum(reads)
    reads.clear()
    with dc.fetch(url) as reader:
        reader.read_next_batch()
        assert sum(reads) < size / 4 + ends, "no group comes before its turn"
        reader.read_all()
    assert columns_n < sum(reads) * 0.75
    assert len(reads) == 8 + 5, "the columns of a group come together"


def test_a_folder_is_its_objects_in_the_order_of_their_names(tmp_path: Path) -> None:
    root = f"s3://{tmp_path}/folder"
    for day, part in [("02", "a"), ("01", "b"), ("01", "a")]:
        dc.load(pa.table({"part": [part]}), f"{root}/day={day}/{part}.parquet")
    for folder in (root, f"{root}/"):
        read = dc.fetch(folder).read_all()
        assert read.to_pydict() == {"part": ["a", "b", "a"], "day": [1, 1, 2]}
        assert dc.list_tables(folder) == ["folder"]
    with pytest.raises(dc.TargetExistsError, match="is a folder"):
        dc.load(TABLE, f"s3://{tmp_path}/folder/day=02", if_exists="replace")


def test_a_missing_object_is_an_error_at_once(tmp_path: Path) -> None:
    for name in ("rows.parquet", "rows.csv", "rows"):
        with pytest.raises(dc.SourceNotFoundError, match=f"s3://.*{name}: check the"):
            dc.fetch(f"s3://{tmp_path}/{name}")


@pytest.mark.parametrize("scheme", ["s3", "az"])
def test_of_two_loads_at_once_one_wins(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://{tmp_path}/rows.parquet"
    both_are_there = Barrier(2)
    schema = pa.schema([("writer", pa.int64())])

    def load(writer: int) -> str:
        def batches() -> Iterator[pa.RecordBatch]:
            both_are_there.wait()  # each has seen that nothing is there
            yield pa.record_batch([pa.array([writer])], schema=schema)

        try:
            dc.load(pa.RecordBatchReader.from_batches(schema, batches()), url)
        except dc.TargetExistsError:
            return "lost"
        return "won"

    with ThreadPoolExecutor(2) as writers:
        ends = list(writers.map(load, range(2)))
    assert sorted(ends) == ["lost", "won"]
    assert dc.fetch(url).read_all().to_pydict() == {"writer": [ends.index("won")]}


def test_a_load_that_breaks_off_leaves_nothing_anywhere(
    url: str, tmp_path: Path, temporary: Path
) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([pa.array(range(300_000))], schema=N)
        assert len(list(temporary.iterdir())) == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dc.load(pa.RecordBatchReader.from_batches(N, batches()), url)
    assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == [temporary]


@pytest.mark.parametrize("if_exists", ["append", "replace"])
def test_an_upload_that_fails_changes_nothing_and_is_not_repeated_if_it_could_double_rows(
    url: str, monkeypatch: pytest.MonkeyPatch, if_exists: Any
) -> None:
    dc.load(TABLE, url)
    uploads = []

    def fail(*_: object, **__: object) -> None:
        uploads.append(1)
        raise TimeoutError("no answer")

    monkeypatch.setattr("data_connector.retry.FIRST_PAUSE", 0.0)
    monkeypatch.setattr(Bucket, "put_file", fail)
    with pytest.raises(dc.CommitUnknownError, match="TimeoutError: no answer.*before you load"):
        dc.load(TABLE, url, if_exists=if_exists, retries=2)
    assert len(uploads) == (1 if if_exists == "append" else 3)
    assert dc.fetch(url).read_all() == TABLE


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_an_object_that_is_replaced_while_it_is_read_is_an_error(
    tmp_path: Path, suffix: str
) -> None:
    url = f"s3://{tmp_path}/rows.{suffix}"
    dc.load(pa.table({"n": range(3)}), url)
    with dc.fetch(url, batch_rows=1) as reader:
        reader.read_next_batch()
        dc.load(pa.table({"n": range(3, 6)}), url, if_exists="replace")
        with pytest.raises(dc.SourceUnreachableError, match="was replaced while it was read"):
            reader.read_all()


def test_damage_is_told_from_a_broken_connection(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dc.load(TABLE, url)
    reader = dc.fetch(url)

    def fail(*_: object, **__: object) -> bytes:
        raise OSError("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "cat_file", fail)
        with pytest.raises(dc.SourceUnreachableError, match="connection reset.*the network"):
            reader.read_all()
        with pytest.raises(dc.SourceUnreachableError, match="connection reset"):
            dc.fetch(url)
    file = tmp_path / "rows.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(dc.CorruptSourceError, match=r"rows\.parquet.*restore"):
        dc.fetch(url)


def test_what_is_not_allowed_is_never_tried_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(Bucket, "info", refuse)
    with pytest.raises(dc.AccessDeniedError, match="Access Denied.*credentials"):
        dc.fetch(url, retries=5)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("s3://key:s3cr3t@bucket/rows.parquet", "a password in a s3:// URL.*environment"),
        ("https://user:s3cr3t@host/rows.csv", "a password in a https:// URL"),
        ("gs://bucket/rows.parquet?token=s3cr3t", "cannot open gs://bucket/rows.parquet: .*gcsfs"),
        ("abfs://box@bank/rows.csv?sig=s3cr3t", "cannot open abfs://box@bank/rows.csv: .*adlfs"),
        ("memory://s3cr3t::file:///rows.csv", "cannot read the memory: URL"),
    ],
)
def test_what_cannot_be_opened_says_so_without_secrets(url: str, problem: str) -> None:
    with pytest.raises(dc.UnsupportedSourceError, match=problem) as caught:
        dc.fetch(url)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("secret", ["s3c%2Fr3t"])
def test_a_signature_in_a_url_is_not_shown(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    url = f"s3://bucket/rows.csv?sig={secret}"

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"403 for {url}, {unquote(url)} and {secret}")

    monkeypatch.setattr(Bucket, "info", fail)
    with pytest.raises(dc.SourceUnreachableError, match="403 for s3://bucket/rows.csv") as caught:
        dc.fetch(url)
    assert "r3t" not in repr(parse(url)) + "".join(traceback.format_exception(caught.value))


def test_a_file_system_too_old_to_create_exclusively_may_only_replace(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = Bucket.put_file

    def old(self: object, lpath: str, rpath: str) -> None:
        put_file(self, lpath, rpath)

    monkeypatch.setattr(Bucket, "put_file", old)
    with pytest.raises(dc.UnsupportedSourceError, match="too old to create objects exclusively"):
        dc.load(TABLE, url)
    assert dc.load(TABLE, url, if_exists="replace") == 2


def test_each_file_system_has_its_word_for_creating() -> None:
    def too_old(lpath: str, rpath: str) -> None: ...

    assert options_to_create(Bucket.put_file) == {"mode": "create"}
    assert options_to_create(AzureBucket.put_file) == {"overwrite": False}
    assert options_to_create(too_old) == {}
