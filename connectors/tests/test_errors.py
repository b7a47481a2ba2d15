"""Errors say what was wrong, what to do, and never a password."""

from __future__ import annotations

import errno
import socket
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import data_connector as dc
from data_connector.errors import is_disk_full, listed


def free_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@settings(max_examples=25, deadline=None)
@given(word=st.text(st.characters(min_codepoint=33, codec="utf-8"), min_size=1, max_size=20))
def test_no_message_or_traceback_shows_the_password(word: str) -> None:
    password = f"s3cr3t{word}"
    url = sa.URL.create(
        "postgresql", "fraud", password, "127.0.0.1", free_port(), "db", {"sslpassword": password}
    )
    with pytest.raises(dc.SourceUnreachableError) as caught:
        dc.list_tables(url.render_as_string(hide_password=False))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "s3cr3t" not in shown
    assert "127.0.0.1" in shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://fraud:s3cr3t@host:port/db",
        "postgresql://fraud:s3c/s3cr3t@host:54x/db",
        "postgresql:fraud:s3cr3t@host",
        "oracle://fraud:s3cr3t@host/db",
        "mysql://fraud:s3cr3t@host:port/db",
        "mysql+mysqldb://fraud:s3cr3t@host/db",
        "mariadb://fraud:s3cr3t@host",
        "mysql://fraud@host/db?passwd=s3cr3t",
        "nosuch+driver://fraud:s3cr3t@host/db",
        "postgresql+asyncpg://fraud:s3cr3t@host/db",
        "postgresql://fraud@/db?password=s3cr3t&nonsense=1",
    ],
)
def test_a_url_that_is_wrong_shows_no_password(url: str) -> None:
    with pytest.raises(dc.ConnectorError) as caught:
        dc.list_tables(url)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_the_password_of_a_url_that_the_server_refuses_is_not_shown(postgresql: str) -> None:
    wrong = sa.make_url(postgresql).set(password="s3cr3t").render_as_string(hide_password=False)
    with pytest.raises(dc.SourceUnreachableError, match="password authentication failed") as caught:
        dc.list_tables(wrong)
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))


def test_every_error_is_a_connector_error() -> None:
    for name in dc.__all__:
        value = getattr(dc, name)
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, dc.ConnectorError)


def test_a_mismatch_names_column_and_row() -> None:
    error = dc.SchemaMismatchError("wrong", column="amount", row=7)
    assert str(error) == "column 'amount', row 7: wrong"
    assert (error.column, error.row) == ("amount", 7)


def test_a_full_disk_is_named_by_its_mount(tmp_path: Path) -> None:
    message = str(dc.DiskFullError.at(tmp_path / "not" / "there"))
    mount = message.split("mounted at ")[1].split(" (")[0]
    assert Path(mount).is_mount()
    assert tmp_path.is_relative_to(mount)


def test_a_full_disk_and_a_full_quota_are_told_from_other_errors() -> None:
    assert is_disk_full(OSError(errno.ENOSPC, "full"))
    assert is_disk_full(OSError(errno.EDQUOT, "quota"))
    assert not is_disk_full(OSError(errno.EACCES, "denied"))
    assert not is_disk_full(ValueError())


def test_long_lists_are_cut() -> None:
    assert listed([]) == "none"
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(map(str, range(25)), limit=2) == "'0', '1' and 23 more"
