"""Files in object storage: read by ranges of bytes, written aside on this machine and uploaded.

An object appears when its upload ends, whole, so that nobody ever reads half of one.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import pyarrow as pa
from pyarrow import fs

from data_connector.atomic import disk_errors
from data_connector.errors import (
    AccessDeniedError,
    CommitUnknownError,
    ConnectorError,
    SourceNotFoundError,
    SourceUnreachableError,
    TargetExistsError,
    UnsupportedSourceError,
)
from data_connector.files import FileBackend, format_of
from data_connector.locations import OBJECT_STORES, ObjectLocation
from data_connector.object_creation import cannot_create, write


def open_objects(location: ObjectLocation) -> FileBackend:
    """The backend for an object, or for a folder of Parquet objects.

    Raises:
        UnsupportedSourceError: the scheme's file system is not installed, or refuses the URL.
    """
    try:
        files, path = fsspec.url_to_fs(location.url)
    except ImportError as error:
        raise UnsupportedSourceError(f"cannot open {location}: {error}") from error
    except Exception as error:
        problem = location.redact(str(error))
        raise UnsupportedSourceError(f"cannot open {location}: {problem}") from None
    found = StoredObject(location, files, path.rstrip("/"))
    return FileBackend(found, format_of(found))


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object, or one folder of them."""

    location: ObjectLocation
    store: Any
    path: str
    is_remote: bool = True

    def __str__(self) -> str:
        return str(self.location)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.location.name

    @property
    def files(self) -> fs.FileSystem:
        """Where Arrow reads it from."""
        return fs.PyFileSystem(_Ranged(self))

    def exists(self) -> bool:
        """Whether an object or a folder is there."""
        return self._kind() is not None

    def is_dir(self) -> bool:
        """Whether it is a folder: the beginning of other objects' names."""
        return self._kind() == "directory"

    @contextmanager
    def unchanged(self, path: str) -> Iterator[None]:
        """Raise `SourceUnreachableError` if another object took the place of `path` meanwhile."""
        before = self._state(path)
        yield
        if self._state(path) != before:
            raise SourceUnreachableError(f"{self} was replaced while it was read: fetch again")

    def redact(self, text: str) -> str:
        """`text` without the URL's secrets."""
        return self.location.redact(text)

    def check_writable(self, *, replace: bool) -> None:
        """Check that an object can be written whole, and with `replace` false, by one only.

        Raises:
            UnsupportedSourceError: it cannot.
        """
        if self.location.scheme not in OBJECT_STORES:
            raise UnsupportedSourceError(
                f"{self.location.scheme}:// is for reading only: load into a file, a database, or "
                f"one of {', '.join(OBJECT_STORES)}"
            )
        if not replace and (problem := cannot_create(self.store, "put_file")):
            raise UnsupportedSourceError(
                f"cannot create {self}: {problem}, or give if_exists='replace'"
            )

    @contextmanager
    def written_whole(self, *, replace: bool) -> Iterator[BinaryIO]:
        """A file on this machine that is uploaded when the block ends, and vanishes in any case.

        Raises:
            TargetExistsError: the object is there, and `replace` is false.
            DiskFullError: no room in the folder for temporary files.
            CommitUnknownError: the upload failed; the object is there whole, or is as before.
        """
        with tempfile.NamedTemporaryFile(prefix="fraud-detect-") as file:
            aside = Path(file.name)
            with disk_errors(aside):
                yield cast(BinaryIO, file)
                file.flush()
            self._upload(aside, replace=replace)

    def _upload(self, aside: Path, *, replace: bool) -> None:
        try:
            write(self.store, "put_file", str(aside), self.path, create=not replace)
        except Exception as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                with self.errors():
                    raise
            # Which error says that it was there differs; a lost connection says nothing.
            lost = isinstance(error, ConnectionError | TimeoutError)
            if not replace and not lost and self.exists():
                raise TargetExistsError(
                    f"{self} exists: give if_exists='append' or 'replace', or another URL"
                ) from None
            raise CommitUnknownError(
                f"the upload to {self} failed ({self._told(error)}): it holds all of the rows, or "
                "is as it was before; look before you load again"
            ) from None

    def _state(self, path: str) -> str:
        with self.errors():
            self.store.invalidate_cache()
            return str(self.store.ukey(path))

    def _kind(self) -> str | None:
        with self.errors():
            self.store.invalidate_cache()  # other processes write there too
            try:
                return str(self.store.info(self.path)["type"])
            except FileNotFoundError:
                return None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What a file system raises, of any kind, as this library's; not chained, for secrets."""
        try:
            yield
        except ConnectorError:
            raise
        except FileNotFoundError:
            raise SourceNotFoundError(f"no object or folder {self}: check the URL") from None
        except PermissionError as error:
            raise AccessDeniedError(
                f"{self} may not be used: {self._told(error)}; check your rights there, and the "
                "credentials in the environment"
            ) from None
        except Exception as error:
            raise SourceUnreachableError(
                f"cannot use {self}: {self._told(error)}; check the URL, your rights there and "
                "the network"
            ) from None

    def _told(self, error: Exception) -> str:
        return self.redact(f"{type(error).__name__}: {error}")


class _Ranged(fs.FSSpecHandler):  # type: ignore[misc]  # pyarrow has no types
    """Lists as fsspec does, and reads nothing that was not asked for."""

    def __init__(self, place: StoredObject) -> None:
        super().__init__(place.store)
        self._place = place

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        with self._place.errors():
            return list(super().get_file_info(paths))

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        with self._place.errors():
            return list(super().get_file_info_selector(selector))

    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(_RangedFile(self._place, path), mode="r")

    def open_input_stream(self, path: str) -> pa.PythonFile:
        return self.open_input_file(path)


class _RangedFile(io.RawIOBase):
    """An object as a file: each read is one request for as many bytes, and keeps none."""

    def __init__(self, place: StoredObject, path: str) -> None:
        self._place = place
        self._path = path
        self._at = 0
        with place.errors():
            size = place.store.info(path)["size"]
        if size is None:
            raise UnsupportedSourceError(
                f"the server does not tell the size of {place}: copy it to this machine first"
            )
        self._size: int = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}
        self._at = starts[whence] + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        left = max(self._size - self._at, 0)
        size = left if size < 0 else min(size, left)
        if size == 0:
            return b""
        start, end = self._at, self._at + size
        with self._place.errors():
            data = bytes(self._place.store.cat_file(self._path, start=start, end=end))
        if len(data) != size:
            raise SourceUnreachableError(
                f"{self._place} answered {len(data)} bytes where {size} were asked for: it was "
                "replaced meanwhile, or the server does not serve ranges of bytes; copy it first"
            )
        self._at = end
        return data
