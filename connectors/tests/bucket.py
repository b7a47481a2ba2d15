"""Object storage in a folder, in the place of s3fs and adlfs: whole objects, created by one only.

Once imported, here and in child processes, `s3:///absolute/folder` is a bucket as s3fs has them,
and `az:///absolute/folder` one as adlfs does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem


class Bucket(LocalFileSystem):
    """What S3 promises and a local file system does not: see `pipe_file`."""

    protocol = ("s3",)

    def __init__(self, **options: Any) -> None:
        super().__init__(auto_mkdir=True, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """All of the object at once, and with `create` only if it is not there."""
        _put(Path(self._strip_protocol(path)), value, mode)

    def put_file(self, path1: str, path2: str, *, mode: str = "overwrite", **_: Any) -> None:
        """As `pipe_file`, from a file."""
        _put(Path(self._strip_protocol(path2)), Path(path1).read_bytes(), mode)


class AzureBucket(Bucket):
    """With the signatures of adlfs, which knows no `mode`."""

    protocol = ("az",)

    def pipe_file(self, path: str, value: bytes, overwrite: bool = True, **_: Any) -> None:  # noqa: FBT001, FBT002
        """All of the object at once, and without `overwrite` only if it is not there."""
        super().pipe_file(path, value, "overwrite" if overwrite else "create")

    def put_file(self, path1: str, path2: str, overwrite: bool = True, **_: Any) -> None:  # noqa: FBT001, FBT002
        """As `pipe_file`, from a file."""
        super().put_file(path1, path2, mode="overwrite" if overwrite else "create")


def _put(target: Path, value: bytes, mode: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f"aside-{uuid4().hex}")
    aside.write_bytes(value)
    try:
        if mode == "create":
            os.link(aside, target)
        else:
            aside.replace(target)
    except FileExistsError:
        # As s3fs reports a 412.
        raise OSError(22, "At least one of the pre-conditions did not hold") from None
    finally:
        aside.unlink(missing_ok=True)


fsspec.register_implementation("s3", Bucket, clobber=True)
fsspec.register_implementation("az", AsyncFileSystemWrapper.wrap_class(AzureBucket), clobber=True)
