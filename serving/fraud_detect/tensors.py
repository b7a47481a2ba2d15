"""KServe's v2 protocol (the Open Inference Protocol), as JSON: one tensor for each column.

https://github.com/kserve/open-inference-protocol, *Inference*, REST. What it calls the binary data
extension is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from fraud_detect.errors import RequestError

_INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_TYPES: Mapping[str, frozenset[type]] = {
    "BYTES": frozenset((str, type(None))),
    "BOOL": frozenset((bool, type(None))),
    **dict.fromkeys(_INTEGERS, frozenset((int, type(None)))),
    **dict.fromkeys(("FP16", "FP32", "FP64"), frozenset((int, float, type(None)))),
}
"""What the values of each datatype are in JSON. None: missing, for which there is no word."""

_OUTPUTS = {
    "transaction_id": "BYTES",
    "score": "FP64",
    "decision": "BYTES",
    "degraded": "BOOL",
    "error": "BYTES",
}


class Tensor(msgspec.Struct, gc=False):
    """The values of a column, of N transactions."""

    name: str
    shape: list[int]
    """``[N]``, or ``[N, 1]``."""
    datatype: str
    data: list[Any]
    """Of ``[N, 1]`` flat, or a list of lists."""


class Output(msgspec.Struct, gc=False):
    """One that shall be in the answer."""

    name: str


class InferRequest(msgspec.Struct, gc=False):
    """What a caller sends."""

    inputs: list[Tensor]
    id: str | UnsetType = UNSET
    """Comes back with the answer."""
    outputs: list[Output] | UnsetType = UNSET
    """Those wanted; all where there is none."""


class InferAnswer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Scores of N transactions, in the order of the request; null where one was refused."""

    model_name: str
    model_version: str
    outputs: list[Tensor]
    id: str | UnsetType = UNSET


_decoder = msgspec.json.Decoder(InferRequest)
_encoder = msgspec.json.Encoder()


def read(body: bytes | bytearray) -> InferRequest:
    """The request in ``body``.

    Raises:
        RequestError: it is none, or wants an output that there is not.
    """
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, f"no inference request of KServe v2: {error}") from None
    for output in request.outputs or ():
        if output.name not in _OUTPUTS:
            raise RequestError(
                400, f"no output {output.name!r}: there are {', '.join(map(repr, _OUTPUTS))}"
            )
    return request


def columns_of(request: InferRequest, names: Sequence[str]) -> dict[str, list[Any]]:
    """The values of each of the columns, all of one length; more tensors are ignored.

    Raises:
        RequestError: a tensor is missing, there twice, or not what it says of itself.
    """
    tensors = {tensor.name: tensor for tensor in request.inputs}
    missing = [name for name in names if name not in tensors]
    if missing:
        raise RequestError(400, f"`inputs` lacks the tensors {', '.join(map(repr, missing))}")
    if len(tensors) < len(request.inputs):
        raise RequestError(400, "two of `inputs` have one name")
    columns = {name: _values(tensors[name]) for name in names}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise RequestError(400, f"the tensors have different lengths: {sorted(lengths)}")
    return columns


def write(
    request: InferRequest, rows: Mapping[str, Sequence[Any]], *, name: str, version: int
) -> bytes:
    """The answer.

    Args:
        request: what was asked.
        rows: of each output that there is, its values.
        name: of the model.
        version: of it.
    """
    wanted = [output.name for output in request.outputs or ()] or list(_OUTPUTS)
    outputs = [
        Tensor(output, [len(rows[output])], _datatype(output, rows[output]), list(rows[output]))
        for output in wanted
    ]
    return _encoder.encode(
        InferAnswer(model_name=name, model_version=str(version), outputs=outputs, id=request.id)
    )


def _values(tensor: Tensor) -> list[Any]:
    what = f"tensor {tensor.name!r}"
    allowed = _TYPES.get(tensor.datatype)
    if allowed is None:
        raise RequestError(400, f"{what}: there is no datatype {tensor.datatype!r}")
    values = tensor.data
    if tensor.shape not in ([len(values)], [len(values), 1]):
        raise RequestError(
            400, f"{what}: {len(values)} values have shape [N] or [N, 1], not {tensor.shape}"
        )
    if len(tensor.shape) > 1 and values and isinstance(values[0], list):
        if not all(isinstance(value, list) and len(value) == 1 for value in values):
            raise RequestError(400, f"{what}: a row has not one value")
        values = [value for (value,) in values]
    wrong = {type(value) for value in values} - allowed
    if wrong:
        names = ", ".join(sorted(kind.__name__ for kind in wrong))
        raise RequestError(400, f"{what}: of {tensor.datatype}, and has values of type {names}")
    return values


def _datatype(output: str, values: Sequence[Any]) -> str:
    """Whole numbers are given back as they came."""
    kinds = {type(value) for value in values}
    return "INT64" if output == "transaction_id" and int in kinds else _OUTPUTS[output]
