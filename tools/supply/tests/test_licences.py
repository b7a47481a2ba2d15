"""Every locked package has a licence that we may use it under."""

from importlib.metadata import Distribution
from pathlib import Path

import pytest

from tools.requirements.lock import read_lock
from tools.supply.errors import SupplyError
from tools.supply.installed import (
    Licensed,
    Policy,
    installed,
    is_allowed,
    licensed,
    read_policy,
    spdx,
)
from tools.supply.licences import POLICY, main, objections, of_the_lock

THREE_CLAUSES = """\
Copyright (c) 2026 Ann. Redistribution and use in source and binary
forms, with or without modification, are permitted. Neither the name of Ann may be used to endorse
or promote products derived from this software.
"""


def test_every_locked_package_may_be_used() -> None:
    packages, policy = of_the_lock()
    assert list(objections(packages, policy)) == []
    pins = read_lock(Path("requirements_lock.txt").read_text(encoding="utf-8"))
    assert {each.name for each in packages} == set(pins)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy(POLICY)


@pytest.fixture
def package(tmp_path: Path):  # type: ignore[no-untyped-def]
    def make(*headers: str, licence: str | None = None) -> Distribution:
        folder = tmp_path / "psycopg-3.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", "Name: Psycopg", "Version: 3", *headers, ""]
        (folder / "METADATA").write_text("\n".join(lines))
        if licence is not None:
            (folder / "LICENSE").write_text(licence)
            (folder / "RECORD").write_text("psycopg-3.dist-info/LICENSE,,\n")
        return Distribution.at(folder)

    return make


@pytest.mark.parametrize(
    ("headers", "licence", "source"),
    [
        (["License-Expression: MIT or apache-2.0"], "MIT OR Apache-2.0", "License-Expression"),
        (["License-Expression: MIT", "License: GPL-3.0-only"], "MIT", "License-Expression"),
        (["License: BSD-3-Clause"], "BSD-3-Clause", "License"),
        (["License: Apache License Version 2.0"], "Apache-2.0", "License"),
        (["License: BSD 3-Clause License", "  ", "  Copyright Ann"], "BSD-3-Clause", "License"),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: MIT License"], "MIT", ""),
        (
            [
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: License :: OSI Approved :: Apache Software License",
            ],
            "Apache-2.0 AND MIT",
            "Classifier",
        ),
        (["Classifier: License :: OSI Approved :: BSD License"], None, ""),
        (["License: see our site"], None, ""),
        ([], None, ""),
    ],
)
def test_a_licence_is_read_from_metadata(package, policy, headers, licence, source) -> None:  # type: ignore[no-untyped-def]
    read = licensed(package(*headers), policy)
    assert (read.name, read.version, read.licence) == ("psycopg", "3", licence)
    assert source in read.source


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (THREE_CLAUSES, "BSD-3-Clause"),
        (THREE_CLAUSES.partition("Neither")[0], "BSD-2-Clause"),
        ("All rights reserved.", None),
    ],
)
def test_which_bsd_licence_it_is_tells_its_file(package, policy, text, licence) -> None:  # type: ignore[no-untyped-def]
    bsd = package("Classifier: License :: OSI Approved :: BSD License", licence=text)
    assert licensed(bsd, policy).licence == licence


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("(MIT OR GPL-3.0-only) AND (GPL-3.0-only OR ISC)", True),
        ("(MIT AND GPL-3.0-only) OR (GPL-3.0-only AND ISC)", False),
    ],
)
def test_an_expression_needs_one_way_that_is_allowed(policy, licence, allowed) -> None:  # type: ignore[no-untyped-def]
    assert is_allowed(licence, policy.allowed) is allowed


@pytest.mark.parametrize("expression", ["", "UNKNOWN", "MIT AND", "Ann's own", "BSD"])
def test_what_is_no_expression_of_spdx_is_none(expression: str) -> None:
    assert spdx(expression) is None


def test_a_package_that_may_not_be_used_is_named_with_the_reason(policy: Policy) -> None:
    packages = [
        Licensed("good", "1", "MIT", ""),
        Licensed("silent", "1", None, ""),
        Licensed("bad", "1", "GPL-3.0-only", ""),
        Licensed("psycopg", "3", "GPL-3.0-only", ""),
        Licensed("psycopg-binary", "3", "LGPL-3.0-only", ""),
    ]
    assert [line.partition(";")[0] for line in objections(packages, policy)] == [
        "silent 1 does not tell its licence",
        "bad 1 is GPL-3.0-only, which is not allowed",
        "psycopg 3 is GPL-3.0-only",
        "the exception for psycopg is not needed: remove it from tools/supply/licences.toml",
    ]


def test_the_exit_code_says_whether_all_may_be_used(
    policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = [
        Licensed("psycopg", "3", "LGPL-3.0-only", "License"),
        Licensed("psycopg-binary", "3", "LGPL-3.0-only", "License"),
    ]
    assert main(needed, policy) == 0
    assert main([*needed, Licensed("silent", "1", None, "")], policy) == 1
    assert "error: silent 1 does not tell its licence" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('allowed = ["Mit"]', "'Mit' is no SPDX expression"),
        ('allowed = []\n[exceptions.a]\nlicence = "MIT"', "a needs a licence and a reason"),
        (
            'allowed = []\n[stated.a]\nlicence = "MIT"\nreason = ""',
            "a needs a licence and a reason",
        ),
    ],
)
def test_a_policy_is_refused_that_says_nothing(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "licences.toml").write_text(f"{text}\n[written]\n[classifiers]\n")
    with pytest.raises(SupplyError, match=message):
        read_policy(tmp_path / "licences.toml")


def test_what_a_person_read_counts_where_the_package_is_silent(tmp_path, package) -> None:  # type: ignore[no-untyped-def]
    stated = '[stated.psycopg]\nlicence = "ISC"\nreason = "its site says so"\n'
    (tmp_path / "licences.toml").write_text(f"allowed = []\n[written]\n[classifiers]\n{stated}")
    policy = read_policy(tmp_path / "licences.toml")
    assert licensed(package(), policy).licence == "ISC"


def test_no_package_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SupplyError, match="no package's metadata"):
        installed([tmp_path])
