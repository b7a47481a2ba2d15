"""TLS before a server that has none: what a managed database looks like from outside."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_HANDSHAKE_TIMEOUT = 5.0  # seconds: so long the end waits for a client that says nothing


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate that its own key has signed, and the key; PEM files."""

    certificate: Path
    key: Path


def identity(folder: Path, address: str) -> Identity:
    """A new one in `folder`, for a server at an IP address."""
    made = Identity(folder / f"{address}.pem", folder / f"{address}.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=test", "-addext"),
            *(f"subjectAltName=IP:{address}", "-keyout", str(made.key), "-out"),
            str(made.certificate),
        ],
        check=True,
        capture_output=True,
    )
    return made


@contextmanager
def tls_before(server: Path, shown: Identity) -> Iterator[int]:
    """A port of 127.0.0.1 that speaks TLS and passes on to the server's Unix socket."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.certificate, shown.key)
    context.set_alpn_protocols(["postgresql"])  # who names no protocol gets TLS as well
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    sides: list[asyncio.StreamWriter] = []  # of all connections, those that have ended as well

    async def start() -> asyncio.Server:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sides.append(writer)
            from_server, to_server = await asyncio.open_unix_connection(server)
            sides.append(to_server)
            await asyncio.gather(_pump(reader, to_server), _pump(from_server, writer))

        return await asyncio.start_server(
            connected, "127.0.0.1", 0, ssl=context, ssl_handshake_timeout=_HANDSHAKE_TIMEOUT
        )

    async def stop() -> None:
        listening.close()
        at_work = asyncio.all_tasks() - {asyncio.current_task()}
        for side in sides:
            side.transport.abort()  # so that those at work come to their end
        await asyncio.gather(*at_work, return_exceptions=True)
        await asyncio.gather(*(side.wait_closed() for side in sides), return_exceptions=True)

    listening = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # the other side has gone
        while part := await source.read(65_536):
            sink.write(part)
            await sink.drain()
    sink.close()
