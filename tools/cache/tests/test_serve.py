"""The server as Bazel and people meet it: over HTTP, in a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from tools.cache import app as app_module
from tools.cache import serve
from tools.cache.app import CacheApp
from tools.cache.store import EMPTY, Store, Upload
from tools.cache.tests.messages import result
from tools.cache.tests.running_cache import TOKEN, WRITER, RunningCache, running_cache

MB = 1 << 20
ANYONE: dict[str, str] = {}
HELLO = hashlib.sha256(b"hello").hexdigest()
ACTION = "a" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(folder: Path) -> Iterator[RunningCache]:
    with running_cache(folder) as running:
        yield running


# --- Who may do what ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
    ],
)
def test_nobody_writes_without_the_token(cache: RunningCache, headers: dict[str, str]) -> None:
    refused = cache.ask("PUT", f"/cas/{HELLO}", b"hello", headers)
    assert refused.status == 401 and refused.headers["www-authenticate"] == "Bearer"
    assert cache.ask("PUT", f"/ac/{ACTION}", result(), headers).status == 401
    assert cache.ask("GET", f"/cas/{HELLO}").status == 404
    assert cache.status()["denied"] == 2


def test_everyone_reads(cache: RunningCache) -> None:
    cache.put(b"hello")
    assert cache.ask("PUT", f"/ac/{ACTION}", result(b"hello")).status == 200
    assert cache.ask("GET", f"/cas/{HELLO}", headers=ANYONE).body == b"hello"
    assert cache.ask("GET", f"/ac/{ACTION}", headers=ANYONE).body == result(b"hello")
    head = cache.ask("HEAD", f"/cas/{HELLO}", headers=ANYONE)
    assert (head.status, head.headers["content-length"], head.body) == (200, "5", b"")
    assert cache.ask("GET", f"/cas/{EMPTY}", headers=ANYONE).body == b""


def test_nobody_deletes(cache: RunningCache) -> None:
    path = cache.put(b"hello")
    assert [cache.ask(method, path).status for method in ("DELETE", "POST")] == [405, 405]
    assert cache.ask("GET", path).body == b"hello"


def test_an_old_and_a_new_token_work_side_by_side(folder: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{'new' * 10}\n{TOKEN}\n")
    with running_cache(folder, "--token-file", str(tokens), token=None) as cache:
        for token in ("new" * 10, TOKEN):
            shown = {"Authorization": f"Bearer {token}"}
            assert cache.ask("PUT", f"/cas/{HELLO}", b"hello", shown).status == 200


def test_a_token_is_made_once_for_its_owner_only(folder: Path) -> None:
    for _ in range(2):
        with running_cache(folder, token=None) as cache:
            file = folder / "token"
            assert file.stat().st_mode & 0o777 == 0o600
            shown = {"Authorization": f"Bearer {file.read_text().strip()}"}
            assert cache.ask("PUT", f"/cas/{HELLO}", b"hello", shown).status == 200
            for path in ("/token", "/cas/../token", f"/cas/{'.' * 61}/../token"):
                assert cache.ask("GET", path).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/cas/../../escaped",
        "/cas/..%2f..%2fescaped",
        f"/cas/%2e%2e/{HELLO}",
        f"/cas/{HELLO.upper()}",
        f"/cas/{HELLO[:-1]}",
        f"/cas/{HELLO}/",
        f"/cas/{HELLO}%0a",
        f"//cas/{HELLO}",
        f"/uploads/{HELLO}",
    ],
)
def test_only_the_name_of_an_entry_is_a_path(cache: RunningCache, folder: Path, path: str) -> None:
    before = sorted(folder.parent.rglob("*"))
    assert cache.ask("PUT", path, b"hello").status == 404
    assert cache.ask("GET", path).status == 404
    assert sorted(folder.parent.rglob("*")) == before


# --- What is taken --------------------------------------------------------------------------------


def test_a_blob_that_is_not_its_name_is_refused(cache: RunningCache) -> None:
    refused = cache.ask("PUT", f"/cas/{HELLO}", b"hello, poisoned")
    assert refused.status == 400 and b"have the SHA-256" in refused.body
    assert cache.ask("GET", f"/cas/{HELLO}").status == 404
    assert cache.status()["refused"] == 1


def test_an_upload_is_not_seen_before_its_end_nor_after_it_broke_off(cache: RunningCache) -> None:
    connection = cache.connect()
    connection.putrequest("PUT", f"/cas/{HELLO}")
    connection.putheader("Authorization", WRITER["Authorization"])
    connection.putheader("Content-Length", "5")
    connection.endheaders(b"hel")
    assert cache.ask("GET", f"/cas/{HELLO}").status == 404
    connection.close()
    while cache.status()["refused"] == 0:
        assert cache.ask("GET", f"/cas/{HELLO}").status == 404
    assert cache.status()["used_bytes"] == 0


def test_a_server_killed_in_the_middle_of_an_upload_keeps_what_was_whole(folder: Path) -> None:
    with running_cache(folder) as cache:
        whole = cache.put(b"whole")
        connection = cache.connect()
        connection.putrequest("PUT", f"/cas/{HELLO}")
        connection.putheader("Authorization", WRITER["Authorization"])
        connection.putheader("Content-Length", str(3 * MB))
        connection.endheaders(b"x" * (2 * MB))
        while not sum(file.stat().st_size for file in (folder / "uploads").iterdir()):
            assert cache.ask("GET", f"/cas/{HELLO}").status == 404
        cache.kill()
        connection.close()
        assert len(list((folder / "uploads").iterdir())) == 1
    with running_cache(folder) as cache:
        assert cache.ask("GET", whole).body == b"whole"
        assert cache.ask("GET", f"/cas/{HELLO}").status == 404
        assert not list((folder / "uploads").iterdir())
        assert cache.status()["used_bytes"] == 4096


def test_what_has_no_room_is_told_so(folder: Path) -> None:
    with running_cache(folder, "--max-size", "1M") as cache:
        kept = cache.put(b"kept")
        large = bytes(2 * MB)
        refused = cache.ask("PUT", f"/cas/{hashlib.sha256(large).hexdigest()}", large)
        assert refused.status == 507 and b"larger than the 1,048,576 bytes" in refused.body
        assert cache.ask("GET", kept).body == b"kept"


def test_large_blobs_pass_through_little_memory(cache: RunningCache) -> None:
    def peak() -> int:
        status = Path(f"/proc/{cache.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    piece, n = os.urandom(MB), 96
    sha256 = hashlib.sha256()
    for _ in range(n):
        sha256.update(piece)
    path = f"/cas/{sha256.hexdigest()}"
    cache.put(b"warm")
    before = peak()
    sent = cache.ask(
        "PUT", path, (piece for _ in range(n)), WRITER | {"Content-Length": f"{n * MB}"}
    )
    assert sent.status == 200
    connection = cache.connect()
    connection.request("GET", path)
    answer = connection.getresponse()
    assert all(answer.read(MB) == piece for _ in range(n)) and not answer.read()
    connection.close()
    assert peak() - before < 24 * MB


# --- A disk that is full or read-only, inside the application -------------------------------------


class Asked:
    """One request, straight to the application."""

    def __init__(self, app: CacheApp, method: str, path: str, body: bytes | None = b"") -> None:
        self.status, self.body = 0, b""
        self._sent = body
        headers = [(name.lower().encode(), value.encode()) for name, value in WRITER.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": headers}
        asyncio.run(app(scope, self._receive, self._take))

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._sent is None:  # nothing comes, and nobody hangs up
            await asyncio.get_running_loop().create_future()
        return {"type": "http.request", "body": self._sent, "more_body": False}

    async def _take(self, message: MutableMapping[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")


def test_a_full_disk_is_told_and_survived(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(folder, 10 * MB)
    app = CacheApp(store, [TOKEN])
    assert Asked(app, "PUT", f"/cas/{HELLO}", b"hello").status == 200
    begin = Store.begin

    def on_full_disk(self: Store, kind: str, digest: str) -> Upload:
        upload = begin(self, kind, digest)
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            os.dup2(full.fileno(), upload.file.fileno())
        return upload

    monkeypatch.setattr(Store, "begin", on_full_disk)
    other = hashlib.sha256(b"other").hexdigest()
    refused = Asked(app, "PUT", f"/cas/{other}", b"other")
    assert refused.status == 507 and b"is full: make room" in refused.body
    assert Asked(app, "GET", f"/cas/{HELLO}").body == b"hello"
    monkeypatch.undo()
    assert Asked(app, "PUT", f"/cas/{other}", b"other").status == 200
    store.close()


def test_an_upload_that_stalls_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "STALLED", 0.01)
    store = Store(folder, 10 * MB)
    assert Asked(CacheApp(store, [TOKEN]), "PUT", f"/cas/{HELLO}", None).status == 408
    assert store.used == 0 and not list((folder / "uploads").iterdir())
    store.close()


def test_health_tells_when_nothing_can_be_written(folder: Path) -> None:
    store = Store(folder, 10 * MB)
    app = CacheApp(store, [TOKEN])
    assert json.loads(Asked(app, "GET", "/health").body) == {"status": "ok"}
    (folder / "uploads").rmdir()
    sick = Asked(app, "GET", "/health")
    assert sick.status == 503 and json.loads(sick.body)["status"] == "read-only"
    assert Asked(app, "PUT", f"/cas/{HELLO}", b"hello").status == 500
    store.close()


# --- What it tells --------------------------------------------------------------------------------


def test_the_status_counts(cache: RunningCache) -> None:
    assert b"no lookups yet" in cache.ask("GET", "/status").body
    cache.put(b"hello")
    cache.ask("PUT", f"/ac/{ACTION}", result(b"hello"))
    cache.ask("PUT", f"/ac/{'b' * 64}", result(b"gone"))
    for action in (ACTION, ACTION, ACTION, "b" * 64):
        cache.ask("GET", f"/ac/{action}")
    cache.ask("GET", f"/cas/{HELLO}")
    cache.ask("GET", f"/cas/{'c' * 64}")
    told = cache.status()
    assert told["hit_rate"] == 0.75
    assert (told["lookups"], told["hits"], told["incomplete"]) == (4, 3, 1)
    assert (told["blob_reads"], told["blob_hits"]) == (2, 1)
    assert (told["results"], told["blobs"], told["writes"]) == (2, 1, 3)
    assert told["used_bytes"] == 3 * 4096 and told["max_bytes"] == 20 << 30
    assert told["bytes_out"] == 3 * len(result(b"hello")) + len(b"hello")
    page = cache.ask("GET", "/status")
    assert page.headers["content-type"].startswith("text/html") and b"75.0% hits" in page.body


def test_it_speaks_tls(folder: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    with running_cache(folder, "--tls-cert", str(certificate), "--tls-key", str(key)) as cache:
        assert cache.url.startswith("https://")
        path = f"/cas/{HELLO}"
        assert cache.ask("PUT", path, b"hello", certificate=certificate).status == 200
        assert cache.ask("GET", path, certificate=certificate).body == b"hello"


# --- How it is started ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--max-size", "much"], "--max-size much: give a number"),
        (["--max-size", "1K"], "at least 1M"),
        (["--token-file", "/nowhere"], "/nowhere: there is no such file"),
        (["--tls-cert", "/dev/null"], "give both or none"),
        (["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "/nowhere: there is no such file"),
    ],
)
def test_wrong_usage_is_told(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve.main(["--folder", str(tmp_path / "cache"), "--port", "0", *options]) == 2
    assert told in capsys.readouterr().err


def test_a_short_token_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRAUD_CACHE_TOKEN", "secret")
    assert serve.main(["--folder", str(tmp_path / "cache"), "--port", "0"]) == 2
    told = capsys.readouterr().err
    assert "at least 16 characters" in told and "secret" not in told


def test_what_is_taken_already_is_told(
    cache: RunningCache, tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    port = str(cache.address[1])
    assert serve.main(["--folder", str(tmp_path / "other"), "--port", port]) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
    assert serve.main(["--folder", str(folder), "--port", "0"]) == 1
    assert f"another server uses {folder}" in capsys.readouterr().err


def test_it_ends_well_when_told_to(folder: Path) -> None:
    with running_cache(folder) as cache:
        cache.put(b"hello")
        cache.process.terminate()
        assert cache.process.wait() in (0, -15)


def test_sizes() -> None:
    told = [serve.size_of(text) for text in ("2000000", "2M", "3G", "1T")]
    assert told == [2000000, 2 << 20, 3 << 30, 1 << 40]
