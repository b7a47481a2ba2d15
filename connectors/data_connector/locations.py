"""Where data lies: a database's URL, an object's, or a file's path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, urlsplit

from data_connector.errors import SourceNotFoundError, UnsupportedSourceError

if TYPE_CHECKING:
    from sqlalchemy import URL

# A Windows drive is no scheme: two letters at least.
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")

# Options of a URL whose values are secrets, beside its password.
_SECRET_OPTIONS = frozenset({"password", "passfile", "sslpassword", "oauth_client_secret"})


# Object storage whose file systems (s3fs, gcsfs, adlfs) can ask the server to create an object only
# if it is not there; others would look first and write then. `memory` is for tests, in one process.
OBJECT_STORES = ("abfs", "abfss", "az", "gcs", "gs", "memory", "s3", "s3a")

# Those, and what can only be read.
OBJECT_SCHEMES = (*OBJECT_STORES, "http", "https")


@dataclass(frozen=True, slots=True)
class FileLocation:
    """A file, or a folder of files."""

    path: Path

    @property
    def scheme(self) -> str:
        """`file`."""
        return "file"

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class ObjectLocation:
    """An object, or a folder of them, in object storage or behind HTTP."""

    url: str

    @property
    def scheme(self) -> str:
        """The URL's: `s3`, `gs`, `abfs`, ..."""
        return self.url.partition(":")[0].lower()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return urlsplit(self.url).path.rstrip("/").rpartition("/")[2]

    def __str__(self) -> str:
        # A query may be a signature.
        parts = urlsplit(self.url)
        return f"{self.scheme}://{parts.netloc}{parts.path}"

    def __repr__(self) -> str:
        return f"ObjectLocation({self})"

    def redact(self, text: str) -> str:
        """`text` without what follows this URL's path."""
        query = urlsplit(self.url).query
        secrets = {query, *(option.partition("=")[2] for option in query.split("&"))}
        spellings = {spelling for secret in secrets for spelling in (secret, unquote(secret))}
        for spelling in sorted(filter(None, spellings), key=len, reverse=True):
            text = text.replace(spelling, "***")
        return text


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """A database behind a SQLAlchemy URL."""

    url: URL

    @property
    def scheme(self) -> str:
        """The database's name, without the driver's: `sqlite`, `postgresql`."""
        return self.url.get_backend_name()

    def __str__(self) -> str:
        # Options may be secrets too, so that only what names the database is shown.
        return self.url.set(query={}).render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"DatabaseLocation({self})"

    def redact(self, text: str) -> str:
        """`text` without this URL's secrets, in whatever spelling a driver repeats them."""
        secrets = [str(self.url.password)] if self.url.password else []
        for option, value in self.url.query.items():
            if option.lower() in _SECRET_OPTIONS:
                secrets += [value] if isinstance(value, str) else value
        spellings = {
            spelling
            for s in secrets
            if s
            for spelling in (s, repr(s)[1:-1], quote(s), quote_plus(s))
        }
        for spelling in sorted(spellings, key=len, reverse=True):
            text = text.replace(spelling, "***")
        return text


Location = FileLocation | ObjectLocation | DatabaseLocation


def parse(source: str | os.PathLike[str] | URL) -> Location:
    """The location that `source` names.

    Args:
        source: a path, a `file://` URL, an object's, a SQLAlchemy URL, or where such a URL is
            kept: `env:NAME` for an environment variable, `secret-file:/path` for a file.

    Raises:
        UnsupportedSourceError: the URL cannot be read. The message shows nothing but its scheme,
            since a password may stand anywhere in a malformed one.
        SourceNotFoundError: there is no such variable or file.
    """
    if isinstance(source, os.PathLike):
        return FileLocation(Path(source))
    if not isinstance(source, str):
        return DatabaseLocation(source)
    source = where_kept(source)
    scheme = _SCHEME.match(source)
    if scheme is None:
        if not source:
            raise UnsupportedSourceError("the source is empty: give a path or a URL")
        return FileLocation(Path(source))
    if scheme[1].lower() == "file":
        return FileLocation(file_path(source))
    if scheme[1].lower() in OBJECT_SCHEMES:
        return ObjectLocation(_object_url(source, scheme[1]))
    return DatabaseLocation(_database_url(source, scheme[1]))


def file_path(url: str) -> Path:
    """The path in a `file:` URL.

    Raises:
        UnsupportedSourceError: it names another host.
    """
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise UnsupportedSourceError(
            f"a file URL must lie on this machine, got host {parts.hostname!r}: "
            "write file:///absolute/path"
        )
    return Path(unquote(parts.path))


def scheme_of(url: str) -> str | None:
    """The scheme of a URL in lower case; None for a path."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else None


def where_kept(source: str) -> str:
    """The URL that `env:NAME` or `secret-file:/path` holds; any other source as it is.

    Raises:
        SourceNotFoundError: there is no such variable or file.
        UnsupportedSourceError: what it holds is no URL. It is never shown.
    """
    scheme = scheme_of(source)
    if scheme not in ("env", "secret-file"):
        return source
    name = source[len(scheme) + 1 :]
    try:
        held = os.environ[name] if scheme == "env" else Path(name).read_text(encoding="utf-8")
    except (KeyError, OSError, UnicodeDecodeError) as error:
        kind = "environment variable" if scheme == "env" else "file"
        raise SourceNotFoundError(
            f"cannot read the {kind} {name!r} ({type(error).__name__}): put the source's URL there"
        ) from None
    held = held.strip()
    url = _SCHEME.match(held)
    # Anything else may be a password that was put in the wrong place.
    if url is None or not held[url.end() :].startswith("//"):
        raise UnsupportedSourceError(
            f"what {source} holds is no URL: write postgresql://user:password@host:port/database"
        )
    return held


def _object_url(source: str, scheme: str) -> str:
    rest = source[len(scheme) :]
    try:
        netloc = urlsplit(source).netloc
    except ValueError:
        netloc = ""
    # An absolute path in place of a bucket is for tests.
    if not rest.startswith("://") or rest.strip(":/") == "" or "::" in rest:
        raise UnsupportedSourceError(
            f"cannot read the {scheme}: URL: write {scheme}://bucket/folder/rows.parquet"
        )
    if ":" in netloc.rpartition("@")[0]:
        raise UnsupportedSourceError(
            f"a password in a {scheme}:// URL: leave it out; credentials are taken from the "
            "environment, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return source


def _database_url(source: str, scheme: str) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    if not source[len(scheme) :].startswith("://"):
        raise UnsupportedSourceError(
            f"cannot read the {scheme}: source: a URL starts with {scheme}://"
        )
    try:
        return make_url(source)
    except (ArgumentError, ValueError):
        # Not chained: the original message may quote parts of the URL.
        raise UnsupportedSourceError(
            f"cannot read the {scheme}:// URL: write {scheme}://user:password@host:port/database, "
            "with @ : / and % in a password as %40 %3A %2F %25"
        ) from None
