"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from data_connector.atomic import lock, written_whole
from data_connector.errors import DiskFullError, TargetExistsError, WriteError


def test_nobody_sees_the_file_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with written_whole(path, replace=True) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with written_whole(tmp_path / "file", replace=False) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_of_two_writers_of_a_new_file_the_second_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def overtaken() -> None:
        with written_whole(path, replace=False) as second:
            with written_whole(path, replace=False) as first:
                first.write(b"first")
            second.write(b"second")

    with pytest.raises(TargetExistsError):
        overtaken()
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_leftover_goes_and_a_writer_s_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    leftover = tmp_path / ".file.0123.partial"
    leftover.write_text("half")
    other = tmp_path / ".other.0123.partial"
    other.write_text("of another file")
    with written_whole(path, replace=True) as one:
        assert not leftover.exists()
        with written_whole(path, replace=True) as two:
            assert Path(one.name).exists()
            two.write(b"two")
        one.write(b"one")
    assert path.read_bytes() == b"one"
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_a_full_disk_has_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError), written_whole(tmp_path / "file", replace=True):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "file", replace=True):
        raise FileNotFoundError  # the source's


def test_a_folder_that_refuses_is_an_error(tmp_path: Path) -> None:
    name = "x" * 255  # leaves no room for the name aside
    with pytest.raises(WriteError, match="too long"), written_whole(tmp_path / name, replace=True):
        pass


def test_a_lock_is_held_by_one_opening_until_it_closes(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one = os.open(path, os.O_CREAT | os.O_RDWR)
    two = os.open(path, os.O_RDWR)
    try:
        assert lock(one, wait=False)
        assert not lock(two, wait=False)
        os.close(one)
        assert lock(two, wait=False)
    finally:
        os.close(two)
