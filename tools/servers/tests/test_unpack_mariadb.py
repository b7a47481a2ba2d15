"""Where MariaDB cannot be unpacked, its tests are told why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.servers.mariadb import MariadbMissingError, programs
from tools.servers.unpack_mariadb import main


def test_without_debian_s_tools_it_is_told_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    main(tmp_path / "mariadb_programs")
    (tmp_path / "mariadb_programs/__init__.py").touch()
    with pytest.raises(MariadbMissingError, match=r"skipped: .*Debian.*fetch --force"):
        programs()
    assert "MariaDB is missing" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mariadb_programs"]
