"""The OpenAPI file says what the server does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import given, settings
from payments import SPEC
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from server import running_server

from fraud_detect.openapi import as_yaml, document
from fraud_detect.torchserve import TorchServe
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.transactions import transaction_columns

FILE = Path(__file__).parents[1] / "openapi.yaml"
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def test_the_file_is_that_of_the_types_and_the_default_features() -> None:
    assert FILE.read_text() == as_yaml(DEFAULT_SPEC), "python -m fraud_detect.openapi writes it"


def test_a_transaction_has_the_columns_that_the_features_read() -> None:
    schema = document(DEFAULT_SPEC)["components"]["schemas"]["Transaction"]
    assert tuple(schema["required"]) == transaction_columns(DEFAULT_SPEC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServe]:
    with running_server(tmp_path_factory.mktemp("server"), token_auth=True) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: TorchServe) -> schemathesis.BaseSchema:
    schema = schemathesis.openapi.from_dict(document(SPEC))
    schema.config.update(base_url=f"http://127.0.0.1:{server.ports.inference}")
    return schema


_OPERATIONS = [
    *(("/predictions/fraud", "POST"), ("/explanations/fraud", "POST")),
    *(("/v2/models/fraud/infer", "POST"), ("/ping", "GET")),
]


@pytest.mark.parametrize(("path", "method"), _OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_server_answers_as_the_document_says(api, server, path, method, mode) -> None:
    headers = {"Authorization": f"Bearer {server.folder.token('inference')}"}
    statuses = set()

    @settings(max_examples=60, database=None, derandomize=True, deadline=None)
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        statuses.add(case.call_and_validate(headers=headers, checks=CHECKS).status_code)

    check()
    assert statuses <= {200, 400, 413}


@pytest.mark.parametrize(("path", "method"), _OPERATIONS)
def test_without_a_token_it_answers_400_as_the_document_says(api, path, method) -> None:
    case = api[path][method].Case(body={}, media_type="application/json")
    assert case.call_and_validate(checks=CHECKS).status_code == 400
