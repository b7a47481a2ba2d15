"""Entries in a folder: whole or not there, never more than was allowed, the least used first to go.

    cas/ab/ab12…   a blob; its name is its SHA-256
    ac/cd/cd34…    the result of the action so named, after the SHA-256 of these bytes
    uploads/       what is on its way in

An entry gets its name when it is complete. Nothing is flushed to the disk for it: instead, whatever
is read for the first time since the start is compared with its checksum, so that a machine that
lost power, or a disk that lies, costs an entry and nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader, FileIO
from pathlib import Path

from tools.cache.action_result import UnreadableError, references

AC, CAS = "ac", "cas"
SUM = hashlib.sha256().digest_size  # bytes before the content of an AC entry
EMPTY = hashlib.sha256().hexdigest()  # of the blob without bytes
MAX_RESULT = 16 << 20  # bytes, in memory while they come; a thousand outputs take 0.1 MB
_BLOCK = 4096  # what the smallest file takes of a disk


class StoreError(Exception):
    """The folder cannot be used; the message says why and what to do."""


class RefusedError(Exception):
    """An upload that is not taken: what it brought is not what it says."""


class FullError(Exception):
    """There is no room for an upload."""


@dataclass(slots=True)
class Counts:
    """What happened since the start."""

    evicted: int = 0
    """Entries that had to go to make room."""
    evicted_bytes: int = 0
    corrupt: int = 0
    """Entries that were not what was stored; each was dropped, and its reader told of a miss."""
    incomplete: int = 0
    """Results of actions that were not served because a blob of theirs was gone."""


@dataclass(slots=True)
class _Entry:
    size: int
    """Bytes of the file."""
    sound: bool
    """Whether its content was compared with its checksum since the start."""


@dataclass(slots=True)
class Blob:
    """A blob that is being read: what happens to its entry does not disturb that."""

    file: BufferedReader
    size: int


@dataclass(slots=True)
class Upload:
    """What is on its way in; `abort` ends it, and keeps what `commit` took."""

    kind: str
    digest: str
    file: FileIO
    path: Path
    size: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    content: bytearray = field(default_factory=bytearray)
    """Of the result of an action, which is small; a blob goes to the disk at once."""
    committed: bool = False


def on_disk(size: int) -> int:
    """The bytes that a file of `size` takes: whole blocks."""
    return -(-size // _BLOCK) * _BLOCK


class Store:
    """The entries of `folder`, at most `max_bytes` on disk, uploads that have not ended included.

    Its methods may be called from any thread. One process at a time uses a folder.

    Raises:
        StoreError: another process uses the folder.
        OSError: the folder cannot be read or written.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.counts = Counts()
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()  # least used first
        self._used = 0
        self._lock = threading.Lock()
        for name in (AC, CAS, "uploads"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._owner = (folder / "lock").open("w")
        try:
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._owner.close()
            raise StoreError(
                f"another server uses {folder}: stop it, or name another folder with --folder"
            ) from error
        for left in (folder / "uploads").iterdir():
            left.unlink()
        self._find_entries()

    def close(self) -> None:
        """Leaves the folder to another process."""
        self._owner.close()

    @property
    def used(self) -> int:
        """Bytes on disk, uploads that have not ended included."""
        return self._used

    def entries(self) -> dict[str, int]:
        """How many entries there are, by kind."""
        with self._lock:
            results = sum(kind == AC for kind, _ in self._entries)
            return {AC: results, CAS: len(self._entries) - results}

    # --- Reading ------------------------------------------------------------------------------

    def blob(self, digest: str) -> Blob | None:
        """The blob, to be read and closed; None where there is none."""
        entry = self._touch(CAS, digest)
        if entry is None:
            return None
        try:
            file = self._path(CAS, digest).open("rb")
        except FileNotFoundError:  # evicted just now, or removed by hand
            return None
        try:
            if self._is_sound(file, digest, entry):
                return Blob(file=file, size=entry.size)
        except BaseException:
            file.close()
            raise
        file.close()
        self._drop_corrupt(CAS, digest, entry)
        return None

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is there; it then counts as used."""
        return self._touch(CAS, digest) is not None

    def result(self, digest: str) -> bytes | None:
        """The result of an action; None where there is none, or a blob that it names is gone."""
        entry = self._touch(AC, digest)
        if entry is None:
            return None
        try:
            stored = self._path(AC, digest).read_bytes()
        except FileNotFoundError:
            return None
        content = stored[SUM:]
        if not hmac.compare_digest(stored[:SUM], hashlib.sha256(content).digest()):
            self._drop_corrupt(AC, digest, entry)
            return None
        try:
            # All of them, not up to the first that is missing: each counts as used.
            there = [self.has_blob(needed) for needed in references(content, self._small)]
        except UnreadableError:
            self._drop_corrupt(AC, digest, entry)
            return None
        if not all(there):
            with self._lock:
                self.counts.incomplete += 1
            return None
        return content

    # --- Writing ------------------------------------------------------------------------------

    def begin(self, kind: str, digest: str) -> Upload:
        """An upload, nothing of which can be seen before `commit`."""
        descriptor, path = tempfile.mkstemp(dir=self.folder / "uploads")
        upload = Upload(kind, digest, FileIO(descriptor, "wb"), Path(path))
        if kind == AC:
            self._write(upload, bytes(SUM))
        return upload

    def add(self, upload: Upload, piece: bytes) -> None:
        """Adds to an upload, making room for it.

        Raises:
            FullError: there is no room for it.
            RefusedError: it is too long for the result of an action.
            OSError: the disk is full, perhaps.
        """
        upload.sha256.update(piece)
        if upload.kind == AC:
            upload.content += piece
            if len(upload.content) > MAX_RESULT:
                raise RefusedError(f"the result of an action has at most {MAX_RESULT:,} bytes")
        self._write(upload, piece)

    def commit(self, upload: Upload) -> None:
        """Makes the upload an entry, if it is what it says.

        Raises:
            RefusedError: a blob is not what its digest says, a result is none; nothing is kept.
        """
        self._check(upload)
        if upload.kind == AC:
            os.pwrite(upload.file.fileno(), upload.sha256.digest(), 0)
        upload.file.close()
        final = self._path(upload.kind, upload.digest)
        final.parent.mkdir(exist_ok=True)
        with self._lock:  # an eviction must not remove the new file for the old entry
            upload.path.rename(final)
            before = self._entries.pop((upload.kind, upload.digest), None)
            if before is not None:
                self._used -= on_disk(before.size)
            # A blob was compared just now; a result is compared whenever it is read.
            self._entries[upload.kind, upload.digest] = _Entry(upload.size, sound=True)
            upload.committed = True

    def abort(self, upload: Upload) -> None:
        """Forgets an upload, unless `commit` made an entry of it."""
        if upload.committed:
            return
        upload.file.close()
        upload.path.unlink(missing_ok=True)
        with self._lock:
            self._used -= on_disk(upload.size)

    def check_writable(self) -> None:
        """Raises `OSError` where nothing can be written."""
        with tempfile.TemporaryFile(dir=self.folder / "uploads", buffering=0) as file:
            file.write(bytes(_BLOCK))

    # --- Inside -------------------------------------------------------------------------------

    def _write(self, upload: Upload, piece: bytes) -> None:
        size = upload.size + len(piece)
        if on_disk(size) > self.max_bytes:
            raise FullError(f"it is larger than the {self.max_bytes:,} bytes of --max-size")
        with self._lock:
            self._make_room(on_disk(size) - on_disk(upload.size))
        upload.size = size
        rest = memoryview(piece)
        while rest:  # a full disk takes a part first, and says so when asked again
            rest = rest[upload.file.write(rest) :]

    def _make_room(self, needed: int) -> None:
        """Takes `needed` bytes of what is allowed, evicting as long as there is too little."""
        while self._used + needed > self.max_bytes:
            if not self._entries:
                raise FullError(
                    f"all {self.max_bytes:,} bytes of --max-size are taken by uploads under way"
                )
            (kind, digest), entry = next(iter(self._entries.items()))
            self._remove(kind, digest)
            self.counts.evicted += 1
            self.counts.evicted_bytes += entry.size
        self._used += needed

    def _remove(self, kind: str, digest: str) -> None:
        entry = self._entries.pop((kind, digest))
        self._used -= on_disk(entry.size)
        self._path(kind, digest).unlink(missing_ok=True)

    def _drop_corrupt(self, kind: str, digest: str, seen: _Entry) -> None:
        with self._lock:
            # Unless somebody brought it anew meanwhile.
            if self._entries.get((kind, digest)) is seen:
                self._remove(kind, digest)
                self.counts.corrupt += 1

    def _check(self, upload: Upload) -> None:
        if upload.kind == CAS:
            found = upload.sha256.hexdigest()
            if found != upload.digest:
                raise RefusedError(
                    f"these {upload.size:,} bytes have the SHA-256 {found}, not {upload.digest}"
                )
            return
        try:
            # Only that it can be read: whether its blobs are there is asked when it is served.
            list(references(bytes(upload.content), lambda _: None))
        except UnreadableError as error:
            raise RefusedError(str(error)) from error

    def _touch(self, kind: str, digest: str) -> _Entry | None:
        """The entry, now the last to go; None where there is none."""
        with self._lock:
            entry = self._entries.get((kind, digest))
            if entry is None:
                return None
            self._entries.move_to_end((kind, digest))
        now = time.time_ns()
        try:  # the order outlives this process
            os.utime(self._path(kind, digest), ns=(now, now))
        except FileNotFoundError:  # evicted just now, or removed by hand
            with self._lock:
                if self._entries.get((kind, digest)) is entry:
                    self._remove(kind, digest)
            return None
        return entry

    @staticmethod
    def _is_sound(file: BufferedReader, digest: str, entry: _Entry) -> bool:
        """Whether a blob's file is what was stored: its size every time, its content once."""
        if os.fstat(file.fileno()).st_size != entry.size:
            return False
        if not entry.sound:
            entry.sound = hashlib.file_digest(file, "sha256").hexdigest() == digest
            file.seek(0)
        return entry.sound

    def _small(self, digest: str) -> bytes | None:
        """A blob in memory: the list of a folder's files."""
        blob = self.blob(digest)
        if blob is None:
            return None
        with blob.file:
            return blob.file.read()

    def _path(self, kind: str, digest: str) -> Path:
        return self.folder / kind / digest[:2] / digest

    def _find_entries(self) -> None:
        """The entries that earlier processes left, in the order of their last use."""
        found = sorted(self._files())
        for _, kind, digest, size in found:
            self._entries[kind, digest] = _Entry(size, sound=False)
            self._used += on_disk(size)
        self._make_room(0)  # less may be allowed than was before

    def _files(self) -> Iterator[tuple[int, str, str, int]]:
        for kind in (AC, CAS):
            for file in (self.folder / kind).glob("??/" + "?" * len(EMPTY)):
                stat = file.stat()
                yield stat.st_mtime_ns, kind, file.name, stat.st_size
