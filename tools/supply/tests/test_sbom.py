"""The bill of materials is what the lock says, in CycloneDX, and the same each time."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from tools.requirements.lock import CHOSEN, Pin, read_lock
from tools.supply.bill import bill
from tools.supply.errors import SupplyError
from tools.supply.sbom import source_date_epoch, write

PINS = {
    "torch": Pin("torch", "2.13.0+cpu", ("sha256:" + "a" * 64, "sha256:" + "b" * 64), (CHOSEN,)),
    "numpy": Pin("numpy", "2.4", ("sha256:" + "c" * 64,), (CHOSEN, "torch")),
    "odd": Pin("odd", "1", ("sha256:" + "d" * 64,), ("torch",)),
}
LICENCES = {"torch": "BSD-3-Clause AND MIT", "numpy": "MIT"}


def made(**changes: Any) -> dict[str, Any]:
    return json.loads(bill(**({"pins": PINS, "licences": LICENCES, "epoch": None} | changes)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    """CycloneDX's own schema, as its library ships it, with the two that it refers to."""
    folder = files("cyclonedx.schema") / "_res"
    schemas = {
        name: json.loads((folder / name).read_text(encoding="utf-8"))
        for name in (f"{each}.SNAPSHOT.schema.json" for each in ("bom-1.6", "spdx", "jsf-0.82"))
    }
    registry: Any = Registry().with_resources(
        (f"http://cyclonedx.org/schema/{name}", Resource.from_contents(content))
        for name, content in schemas.items()
    )
    return Draft7Validator(schemas["bom-1.6.SNAPSHOT.schema.json"], registry=registry)


def test_the_bill_of_our_own_lock_is_valid_and_whole(schema: Draft7Validator) -> None:
    pins = read_lock(Path("requirements_lock.txt").read_text(encoding="utf-8"))
    licences = dict.fromkeys(pins, "Apache-2.0 WITH LLVM-exception OR MIT")
    content = json.loads(bill(pins, licences, epoch=None))
    assert [error.message for error in schema.iter_errors(content)] == []
    assert {each["name"]: each["version"] for each in content["components"]} == {
        name: pin.version for name, pin in pins.items()
    }
    refs = {each["bom-ref"] for each in content["components"]} | {"fraud-detect"}
    assert {each["ref"] for each in content["dependencies"]} == refs
    reached, queue = set(), ["fraud-detect"]
    needs = {each["ref"]: each.get("dependsOn", []) for each in content["dependencies"]}
    while queue:
        ref = queue.pop()
        if ref not in reached:
            reached.add(ref)
            queue += needs[ref]
    assert reached == refs


def test_the_schema_refuses_what_is_none(schema: Draft7Validator) -> None:
    wrong = made()
    wrong["components"][0]["type"] = "thing"
    assert any("'thing' is not one of" in error.message for error in schema.iter_errors(wrong))
    wrong = made()
    wrong["components"][0]["externalReferences"][0]["hashes"][0]["content"] = "short"
    assert list(schema.iter_errors(wrong))


def test_a_component_has_its_version_hashes_and_licence(schema: Draft7Validator) -> None:
    content = made()
    assert list(schema.iter_errors(content)) == []
    by_name = {each["name"]: each for each in content["components"]}
    torch = by_name["torch"]
    assert torch["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert torch["licenses"] == [{"expression": "BSD-3-Clause AND MIT"}]
    assert by_name["numpy"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert "licenses" not in by_name["odd"]
    (reference,) = torch["externalReferences"]
    assert {each["content"] for each in reference["hashes"]} == {"a" * 64, "b" * 64}
    assert {each["alg"] for each in reference["hashes"]} == {"SHA-256"}


def test_the_graph_says_which_package_is_there_for_which() -> None:
    content = made()
    assert {each["ref"]: each.get("dependsOn", []) for each in content["dependencies"]} == {
        "fraud-detect": ["pkg:pypi/numpy@2.4", "pkg:pypi/torch@2.13.0%2Bcpu"],
        "pkg:pypi/torch@2.13.0%2Bcpu": ["pkg:pypi/numpy@2.4", "pkg:pypi/odd@1"],
        "pkg:pypi/numpy@2.4": [],
        "pkg:pypi/odd@1": [],
    }


def test_the_same_lock_gives_the_same_bytes_in_any_order() -> None:
    backwards = dict(reversed(PINS.items()))
    again = bill(backwards, dict(reversed(LICENCES.items())), epoch=None)
    assert bill(PINS, LICENCES, epoch=None) == again


def test_another_lock_is_another_bill_by_number_too() -> None:
    other = made(pins=PINS | {"odd": Pin("odd", "2", PINS["odd"].hashes, ("torch",))})
    assert other["serialNumber"] != made()["serialNumber"]


def test_it_says_no_time_but_one_that_it_is_given() -> None:
    assert "timestamp" not in made()["metadata"]
    assert made(epoch=0)["metadata"]["timestamp"].startswith("1970-01-01T00:00:00")


def test_a_package_for_one_that_is_not_locked_is_refused() -> None:
    with pytest.raises(ValueError, match="a is locked for gone, which is not locked"):
        made(pins={"a": Pin("a", "1", (), ("gone",))})


def test_the_file_is_written_whole_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sbom.json"
    assert write(PINS, LICENCES, output) == 0
    assert output.read_text() == bill(PINS, LICENCES, epoch=source_date_epoch())
    assert "3 packages" in capsys.readouterr().out
    with pytest.raises(OSError, match="No such file"):
        write(PINS, LICENCES, tmp_path / "no/sbom.json")
    assert [path.name for path in tmp_path.iterdir()] == ["sbom.json"]


def test_the_time_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert source_date_epoch() is None
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert source_date_epoch() == 1_700_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(SupplyError, match="must be seconds, got 'yesterday'"):
        source_date_epoch()
