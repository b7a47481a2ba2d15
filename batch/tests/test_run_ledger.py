"""What a run leaves behind for another process to go on from."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_proc.errors import ResumeError
from batch_proc.run_ledger import run_folder
from batch_proc.whole_files import whole_file, write_parquet
from data_connector.errors import WriteError

FINGERPRINT = {"input": {"a.parquet": [10, 20]}, "model": ["fraud", 1]}


def test_what_is_done_is_found_by_the_next_to_resume(tmp_path: Path) -> None:
    with run_folder(tmp_path / "work", resume=False) as folder:
        run = folder.begin(FINGERPRINT)
        assert not run.is_resumed
        run.keep("plan.json", [1, 2])
        run.step("stage").finish(3, {"rows": 7})
    with run_folder(tmp_path / "work", resume=True) as folder:
        run = folder.begin(FINGERPRINT)
        assert run.is_resumed
        assert run.kept("plan.json") == [1, 2]
        assert run.kept("other.json") is None
        assert run.step("stage").done() == {3: {"rows": 7}}


def test_without_resume_nothing_of_it_is_left(tmp_path: Path) -> None:
    with run_folder(tmp_path / "work", resume=False) as folder:
        before = folder.begin(FINGERPRINT)
        before.step("stage").finish(3, {"rows": 7})
    with run_folder(tmp_path / "work", resume=False) as folder:
        run = folder.begin(FINGERPRINT)
        assert run.step("stage").done() == {}
        # A task of the killed run that still works finds no place to write to.
        with pytest.raises(WriteError):
            before.step("stage").finish(4, {"rows": 1})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input": {"a.parquet": [10, 21]}}, "input: a.parquet: [10, 20], now [10, 21]"),
        ({"model": ["fraud", 2]}, "model: ['fraud', 1], now ['fraud', 2]"),
    ],
)
def test_a_run_of_something_else_does_not_go_on(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    with run_folder(tmp_path / "work", resume=False) as folder:
        folder.begin(FINGERPRINT)
    with (
        run_folder(tmp_path / "work", resume=True) as folder,
        pytest.raises(ResumeError, match=r"cannot resume") as error,
    ):
        folder.begin({**FINGERPRINT, **changed})
    assert message in str(error.value)


def test_two_runs_do_not_work_in_one_folder(tmp_path: Path) -> None:
    with (
        run_folder(tmp_path / "work", resume=False),
        pytest.raises(WriteError, match="another run is at work"),
        run_folder(tmp_path / "work", resume=True),
    ):
        pass


def test_a_removed_run_is_gone(tmp_path: Path) -> None:
    with run_folder(tmp_path / "work", resume=False) as folder:
        folder.begin(FINGERPRINT)
        folder.remove()
    assert not (tmp_path / "work").exists()


def write_again(path: Path, value: int) -> None:
    for _ in range(20):
        write_parquet(path, pa.table({"x": [value] * 1_000}))


def test_of_two_tasks_that_write_a_file_one_wins_whole(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    context = multiprocessing.get_context("spawn")
    tasks = [context.Process(target=write_again, args=(path, value)) for value in (1, 2)]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert [task.exitcode for task in tasks] == [0, 0]
    assert pq.read_table(path)["x"].unique().to_pylist() in ([1], [2])
    assert [it.name for it in tmp_path.iterdir()] == ["part.parquet"]


def write_half(path: Path) -> None:
    with whole_file(path) as aside:
        aside.write_text("half")
        raise ZeroDivisionError


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert path.read_text() == "before"
    assert [it.name for it in tmp_path.iterdir()] == ["record.json"]
