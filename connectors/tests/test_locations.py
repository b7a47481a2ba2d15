"""A source is a path or a URL, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from data_connector.backends import open_backend
from data_connector.errors import SourceNotFoundError, UnsupportedSourceError
from data_connector.locations import DatabaseLocation, FileLocation, file_path, parse, scheme_of


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("data/rows.csv", "data/rows.csv"),
        (Path("rows.csv"), "rows.csv"),
        ("file:///tmp/a%20b.csv", "/tmp/a b.csv"),
        ("file://localhost/tmp/rows.csv", "/tmp/rows.csv"),
        ("FILE:///tmp/rows.csv", "/tmp/rows.csv"),
        ("C:rows.csv", "C:rows.csv"),
    ],
)
def test_paths_and_file_urls_are_files(source: str | Path, path: str) -> None:
    assert parse(source) == FileLocation(Path(path))


def test_a_file_url_of_another_host_is_refused() -> None:
    with pytest.raises(UnsupportedSourceError, match="'nas'"):
        file_path("file://nas/rows.csv")


@pytest.mark.parametrize(
    ("source", "scheme"),
    [("sqlite:///a.db", "sqlite"), ("postgresql+psycopg://u@h/d", "postgresql")],
)
def test_other_urls_are_databases(source: str, scheme: str) -> None:
    assert parse(source).scheme == scheme
    assert parse(sa.make_url(source)) == parse(source)


@pytest.mark.parametrize("source", ["", "sqlite:a.db", "postgresql://h:x/d", "s3://"])
def test_what_cannot_be_read_is_refused(source: str) -> None:
    with pytest.raises(UnsupportedSourceError):
        open_backend(parse(source))


def test_a_location_shows_neither_password_nor_options() -> None:
    location = parse("postgresql://fraud:s3cr3t@host/db?sslpassword=s3cr3t")
    assert str(location) == "postgresql://fraud:***@host/db"
    assert "s3cr3t" not in repr(location)


def test_secrets_are_taken_out_of_texts_in_every_spelling() -> None:
    location = parse("postgresql://fraud:a%20%2Fb@host/db?password=x%26y")
    assert isinstance(location, DatabaseLocation)
    assert location.redact("a /b, a%20/b, a+%2Fb, x&y, x%26y, db") == "***, ***, ***, ***, ***, db"


def test_a_scheme_is_told_from_a_path() -> None:
    assert scheme_of("S3://bucket") == "s3"
    assert scheme_of("/a/b:c") is None


def test_a_url_may_be_kept_in_a_variable_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://fraud:s3cr3t@host/db"
    monkeypatch.setenv("FRAUD_SOURCE", f" {url}\n")
    (tmp_path / "a secret").write_text(f"{url}\n")
    for source in ("env:FRAUD_SOURCE", f"secret-file:{tmp_path}/a secret"):
        assert parse(source) == parse(url)
        assert "s3cr3t" not in repr(parse(source))


def test_a_variable_or_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="variable 'NO_SUCH_SOURCE'.*put the source"):
        parse("env:NO_SUCH_SOURCE")
    with pytest.raises(SourceNotFoundError, match="file '/no/such/file'"):
        parse("secret-file:/no/such/file")


@pytest.mark.parametrize("held", ["s3cr3t", "", "s3cr3t:5432", "postgresql://s3cr3t:x/y:z"])
def test_what_they_hold_is_not_shown(held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_SOURCE", held)
    with pytest.raises(UnsupportedSourceError) as caught:
        parse("env:FRAUD_SOURCE")
    assert "s3cr3t" not in str(caught.value)
