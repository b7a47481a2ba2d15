"""Whatever becomes of the cache, a build neither fails nor builds something else. Real builds."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.cache.tests.builds import Builder, Built
from tools.cache.tests.running_cache import RunningCache, running_cache

RIGHT = "ANYTHING\nfirst turn\n"
Build = Callable[..., Built]


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    # A short path, not below /tmp, where Bazel cannot live.
    with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR", "/var/tmp")) as folder:
        made = Builder(Path(folder), Path(os.environ["USED_BAZEL"]).absolute())
        yield made
        made.shutdown()


@pytest.fixture(autouse=True)
def fresh(builder: Builder) -> None:
    builder.write("source.txt", "anything\n")
    builder.write("turn.txt", "first turn\n")
    builder.forget()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def filled(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cache that CI has filled."""
    folder = tmp_path_factory.mktemp("filled")
    with running_cache(folder) as cache:
        assert right(builder.ci(cache.url))
    return folder


@pytest.fixture
def warm(filled: Path, folder: Path, fresh: None) -> Iterator[RunningCache]:
    """A cache that CI has filled; the clone is fresh."""
    shutil.copytree(filled, folder)
    with running_cache(folder) as cache:
        yield cache


@pytest.fixture(params=["developer", "ci"])
def build(request: pytest.FixtureRequest, builder: Builder) -> Build:
    """Either way to build."""
    return builder.ci if request.param == "ci" else builder.build


def blobs(folder: Path) -> list[Path]:
    return [file for file in (folder / "cas").glob("*/*") if file.stat().st_size]


def right(built: Built) -> bool:
    """Whether it passed, and the files that were made are those that had to be."""
    assert built.status == 0, built.output
    assert built.last in ("", RIGHT), built.last  # CI does not fetch what nobody needs
    return True


# --- As it should be ------------------------------------------------------------------------------


def test_a_fresh_clone_takes_what_ci_built(warm: RunningCache, build: Build) -> None:
    built = build(warm.url)
    assert right(built) and (built.hits, built.ran) == (4, 1), built.output  # the test is two
    assert warm.status()["hit_rate"] == 1


def test_a_developer_does_not_write(builder: Builder, folder: Path) -> None:
    with running_cache(folder) as cache:
        assert right(builder.build(cache.url))
        assert (cache.status()["writes"], cache.status()["denied"]) == (0, 0)


def test_ci_without_the_token_reads(warm: RunningCache, builder: Builder) -> None:
    writes = warm.status()["writes"]
    builder.write("source.txt", "something else\n")
    assert builder.ci(warm.url, token="").status == 0
    assert (warm.status()["writes"], warm.status()["denied"]) == (writes, 0)


def test_a_wrong_token_costs_the_upload_only(builder: Builder, folder: Path) -> None:
    with running_cache(folder) as cache:
        assert right(builder.ci(cache.url, token="not-the-right-token"))
        assert cache.status()["writes"] == 0 < cache.status()["denied"]


def test_without_a_cache_ci_builds(builder: Builder) -> None:
    built = builder.ci("")
    assert right(built) and (built.hits, built.ran) == (0, 5)


def test_a_disk_cache_serves_what_this_machine_has_built(builder: Builder) -> None:
    assert right(builder.build("", "--config=disk"))
    builder.forget()
    built = builder.build("", "--config=disk")
    assert right(built) and (built.hits, built.ran) == (4, 1)
    assert (builder.home / ".cache/fraud-detect/disk-cache/cas").is_dir()


# --- Entries that are wrong -----------------------------------------------------------------------


def poison(file: Path) -> None:
    file.write_bytes(bytes(byte ^ 32 for byte in file.read_bytes()))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize("harm", [poison, cut])
def test_blobs_that_were_harmed_on_the_server(
    warm: RunningCache, folder: Path, build: Build, harm: Callable[[Path], None]
) -> None:
    for blob in blobs(folder):
        harm(blob)
    assert right(build(warm.url))
    assert warm.status()["corrupt"]


def test_blobs_that_the_server_hands_out_poisoned(
    warm: RunningCache, folder: Path, build: Build
) -> None:
    for blob in blobs(folder):
        assert warm.ask("GET", f"/cas/{blob.name}").status == 200  # compared: it trusts them now
        poison(blob)
    assert right(build(warm.url))
    assert not warm.status()["corrupt"]  # it was Bazel that saw it


@pytest.mark.parametrize("harm", [poison, cut])
def test_results_that_were_harmed_on_the_server(
    warm: RunningCache, folder: Path, builder: Builder, harm: Callable[[Path], None]
) -> None:
    for file in (folder / "ac").glob("*/*"):
        harm(file)
    built = builder.build(warm.url)
    assert right(built) and built.hits == 0 and warm.status()["corrupt"]


def test_entries_evicted_in_the_middle_of_a_build(
    warm: RunningCache, folder: Path, build: Build
) -> None:
    assert right(build(warm.url, meanwhile=f"rm -r {folder}/cas/*"))


# --- A server that is gone ------------------------------------------------------------------------


def test_a_server_killed_in_the_middle_of_a_build(
    warm: RunningCache, builder: Builder, build: Build
) -> None:
    # The end is built anew, of what came from the cache.
    builder.write("turn.txt", "another turn\n")
    built = build(warm.url, meanwhile=f"kill -9 {warm.process.pid}")
    assert built.status == 0, built.output
    assert warm.process.wait() == -9
    assert built.last == "ANYTHING\nanother turn\n"
    assert built.hits
    # CI had not fetched what the end needs.
    assert ("once more without the cache" in built.output) == (build == builder.ci)


def test_a_server_gone_before_the_build(warm: RunningCache, build: Build) -> None:
    warm.kill()
    built = build(warm.url)
    assert right(built) and built.hits == 0


def test_a_server_gone_before_the_next_build(
    warm: RunningCache, builder: Builder, build: Build
) -> None:
    assert right(build(warm.url))
    warm.kill()
    builder.write("turn.txt", "another turn\n")
    built = build(warm.url)
    assert built.status == 0, built.output
    assert built.last in ("", "ANYTHING\nanother turn\n")


def test_a_server_that_takes_connections_and_says_nothing(builder: Builder) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        host, port = silent.getsockname()
        assert right(builder.build(f"http://{host}:{port}", "--remote_timeout=1s"))
