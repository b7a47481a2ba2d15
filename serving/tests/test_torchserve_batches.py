"""TorchServe waits microseconds for others to join a request; those that do are a batch."""

import importlib.util
import threading
import zipfile
from pathlib import Path

import psutil
import pytest
from payments import bodies_of, small_simulation
from server import ask, running_server, settings_in

from data_connector import open_journal
from fraud_detect.torchserve_batches import wait_microseconds

MODEL = "org/pytorch/serve/wlm/Model.class"


@pytest.fixture
def frontend() -> Path:
    found = importlib.util.find_spec("ts")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "frontend" / "model-server.jar"


def threads_of_java() -> set[str]:
    """The names of its threads, of which the system knows 15 characters."""
    (java,) = [it for it in psutil.Process().children(recursive=True) if it.name() == "java"]
    tasks = Path(f"/proc/{java.pid}/task")
    return {(task / "comm").read_text().rstrip() for task in tasks.iterdir()}


def test_a_class_differs_in_its_unit_alone(frontend, tmp_path) -> None:
    wait_microseconds(frontend, tmp_path)
    with zipfile.ZipFile(frontend) as jar:
        theirs = jar.read(MODEL)
    ours = (tmp_path / MODEL).read_bytes()
    assert ours.replace(b"MICROSECONDS", b"MILLISECONDS") == theirs != ours


def test_a_class_of_another_version_is_left_as_it_is(frontend, tmp_path, caplog) -> None:
    other = tmp_path / "other.jar"
    with zipfile.ZipFile(frontend) as jar, zipfile.ZipFile(other, "w") as changed:
        changed.writestr(MODEL, jar.read(MODEL) + b" ")
    classes = tmp_path / "classes"
    classes.mkdir()
    wait_microseconds(other, classes)
    assert list(classes.iterdir()) == []
    assert "unknown TorchServe" in caplog.text


def test_requests_wait_microseconds_for_others_and_a_pool_takes_each_batch(tmp_path) -> None:
    alone, *together = bodies_of(small_simulation().transactions.slice(0, 4))
    replies = []

    def send(body: bytes) -> None:
        replies.append(ask(server.ports.inference, "/predictions/fraud", body))

    # 3 s; were it milliseconds, the first would not be answered within the hour.
    with running_server(tmp_path, batch_size=3, batch_delay_us=3_000_000) as server:
        send(alone)
        threads = [threading.Thread(target=send, args=[body]) for body in together]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert "ForkJoinPool.co" in threads_of_java()
    assert [reply.status for reply in replies] == [200] * 4
    with open_journal(settings_in(tmp_path).feature_store) as journal:
        assert len(journal.since(0)) == 2
