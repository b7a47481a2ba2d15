"""A server's socket with somebody in between, who can lose an answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class CuttingProxy:
    """Passes everything on, until told to lose an answer.

    Args:
        path: its own Unix socket.
        server: the server's.
    """

    def __init__(self, path: Path, server: Path) -> None:
        self.path = path
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._lose: Callable[[], object] | None = None
        self._pass = 0
        self._clients: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept)

    def __enter__(self) -> CuttingProxy:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()
        self._acceptor.join()

    def lose_answer(self, then: Callable[[], object] = lambda: None, *, after: int = 0) -> None:
        """When `after` more answers have passed and another comes, do `then`, and cut."""
        self._pass = after
        self._lose = then

    def cut(self) -> None:
        """Cut the connections that there are."""
        for client in self._clients:
            with suppress(OSError):  # over already
                client.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Take no more connections."""
        with suppress(OSError):  # refused already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        pumps = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # refused from now on
                break
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            self._clients.append(client)
            pumps += [
                threading.Thread(target=self._questions, args=(client, server)),
                threading.Thread(target=self._answers, args=(server, client)),
            ]
            for pump in pumps[-2:]:
                pump.start()
        for pump in pumps:
            pump.join()

    def _questions(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):  # cut
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with server, client:
            try:
                while data := server.recv(65536):
                    if self._lose is not None and self._pass == 0:
                        then, self._lose = self._lose, None
                        then()
                        break
                    self._pass -= 1
                    client.sendall(data)
            finally:
                # Wakes the other pump, which ends the server's side.
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
