"""The JVM that tests get is the repository's, and what needs one runs on it."""

import os
import subprocess
from pathlib import Path

from pyspark.sql import SparkSession

JAVA = Path(os.environ["JAVA_HOME"]) / "bin/java"


def java(option: str) -> str:
    done = subprocess.run([JAVA, option], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_it_is_java_21() -> None:
    assert 'version "21.' in java("-version")


def test_it_has_the_module_that_spark_vectorises_with() -> None:
    assert "jdk.incubator.vector" in java("--list-modules")


def test_it_comes_from_the_build_not_from_path() -> None:
    assert ".runfiles/" in str(JAVA)


def test_spark_runs_on_it(tmp_path: Path) -> None:
    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.warehouse.dir", str(tmp_path))
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    try:
        properties = session.sparkContext._jvm.java.lang.System  # type: ignore[union-attr]
        assert properties.getProperty("java.version").startswith("21.")
        assert session.range(1000).selectExpr("sum(id)").first()[0] == 499500  # type: ignore[index]
    finally:
        session.stop()
