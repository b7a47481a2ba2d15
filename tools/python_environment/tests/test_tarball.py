"""The same files make the same archive, whatever their order, times and modes were."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tools.python_environment import tarball
from tools.python_environment.tarball import Content, Link, write_tarball

CONTENTS = {
    "bin/run.py": b"#!/usr/bin/env python3\n",
    "lib/deep/module.py": b"x = 1\n" * 1000,
    "lib/" + "long/" * 30 + "name.txt": b"a name of more than 100 characters",
}


def files_in(folder: Path, *, names: list[str], mode: int, time: int) -> dict[str, Content]:
    files: dict[str, Content] = {}
    for number, name in enumerate(names):
        path = folder / str(number)
        path.write_bytes(CONTENTS[name])
        path.chmod(mode)
        os.utime(path, (time, time))
        files[name] = path
    return files | {"bin/link": Link("run.py"), "note.txt": b"from memory"}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    files = files_in(tmp_path / "files", names=list(CONTENTS), mode=0o666, time=1_700_000_000)
    write_tarball(tmp_path / "a.tar.gz", files)
    return tmp_path / "a.tar.gz"


def test_order_times_and_modes_do_not_change_a_byte(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    files = files_in(tmp_path / "others", names=list(CONTENTS)[::-1], mode=0o755, time=1_000_000)
    write_tarball(tmp_path / "b.tar.gz", dict(reversed(files.items())))
    assert (tmp_path / "b.tar.gz").read_bytes() == archive.read_bytes()


def test_another_content_is_another_archive(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    files = files_in(tmp_path / "others", names=list(CONTENTS), mode=0o644, time=1)
    write_tarball(tmp_path / "b.tar.gz", files | {"note.txt": b"From memory"})
    assert (tmp_path / "b.tar.gz").read_bytes() != archive.read_bytes()


def test_tar_and_gzip_read_what_many_threads_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarball, "CHUNK", 1000)
    contents: dict[str, Content] = {f"{n:04}": os.urandom(n) for n in range(500)}
    write_tarball(tmp_path / "a.tar.gz", contents)
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xzf", tmp_path / "a.tar.gz", "-C", tmp_path / "out"], check=True)
    unpacked = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert unpacked == contents


def test_contents_links_and_folders_are_there(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        for name, content in CONTENTS.items():
            file = tar.extractfile(name)
            assert file is not None
            assert file.read() == content
        assert tar.getmember("bin/link").linkname == "run.py"
        assert tar.getmember("lib/deep").isdir()
        assert tar.getnames() == sorted(tar.getnames())


def test_only_the_owner_may_write_and_scripts_run(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar}
    assert all(
        not member.mode & (stat.S_IWGRP | stat.S_IWOTH)
        for member in members.values()
        if not member.issym()
    )
    assert members["bin/run.py"].mode == 0o755
    assert members["lib/deep/module.py"].mode == 0o644
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members.values()} == {
        (0, 0, 0, "", "")
    }
