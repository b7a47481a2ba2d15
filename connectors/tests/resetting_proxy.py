"""A server's socket with somebody in between, who resets connections as told."""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress

import sqlalchemy as sa


class Proxy:
    """Stands between clients and a server's Unix socket, and resets connections as it is told.

    Args:
        server: the URL of the server.
        down: reset after so many bytes from the server.
        up: reset after so many bytes to the server.
        unanswered: reset in place of the server's answer to a message that holds this.
        cuts: how many connections to treat so; later ones are left alone.
    """

    def __init__(
        self,
        server: str,
        *,
        down: int = 1 << 60,
        up: int = 1 << 60,
        unanswered: bytes | None = None,
        cuts: int = 1_000,
    ) -> None:
        self._server = sa.make_url(server)
        self._limits = {"down": down, "up": up}
        self._unanswered = unanswered
        self._cuts = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepting = threading.Thread(target=self._accept)
        port = self._listener.getsockname()[1]
        if self._server.get_backend_name() == "postgresql":
            self._socket = f"{self._server.query['host']}/.s.PGSQL.5432"
            options = {"sslmode": "disable"}
        else:
            self._socket = str(self._server.query["unix_socket"])
            options = {}
        through = self._server.set(host="127.0.0.1", port=port, query=options)
        self.url = through.render_as_string(hide_password=False)

    def __enter__(self) -> Proxy:
        self._accepting.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        carrying = []
        with suppress(OSError):  # the listener was shut down
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._carry, args=(client, self._cuts > 0))
                self._cuts -= 1
                carrying.append(thread)
                thread.start()
        for thread in carrying:
            thread.join()

    def _carry(self, client: socket.socket, cut: bool) -> None:  # noqa: FBT001
        server = socket.socket(socket.AF_UNIX)
        with client, server, suppress(OSError):
            server.connect(self._socket)
            left = dict(self._limits)
            withhold = False
            while True:
                source = select.select([client, server], [], [])[0][0]
                way, sink = ("up", server) if source is client else ("down", client)
                data = source.recv(65_536)
                if not data:
                    return
                if cut and (left[way] < len(data) or (withhold and way == "down")):
                    sink.sendall(b"" if withhold else data[: left[way]])
                    # With nothing to linger for, to close is to reset.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                left[way] -= len(data)
                withhold = withhold or (self._unanswered or b"\0never\0") in data
                sink.sendall(data)
