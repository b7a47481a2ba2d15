"""A feature store in Redis: its refusals, and a server that crashes with and without its log."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from tls_proxy import identity, tls_before

from data_connector.errors import (
    ConflictError,
    CorruptSourceError,
    SourceUnreachableError,
    UnsupportedSourceError,
    WriteError,
)
from data_connector.feature_store import Stored, open_feature_store
from tools.servers.redis import RedisServer, redis_server


@pytest.fixture
def client(redis_session: RedisServer, redis_url: str) -> Iterator[redis.Redis]:
    """The server, past the library."""
    with redis.Redis(unix_socket_path=str(redis_session.socket)) as opened:
        yield opened


def test_a_wrong_password_is_an_error_that_does_not_show_it() -> None:
    with redis_server("--requirepass", "right") as server:
        with open_feature_store(f"unix://:right@{server.socket}") as store:
            assert "right" not in repr(store)
        wrong = f"unix://:s3cr3t@{server.socket}"
        for url in (wrong, server.url, f"{server.url}?password=s3cr3t"):
            with pytest.raises(SourceUnreachableError, match="user and password") as caught:
                open_feature_store(url)
            assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("options", "problem"),
    [("", "WRONG_VERSION_NUMBER"), ("?ssl_ca_certs=/nowhere.pem", "No such file")],
)
def test_a_server_without_tls_and_a_missing_certificate_are_errors_at_once(
    options: str, problem: str
) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4_096)
            connection.sendall(b"-ERR unknown command\r\n")

    with ThreadPoolExecutor(1) as pool, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        pool.submit(answer)
        url = f"rediss://127.0.0.1:{listener.getsockname()[1]}{options}"
        with pytest.raises(SourceUnreachableError, match=f"{problem}.*ssl_ca_certs=FILE"):
            open_feature_store(url)


def test_behind_tls_the_certificate_is_checked(
    tmp_path: Path, redis_session: RedisServer, redis_url: str
) -> None:
    right, elsewhere = identity(tmp_path, "127.0.0.1"), identity(tmp_path, "192.0.2.1")
    with tls_before(redis_session.socket, right) as port:
        url = f"rediss://127.0.0.1:{port}"
        with open_feature_store(f"{url}?ssl_ca_certs={right.certificate}") as store:
            version = store.put_many({"a": Stored(b"value", 0)})
        with open_feature_store(redis_url) as store:
            assert store.get_many(["a"]) == {"a": Stored(b"value", version)}
        for options in ("", f"?ssl_ca_certs={elsewhere.certificate}"):
            with pytest.raises(
                SourceUnreachableError, match="self-signed certificate.*ssl_ca_certs=FILE"
            ):
                open_feature_store(f"{url}{options}")
    with (
        tls_before(redis_session.socket, elsewhere) as port,
        pytest.raises(SourceUnreachableError, match="not valid for '127.0.0.1'"),
    ):
        open_feature_store(f"rediss://127.0.0.1:{port}?ssl_ca_certs={elsewhere.certificate}")


def test_a_server_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError, match=r"none\.sock.*check host, port"):
        open_feature_store(f"unix://{tmp_path}/none.sock")


@pytest.mark.parametrize("url", ["redis://:s3cr3t@host/0?nonsense=1", "unix:///a.sock?db=x"])
def test_a_url_that_is_wrong_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UnsupportedSourceError, match="redis://user:password@") as caught:
        open_feature_store(url)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_keys_of_another_kind_or_format_are_refused(redis_url: str, client: redis.Redis) -> None:
    client.set("{texts}:current", "text")
    client.hset("{newer}:meta", "format", "2")
    for name in ("texts", "newer"):
        with pytest.raises(CorruptSourceError, match=f"'{name}'.*format 1.*another name="):
            open_feature_store(redis_url, name=name)
    client.hset("{features}:current", "a", "short")
    with (
        open_feature_store(redis_url) as store,
        pytest.raises(CorruptSourceError, match="no version at key b'a'"),
    ):
        store.get_many(["a"])


def test_databases_of_a_server_are_apart(redis_url: str) -> None:
    with open_feature_store(redis_url) as store, open_feature_store(f"{redis_url}?db=1") as other:
        store.put_many({"a": Stored(b"1", 0)})
        assert other.get_many(["a"]) == {}


def test_a_server_without_room_refuses_the_whole_put(redis_url: str, client: redis.Redis) -> None:
    with open_feature_store(redis_url) as store:
        version = store.put_many({"a": Stored(b"1", 0)})
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(WriteError, match="nothing was written.*maxmemory"):
                store.put_many({"a": Stored(b"2", version), "b": Stored(b"2", 0)})
            with pytest.raises(WriteError, match="nothing was written.*maxmemory"):
                store.replace_all([("c", b"3")])
        finally:
            client.config_set("maxmemory", 0)
        assert {key: it.value for key, it in store.items()} == {b"a": b"1"}


def test_a_server_that_is_killed_between_read_and_write_is_used_again() -> None:
    with (
        redis_server("--appendonly", "yes", "--appendfsync", "always") as server,
        open_feature_store(server.url) as store,
    ):
        version = store.put_many({"a": Stored(b"1", 0), "b": Stored(b"1", 0)})
        server.kill()
        with pytest.raises(SourceUnreachableError, match="check host, port"):
            store.get_many(["a"])
        server.start()
        # It has kept everything, and forgotten the script.
        version = store.put_many({"a": Stored(b"2", version), "b": Stored(b"2", version)})
        server.kill()
        server.start()
        version = store.put_many({"a": Stored(b"3", version)})
        assert store.get_many(["a"]) == {"a": Stored(b"3", version)}


def test_what_a_server_forgot_is_a_conflict_for_its_writers() -> None:
    with redis_server() as server, open_feature_store(server.url) as store:
        version = store.put_many({"a": Stored(b"1", 0)})
        server.kill()
        server.start()
        assert store.get_many(["a"]) == {}
        with pytest.raises(ConflictError):
            store.put_many({"a": Stored(b"2", version)})
