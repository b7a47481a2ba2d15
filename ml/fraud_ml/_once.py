"""A property that is computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class once(Generic[Value]):  # noqa: N801 (a decorator, as property is)
    """A property computed at first use and kept, for an instance that one thread works on.

    Until Python 3.12 all instances of a class share the lock of a ``functools.cached_property``:
    threads that work on different ones would wait for each other.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Value:
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
