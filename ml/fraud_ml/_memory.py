"""What Numba has no word for: memory that will be needed, and arrays that nobody else lets go.

Histories of keys lie all over the memory, and to fetch one takes as long as hundreds of operations.
If those of the next transactions are asked for meanwhile, they come side by side.

Whenever an array is passed on, references to it are counted, up and down again, so that other
threads may do so as well: some hundred times for each transaction, which took longer than all else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_Array = TypeVar("_Array", bound=npt.NDArray[Any])

_READ, _KEEP, _DATA = 0, 3, 1  # to read it, and to keep it as near as there is


def _prefetch(_context: Any, array: Any, _index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        number = cgutils.int32_t
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        builder.call(fetch, [place, number(_READ), number(_KEEP), number(_DATA)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _borrowed(_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        of_array = context.make_array(array)
        given, ours = of_array(context, builder, arguments[0]), of_array(context, builder)
        for field in ("data", "nitems", "itemsize", "shape", "strides"):
            setattr(ours, field, getattr(given, field))
        for owner in ("meminfo", "parent"):
            kind = getattr(given, owner).type
            setattr(ours, owner, cgutils.get_null_value(kind))  # type: ignore[no-untyped-call]
        return ours._getvalue()

    return array(array), generate


prefetch = cast("Callable[[npt.NDArray[Any], int], None]", intrinsic(_prefetch))
"""Have the memory at an index of a contiguous array at hand soon.

Of several dimensions, it counts as if flat. Whatever the index, nothing fails, and nothing that is
computed depends on it.
"""

borrowed = cast("Callable[[_Array], _Array]", intrinsic(_borrowed))
"""The same array, without counting references.

It is good as long as the caller's own is there, so no function may return it to Python.
"""
