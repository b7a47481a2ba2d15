"""The shared build cache: read by everyone, written by who has the token.

    ./bazelw run //tools/cache:serve
    ./bazelw run //tools/cache:serve -- --host 0.0.0.0 --folder /var/cache/builds --max-size 200G

Ends on SIGTERM and Ctrl-C, after the requests under way.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import resource
import secrets
import socket
import sys
from pathlib import Path

import uvicorn

from tools.cache.app import CacheApp
from tools.cache.store import Store, StoreError

SHORTEST = 16  # characters of a token
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LEAST = 1 << 20  # bytes of a cache
_KEEP_ALIVE = 300  # seconds: Bazel's connections are idle while a test runs


class UsageError(Exception):
    """An option cannot be used; the exit code is 2."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 stopped by a signal, 1 failed, 2 wrong usage."""
    # `bazel run` starts programs in a folder of its own; paths are relative to the user's.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    given = _parser().parse_args(arguments)
    try:
        serve(given)
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except (StoreError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:  # uvicorn has ended by then, and raises the signal once more
        pass
    return 0


def serve(given: argparse.Namespace) -> None:
    """Serves until a signal comes; what it says first is where."""
    _check_tls(given.tls_cert, given.tls_key)
    store = Store(given.folder.absolute(), size_of(given.max_size))
    try:
        tokens, where = tokens_of(given.token_file, store.folder)
        listening = _listen(given.host, given.port)
        address = "{}://{}:{}".format(
            "https" if given.tls_cert else "http", _named(given.host), listening.getsockname()[1]
        )
        entries = sum(store.entries().values())
        sys.stdout.write(
            f"build cache: {address} ({entries:,} entries in {store.folder}, "
            f"at most {given.max_size})\n"
            f"  to read it:   export FRAUD_CACHE_URL={address}\n"
            f"  to write it:  export FRAUD_CACHE_TOKEN=... (from {where})\n"
            f"  hit rate:     {address}/status\n"
        )
        sys.stdout.flush()
        logging.basicConfig(format="%(asctime)s %(message)s")
        _raise_open_files()
        config = uvicorn.Config(
            CacheApp(store, tokens),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=10,
            ssl_certfile=given.tls_cert,
            ssl_keyfile=given.tls_key,
        )
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        store.close()


def size_of(text: str) -> int:
    """Bytes of `10G`: K, M, G and T are powers of 1024."""
    match = re.fullmatch(r"(\d+)([KMGT]?)", text)
    if match is None or int(match[1]) * _UNITS[match[2]] < _LEAST:
        raise UsageError(f"--max-size {text}: give a number and K, M, G or T, at least 1M: 20G")
    return int(match[1]) * _UNITS[match[2]]


def tokens_of(file: Path | None, folder: Path) -> tuple[list[str], str]:
    """The tokens that may write, and where they are from.

    A file's lines, so that a new token and an old one work side by side; else FRAUD_CACHE_TOKEN;
    else those of a file in the cache's folder, made with one token where there is none.
    """
    if file is not None:
        if not file.is_file():
            raise UsageError(f"--token-file {file}: there is no such file")
        return _checked(file.read_text(encoding="utf-8").split(), f"--token-file {file}"), str(file)
    if named := os.environ.get("FRAUD_CACHE_TOKEN"):
        return _checked([named], "FRAUD_CACHE_TOKEN"), "FRAUD_CACHE_TOKEN, as set here"
    own = folder / "token"
    if not own.exists():
        aside = folder / "token.new"
        aside.unlink(missing_ok=True)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:  # noqa: PTH123 (its mode)
            new.write(f"{secrets.token_urlsafe(32)}\n")
        aside.rename(own)
    return _checked(own.read_text(encoding="utf-8").split(), str(own)), str(own)


def _checked(tokens: list[str], where: str) -> list[str]:
    if not tokens or not all(len(token) >= SHORTEST and token.isascii() for token in tokens):
        raise UsageError(
            f"{where}: a token has at least {SHORTEST} characters, all ASCII, none blank; "
            "`openssl rand -hex 32` makes one"
        )
    return tokens


def _check_tls(certificate: Path | None, key: Path | None) -> None:
    """Raises `UsageError` where the two cannot be used together."""
    if (certificate is None) != (key is None):
        raise UsageError("--tls-cert and --tls-key belong together: give both or none")
    for file in (certificate, key):
        if file is not None and not file.is_file():
            raise UsageError(f"{file}: there is no such file")


def _listen(host: str, port: int) -> socket.socket:
    """A socket that already takes connections, so that who reads our address can use it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --host or --port"
        ) from error


def _named(host: str) -> str:
    """The host as others may know it."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _raise_open_files() -> None:
    """As many files open at once as the system lets us have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _default_folder() -> Path:
    """Beside what `bazelw` keeps; never in the workspace, which Bazel searches for packages."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if Path(cache).is_absolute() else Path("~/.cache").expanduser()) / (
        "fraud-detect/build-cache"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="serve", description="The shared build cache.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for all (%(default)s)")
    add("--port", type=int, default=8980, help="0 for any that is free (%(default)s)")
    add("--folder", type=Path, default=_default_folder(), help="of the entries (%(default)s)")
    add("--max-size", default="20G", metavar="SIZE", help="on disk: 500M, 20G (%(default)s)")
    add(
        "--token-file",
        type=Path,
        metavar="PATH",
        help="tokens that may write, one a line (FRAUD_CACHE_TOKEN, else FOLDER/token, "
        "which is made)",
    )
    add("--tls-cert", type=Path, metavar="PATH", help="certificate chain, PEM: serve HTTPS")
    add("--tls-key", type=Path, metavar="PATH", help="its key, PEM")
    return parser


if __name__ == "__main__":
    sys.exit(main())
