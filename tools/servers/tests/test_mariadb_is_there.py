"""A real MariaDB runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.servers.mariadb import mariadb_running


def test_a_server_starts_and_starts_again_after_it_was_killed() -> None:
    with mariadb_running("s3cr3t") as server:
        socket = Path(str(server.url.query["unix_socket"]))
        assert socket.is_socket()
        server.kill()
        with pytest.raises(RuntimeError, match="does not run"):
            server.kill()
        server.start()
    assert not socket.parent.exists()
