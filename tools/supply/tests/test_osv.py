"""Records of OSV are read as their format's description says."""

import json
import zipfile
from pathlib import Path

import pytest

from tools.supply.errors import SupplyError
from tools.supply.osv import Vulnerability, read_records, vulnerabilities

# As osv.dev exports it: PYSEC-2018-28, shortened to a few of its versions.
REQUESTS = {
    "id": "PYSEC-2018-28",
    "modified": "2023-11-08T04:00:17.692870Z",
    "published": "2018-10-09T17:29:00Z",
    "aliases": ["CVE-2018-18074", "GHSA-x84v-xcm2-53pg"],
    "details": "The Requests package before 2.20.0 for Python sends an HTTP Authorization header\n",
    "affected": [
        {
            "package": {
                "name": "Requests",
                "ecosystem": "PyPI",
                "purl": "pkg:pypi/requests",
            },
            "ranges": [
                {
                    "type": "GIT",
                    "repo": "https://github.com/requests/requests",
                    "events": [{"introduced": "0"}, {"fixed": "c45d7c49ea75133e52ab22a8e9e13173"}],
                },
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.20.0"}]},
            ],
            "versions": ["0.0.1", "2.19.1"],
        },
        {"package": {"name": "requests", "ecosystem": "Debian:12"}, "versions": ["9"]},
    ],
    "severity": [
        {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"},
    ],
    "schema_version": "1.6.0",
}


def of(*events: dict[str, str], versions: tuple[str, ...] = ()) -> Vulnerability:
    record = {
        "id": "X-1",
        "modified": "2026-01-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "x"},
                "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
                "versions": list(versions),
            }
        ],
    }
    (only,) = vulnerabilities(record)
    return only


def test_a_real_record_is_read() -> None:
    (only,) = vulnerabilities(REQUESTS)
    assert only.package == "requests"
    assert only.aliases == ("CVE-2018-18074", "GHSA-x84v-xcm2-53pg")
    assert only.fixed == ("2.20.0",)
    assert only.summary.startswith("The Requests package before 2.20.0")
    assert only.severity.startswith("CVSS:3.1/")
    assert [only.affects(version) for version in ("2.19.1", "2.19.9", "2.20.0", "9")] == [
        *(True, True),
        *(False, False),
    ]


def test_a_severity_in_words_comes_first() -> None:
    record = REQUESTS | {"database_specific": {"severity": "MODERATE"}}
    assert [each.severity for each in vulnerabilities(record)] == ["MODERATE"]


def test_what_was_withdrawn_says_nothing() -> None:
    assert list(vulnerabilities(REQUESTS | {"withdrawn": "2024-01-01T00:00:00Z"})) == []


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([("introduced", "0")], ["0.dev0", "0", "9!1"], []),
        ([("introduced", "1.0"), ("fixed", "1.2")], ["1", "1.0.0", "1.1", "1.2rc1"], ["1.0rc1"]),
        ([("introduced", "1.0"), ("fixed", "1.2")], ["1.1.post1"], ["1.2", "1.2.0", "2", "0.9"]),
        ([("introduced", "1.0"), ("last_affected", "1.2")], ["1.2"], ["1.2.post1", "1.3"]),
        ([("introduced", "1.0"), ("last_affected", "1.0")], ["1.0"], ["0.9", "1.1"]),
        (
            [("introduced", "0"), ("fixed", "1"), ("introduced", "2"), ("fixed", "2.1")],
            ["0.9", "2.0"],
            ["1", "1.9", "2.1", "3"],
        ),
        ([("fixed", "10"), ("introduced", "9")], ["9", "9.5"], ["10", "8"]),
        ([("introduced", "1"), ("fixed", "1"), ("introduced", "1")], ["1", "2"], ["0"]),
        ([("introduced", "0"), ("limit", "2.0")], ["1.9"], ["2.0", "3"]),
        ([("introduced", "0"), ("limit", "*")], ["1.9", "3"], []),
        ([("introduced", "0"), ("fixed", "some-day")], ["1", "99"], []),
        ([("introduced", "2004b"), ("fixed", "2005")], ["2004"], ["2005"]),
    ],
)
def test_a_range_is_evaluated_by_pep_440(
    events: list[tuple[str, str]], inside: list[str], outside: list[str]
) -> None:
    affects = of(*(dict([event]) for event in events)).affects
    assert [version for version in inside if not affects(version)] == []
    assert [version for version in outside if affects(version)] == []


def test_listed_versions_count_however_they_are_written() -> None:
    affects = of(versions=("1.0", "2.0rc1", "2004b-final")).affects
    assert all(affects(version) for version in ("1.0", "1.0.0", "2.0.rc1", "2004b-final"))
    assert not any(affects(version) for version in ("1.1", "2.0", "2004b"))


def test_a_local_build_is_affected_as_its_public_version() -> None:
    affects = of({"introduced": "0"}, {"fixed": "2.13.0"}).affects
    assert affects("2.12.1+cpu")
    assert not affects("2.13.0+cpu")
    assert of(versions=("2.13.0",)).affects("2.13.0+cpu")


def test_records_come_from_a_file_a_folder_or_a_zip(tmp_path: Path) -> None:
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/deep/PYSEC-2018-28.json").write_text(json.dumps(REQUESTS))
    (tmp_path / "in/README.txt").write_text("no record")
    (tmp_path / "list.json").write_text(json.dumps([REQUESTS, REQUESTS]))
    (tmp_path / "answer.json").write_text(json.dumps({"vulns": [REQUESTS]}))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "in/deep/PYSEC-2018-28.json", "PYSEC-2018-28.json")
    for source, count in [("in", 1), ("list.json", 2), ("answer.json", 1), ("all.zip", 1)]:
        assert list(read_records(tmp_path / source)) == [REQUESTS] * count


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is no JSON"), ('{"a": 1}', "lacks `id` or `modified`"), ("[1]", "no record of OSV")],
)
def test_what_is_no_record_is_refused_with_its_place(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(SupplyError, match=rf"a\.json.*{message}"):
        list(read_records(tmp_path))


def test_a_list_that_is_not_there_is_said_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SupplyError, match=r"there is no .*all\.zip; download .* osv\.dev"):
        list(read_records(tmp_path / "all.zip"))
