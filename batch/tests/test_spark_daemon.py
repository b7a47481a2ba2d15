"""Workers import pyspark from where it is installed, and from Spark's archive only without that."""

from __future__ import annotations

import sys
from pathlib import Path

import pyspark
import pytest

from batch_proc.spark_daemon import leave_archive_out
from batch_proc.spark_session import spark_session

ARCHIVE = "/spark/python/lib/pyspark.zip"


def test_the_archive_is_left_out_where_pyspark_is_installed() -> None:
    installed = str(Path(pyspark.__file__).parents[1])
    assert leave_archive_out([ARCHIVE, "/ours", installed]) == ["/ours", installed]
    assert leave_archive_out(["/ours", installed]) == ["/ours", installed]


def test_without_another_the_archive_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = [ARCHIVE, str(tmp_path)]
    monkeypatch.delitem(sys.modules, "pyspark")
    assert leave_archive_out(path) == path


def test_workers_have_the_drivers_pyspark(tmp_path: Path) -> None:
    def where(_: int) -> str:
        import pyspark

        return str(pyspark.__file__)

    with spark_session(tmp_path, master="local[1]") as session:
        found = session.sparkContext.parallelize([1], 1).map(where).collect()
    assert [Path(it) for it in found] == [Path(pyspark.__file__)]
