"""A reader of ours is a reader of Arrow's, and lets go of its source."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from data_connector.streams import OwningReader, as_reader, regrouped

WORD = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema([("n", pa.int64()), ("word", WORD)])


class BrokenError(Exception):
    pass


class Source:
    """Batches, and whether they have been let go."""

    def __init__(self, batches: int = 3, fail_at: int | None = None) -> None:
        self.batches = batches
        self.fail_at = fail_at
        self.yielded = 0
        self.released = 0

    def generate(self) -> Iterator[pa.RecordBatch]:
        for n in range(self.batches):
            if n == self.fail_at:
                raise BrokenError
            self.yielded += 1
            word = pa.array([f"word {n}"]).dictionary_encode()
            yield pa.record_batch([pa.array([n]), word], schema=SCHEMA)

    def release(self) -> None:
        self.released += 1

    def reader(self) -> OwningReader:
        return OwningReader(SCHEMA, self.generate(), self.release)


def test_it_is_lazy() -> None:
    source = Source()
    reader = source.reader()
    assert reader.schema == SCHEMA
    assert source.yielded == 0
    reader.read_next_batch()
    assert (source.yielded, source.released) == (1, 0)


def test_its_batches_are_the_source_s() -> None:
    expected = {"n": [0, 1, 2], "word": ["word 0", "word 1", "word 2"]}
    assert Source().reader().read_all().to_pydict() == expected
    assert Source(0).reader().read_all() == SCHEMA.empty_table()


@pytest.mark.parametrize("value", ["x", None])
@pytest.mark.parametrize(
    ("kind", "nest"),
    [
        (pa.string(), lambda word: word),
        (WORD, lambda word: word),
        (pa.struct([("a", WORD)]), lambda word: {"a": word}),
        (pa.list_(pa.list_(WORD)), lambda word: [[word]]),
        (pa.map_(pa.string(), WORD), lambda word: [("a", word)]),
    ],
    ids=str,
)
def test_batches_of_any_type_pass_unchanged(
    kind: pa.DataType, nest: Callable[[str | None], object], value: str | None
) -> None:
    batches = [
        pa.record_batch({"column": pa.array([nest(value), None, nest(word)], kind)})
        for word in ("first", "second")
    ]
    reader = OwningReader(batches[0].schema, iter(batches))
    assert list(reader) == batches


def test_a_reader_without_columns_has_rows() -> None:
    batch = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    assert OwningReader(batch.schema, iter([batch])).read_all().num_rows == 2


def test_it_lets_go_once_when_exhausted() -> None:
    source = Source()
    with source.reader() as reader:
        reader.read_all()
        assert source.released == 1
    assert source.released == 1


def test_it_lets_go_when_closed_and_is_closed_then() -> None:
    source = Source()
    reader = source.reader()
    reader.read_next_batch()
    reader.close()
    assert source.released == 1
    with pytest.raises(ValueError, match="closed reader"):
        reader.read_next_batch()


def test_it_lets_go_when_closed_or_collected_unread() -> None:
    source = Source()
    source.reader().close()
    assert source.released == 1
    source.reader()
    gc.collect()
    assert source.released == 2


def test_an_error_keeps_its_type_and_lets_go() -> None:
    source = Source(fail_at=1)
    reader = source.reader()
    reader.read_next_batch()
    with pytest.raises(BrokenError):
        reader.read_next_batch()
    assert source.released == 1


def test_arrow_s_own_consumers_read_it_and_let_go(tmp_path: Path) -> None:
    source = Source()
    ds.write_dataset(source.reader(), tmp_path, format="parquet")
    assert ds.dataset(tmp_path).count_rows() == 3
    assert pa.RecordBatchReader.from_stream(source.reader()).read_all().num_rows == 3
    gc.collect()
    assert source.released == 2


def test_tables_batches_and_streams_are_readers_too() -> None:
    table = pa.table({"n": range(10)})
    assert [b.num_rows for b in as_reader(table, batch_rows=4)] == [4, 4, 2]
    assert as_reader(table.to_batches()[0], batch_rows=4).read_all() == table

    class Foreign:
        def __arrow_c_stream__(self, requested: object = None) -> object:
            return table.__arrow_c_stream__(requested)

    assert as_reader(Foreign(), batch_rows=4).read_all() == table
    with pytest.raises(TypeError, match="list"):
        as_reader([1], batch_rows=4)


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 5, 100])
def test_regrouped_batches_are_no_longer_than_asked_and_lose_no_row(batch_rows: int) -> None:
    sizes = [1, 1, 0, 7, 2, 1, 3]
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    batches = [
        pa.record_batch({"n": pa.array(range(start, start + size), pa.int64())})
        for start, size in zip(starts, sizes, strict=True)
    ]
    read = list(regrouped(iter(batches), batch_rows))
    assert max(batch.num_rows for batch in read) <= batch_rows
    assert pa.Table.from_batches(read)["n"].to_pylist() == list(range(15))
    assert len(read) <= 2 * 15 / batch_rows + 1
