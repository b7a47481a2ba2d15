"""The service's OpenAPI document, made of the types that check requests and write answers.

``serving/openapi.yaml`` is what it is for the default features:
``python -m fraud_detect.openapi > serving/openapi.yaml``.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import yaml  # type: ignore[import-untyped]

from fraud_detect import answers
from fraud_detect.answers import ARROW, JSON
from fraud_detect.tensors import InferAnswer, InferRequest
from fraud_detect.transactions import MAX_TRANSACTIONS, TransactionFormat
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.transactions import transaction_columns

_TYPES = (
    *(answers.Scored, answers.One, answers.Refused, answers.Error),
    *(InferRequest, InferAnswer),
)
_REF = "#/components/schemas/"


def document(spec: FeatureSpec) -> dict[str, Any]:
    """The document, OpenAPI 3.1, of a service whose model takes the features of ``spec``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fraud-detect",
            "version": "1",
            "description": "Scores payments while they wait. Behind TorchServe 0.12.0.",
        },
        "paths": {
            "/predictions/fraud": {"post": _scoring("score", "Scores payments, and counts them.")},
            "/explanations/fraud": {
                "post": _scoring("explain", "The same, with every feature's contribution.")
            },
            "/v2/models/fraud/infer": {"post": _inferring(spec)},
            "/ping": {"get": _ping()},
        },
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(spec),
        },
    }


def as_yaml(spec: FeatureSpec) -> str:
    """The document as YAML."""
    text: str = yaml.safe_dump(document(spec), sort_keys=False, allow_unicode=True, width=100)
    return text


def _scoring(name: str, summary: str) -> dict[str, Any]:
    wide: dict[str, Any] = {ARROW: {}} if name == "score" else {}
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {JSON: _one_of("Transaction", "Transactions"), **wide},
        },
        "responses": {
            "200": _answer("Scores, in the order of the request.", "One", "Many", arrow=bool(wide)),
            **_refusals(),
        },
    }


def _inferring(spec: FeatureSpec) -> dict[str, Any]:
    columns = ", ".join(f"`{name}`" for name in transaction_columns(spec))
    return {
        "operationId": "infer",
        "summary": "The same in KServe's v2 protocol: scores payments, and counts them.",
        "description": (
            f"A tensor for each of {columns}, of N values; more are ignored."
            " Datatypes are BYTES (text), BOOL, INT8 to INT64, UINT8 to UINT64,"
            " FP16 to FP64; null: there is none. Out come `transaction_id`, `score` (FP64),"
            " `decision` (BYTES), `degraded` (BOOL) and `error` (BYTES), with null for what there"
            " is not."
        ),
        "requestBody": {"required": True, "content": {JSON: _one_of("InferRequest")}},
        "responses": {
            "200": _answer("Scores, in the order of the request.", "InferAnswer"),
            **_refusals(),
        },
    }


def _refusals() -> dict[str, Any]:
    return {
        "400": _answer(
            "The request cannot be read, its one transaction is invalid, or the token is"
            " wrong or missing.",
            "Error",
            "ServerError",
        ),
        "413": {"description": "Too many transactions, or bytes: then without content."},
        "503": _answer("The queue is full: try again.", "ServerError"),
        "500": _answer("As 507: send it again.", "ServerError"),
        "507": _answer("The worker died of it, or beside it: send it again.", "ServerError"),
    }


def _ping() -> dict[str, Any]:
    healthy = {
        "type": "object",
        "properties": {"status": {"type": "string"}},
        "required": ["status"],
    }
    return {
        "operationId": "ping",
        "summary": "Whether the server runs.",
        "responses": {
            "200": {"description": "It does.", "content": {JSON: {"schema": healthy}}},
            "400": _answer("The token is wrong or missing.", "ServerError"),
            "500": {"description": "Workers are missing."},
        },
    }


def _answer(description: str, *names: str, arrow: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: _one_of(*names)}
    if arrow:
        content[ARROW] = {}
    return {"description": description, "content": content}


def _one_of(*names: str) -> dict[str, Any]:
    refs = [{"$ref": _REF + name} for name in names]
    return {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}


def _schemas(spec: FeatureSpec) -> dict[str, Any]:
    transaction = TransactionFormat(spec).transaction_type
    _, found = msgspec.json.schema_components([transaction, *_TYPES], ref_template=_REF + "{name}")
    reasons = {"type": "boolean", "default": False, "description": "Whether to say why."}
    found["Transaction"]["properties"]["reasons"] = reasons
    refs = {name: {"$ref": _REF + name} for name in ("Transaction", "Scored", "Refused", "Model")}
    found["Transactions"] = {
        "type": "object",
        "description": "A list: one that is invalid gets an error in its place.",
        "properties": {
            "transactions": {
                "type": "array",
                "items": refs["Transaction"],
                "minItems": 1,
                "maxItems": MAX_TRANSACTIONS,
            },
            "reasons": reasons,
        },
        "required": ["transactions"],
    }
    found["Many"] = {
        "type": "object",
        "description": answers.Many.__doc__,
        "properties": {
            "transactions": {
                "type": "array",
                "items": {"anyOf": [refs["Scored"], refs["Refused"]]},
            },
            "model": refs["Model"],
        },
        "required": ["transactions", "model"],
    }
    found["ServerError"] = {
        "type": "object",
        "description": "What TorchServe itself refuses.",
        "properties": {
            "code": {"type": "integer"},
            "type": {"type": "string"},
            "message": {"type": "string"},
        },
        "required": ["code", "type", "message"],
    }
    return dict(sorted(found.items()))


if __name__ == "__main__":
    sys.stdout.write(as_yaml(DEFAULT_SPEC))
