"""The cache's HTTP: what Bazel's `--remote_cache=http://…` speaks, and two pages.

    GET, HEAD /cas/SHA256, /ac/SHA256    a blob, the result of an action: 200 or 404
    PUT       /cas/SHA256, /ac/SHA256    with the token: 200, or why not
    GET       /health, /status, /status.json

An ASGI application. Files are read and written in threads, a piece at a time, and no faster than
the other side takes or brings them: memory does not depend on how large a blob is.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from tools.cache.status import Traffic, figures, page
from tools.cache.store import AC, EMPTY, Blob, FullError, RefusedError, Store, Upload

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PIECE = 1 << 20  # bytes that go to a file, or come from it, at once
STALLED = 60.0  # seconds without a byte after which an upload has been given up

_ENTRY = re.compile(r"/(ac|cas)/([0-9a-f]{64})")
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_log = logging.getLogger("cache")


class _GoneError(Exception):
    """The caller hung up, or stopped sending."""


class CacheApp:
    """Serves `store`; whoever shows one of `tokens` may write."""

    def __init__(self, store: Store, tokens: Sequence[str]) -> None:
        self.store = store
        self.traffic = Traffic()
        self._tokens = [token.encode() for token in tokens]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        method, path = scope["method"], scope["path"]
        entry = _ENTRY.fullmatch(path)
        if entry and method in ("GET", "HEAD"):
            await self._read(entry[1], entry[2], send, body=method == "GET")
        elif entry and method == "PUT":
            await self._write(entry[1], entry[2], scope, receive, send)
        elif entry:
            await _answer(send, 405, "an entry is read by GET and written by PUT")
        elif method in ("GET", "HEAD"):
            await self._page(path, send)
        else:
            await _answer(send, 404, "the entries are /cas/SHA256 and /ac/SHA256")

    # --- Pages --------------------------------------------------------------------------------

    async def _page(self, path: str, send: Send) -> None:
        if path == "/health":
            status, told = await asyncio.to_thread(self._health)
            await _answer(send, status, json.dumps(told), "application/json")
        elif path == "/status.json":
            told = figures(self.store, self.traffic)
            await _answer(send, 200, json.dumps(told, indent=2), "application/json")
        elif path in ("/", "/status"):
            told = figures(self.store, self.traffic)
            await _answer(send, 200, page(told), "text/html; charset=utf-8")
        else:
            await _answer(send, 404, "see /status")

    def _health(self) -> tuple[int, dict[str, str]]:
        """503 where nothing can be written; what is there is still served."""
        try:
            self.store.check_writable()
        except OSError as error:
            return 503, {"status": "read-only", "reason": self._why(error)}
        return 200, {"status": "ok"}

    # --- Reading ------------------------------------------------------------------------------

    async def _read(self, kind: str, digest: str, send: Send, *, body: bool) -> None:
        if kind == AC:
            result = await asyncio.to_thread(self.store.result, digest)
            self.traffic.lookups += 1
            self.traffic.hits += result is not None
            if result is None:
                await _answer(send, 404, "no result of this action")
            else:
                await self._send_bytes(result, send, body=body)
        elif digest == EMPTY:
            await self._send_bytes(b"", send, body=body)
        else:
            blob = await asyncio.to_thread(self.store.blob, digest)
            self.traffic.blob_reads += 1
            self.traffic.blob_hits += blob is not None
            if blob is None:
                await _answer(send, 404, "no such blob")
            else:
                with blob.file:
                    await self._send_blob(blob, send, body=body)

    async def _send_bytes(self, content: bytes, send: Send, *, body: bool) -> None:
        await _start(send, 200, len(content), "application/octet-stream")
        await send({"type": "http.response.body", "body": content if body else b""})
        self.traffic.bytes_out += len(content) if body else 0

    async def _send_blob(self, blob: Blob, send: Send, *, body: bool) -> None:
        await _start(send, 200, blob.size, "application/octet-stream")
        left = blob.size if body else 0
        while left:
            piece = await asyncio.to_thread(blob.file.read, min(PIECE, left))
            if not piece:  # the file shrank: the caller sees too few bytes, and takes none
                raise OSError(f"a blob of {blob.size} bytes ended {left} bytes too soon")
            left -= len(piece)
            self.traffic.bytes_out += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    # --- Writing ------------------------------------------------------------------------------

    async def _write(
        self, kind: str, digest: str, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        if not self._may_write(scope):
            self.traffic.denied += 1
            await _answer(send, 401, "only who has the token may write", bearer=True)
            return
        status, reason = await self._stored(kind, digest, receive)
        if reason:
            self.traffic.refused += 1
            _log.warning("%s/%s: %s", kind, digest, reason)
        await _answer(send, status, reason)

    async def _stored(self, kind: str, digest: str, receive: Receive) -> tuple[int, str]:
        """The status of an upload, and why it was not taken; "" where it was."""
        try:
            upload = await asyncio.to_thread(self.store.begin, kind, digest)
            try:
                await self._take(upload, receive)
                await asyncio.to_thread(self.store.commit, upload)
            finally:
                # Even where this task is cancelled: what is not an entry by now never will be.
                await asyncio.shield(asyncio.to_thread(self.store.abort, upload))
        except RefusedError as error:
            return 400, f"not taken: {error}"
        except FullError as error:
            return 507, f"no room: {error}"
        except OSError as error:
            return 507 if error.errno in _FULL_DISK else 500, self._why(error)
        except _GoneError:
            return 408, "the upload stopped before its end"
        self.traffic.writes += 1
        self.traffic.bytes_in += upload.size
        return 200, ""

    async def _take(self, upload: Upload, receive: Receive) -> None:
        """Brings the body of a request into the upload."""
        gathered = bytearray()
        more = True
        while more:
            try:
                async with asyncio.timeout(STALLED):
                    message = await receive()
            except TimeoutError as error:
                raise _GoneError from error
            if message["type"] == "http.disconnect":
                raise _GoneError
            gathered += message.get("body", b"")
            more = message.get("more_body", False)
            if len(gathered) >= PIECE or (gathered and not more):
                await asyncio.to_thread(self.store.add, upload, bytes(gathered))
                gathered.clear()

    def _may_write(self, scope: MutableMapping[str, Any]) -> bool:
        shown = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = shown.partition(b" ")
        # All of them, whichever fits: how long it takes tells nothing.
        fits = [hmac.compare_digest(token.strip(), known) for known in self._tokens]
        return scheme.lower() == b"bearer" and any(fits)

    def _why(self, error: OSError) -> str:
        if error.errno in _FULL_DISK:
            return f"the disk that holds {self.store.folder} is full: make room there"
        return f"cannot write to {self.store.folder}: {error.strerror}"


async def _answer(
    send: Send,
    status: int,
    text: str,
    kind: str = "text/plain; charset=utf-8",
    *,
    bearer: bool = False,
) -> None:
    content = f"{text}\n".encode() if text else b""
    await _start(send, status, len(content), kind, bearer=bearer)
    await send({"type": "http.response.body", "body": content})


async def _start(send: Send, status: int, size: int, kind: str, *, bearer: bool = False) -> None:
    headers = [(b"content-length", str(size).encode()), (b"content-type", kind.encode())]
    if bearer:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
