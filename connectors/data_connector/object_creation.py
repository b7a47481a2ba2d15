"""Objects that one writer alone can create: each file system has a word of its own for it."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any, Literal

# Of bytes, and of a file.
Method = Literal["pipe_file", "put_file"]

# The memory file system creates in two steps.
_one_at_a_time = threading.Lock()


def write(files: Any, method: Method, *arguments: object, create: bool) -> None:
    """Write an object whole; with `create`, the file system's error if one is there already."""
    options = options_to_create(_signed(files, method)) if create else {}
    with _one_at_a_time:
        getattr(files, method)(*arguments, **options)


def cannot_create(files: Any, method: Method) -> str | None:
    """Why the file system's `method` may write over another's object, and what to do; or None."""
    if options_to_create(_signed(files, method)):
        return None
    package = type(files).__module__.partition(".")[0]
    return (
        f"{package} is too old to create objects exclusively: upgrade it to a release of 2025 or "
        "later"
    )


def options_to_create(method: Callable[..., Any]) -> dict[str, Any]:
    """The options that let a method only create; none if it cannot."""
    parameters = inspect.signature(method).parameters
    if "mode" in parameters:
        return {"mode": "create"}
    return {"overwrite": False} if "overwrite" in parameters else {}  # adlfs


def _signed(files: Any, method: Method) -> Callable[..., Any]:
    """The method whose signature tells: the other one of the pair takes anything."""
    signed: Callable[..., Any] = getattr(files, f"_{method}" if files.async_impl else method)
    return signed
