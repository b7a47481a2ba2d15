"""A world of its own for `bazelw`: a copied workspace, a private PATH, a home, and fakes.

Nothing here is mocked inside the program: the real file runs in a process of its own,
and what it meets outside (programs, mirror, release site) are small shell scripts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]  # the workspace, in a checkout and in runfiles
LIB = "usr/lib/x86_64-linux-gnu"
JVM = "usr/lib/jvm/java-21-openjdk-amd64"
SHARE = "usr/share/bazel"


class World:
    """Where one test runs."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "workspace"
        self.bin = folder / "bin"
        self.cache = folder / "cache" / "fraud-detect"
        self.log = folder / "log"
        for made in (self.workspace / "tools", self.bin, folder / "home"):
            made.mkdir(parents=True)
        self.log.touch()
        self.bazelw = Path(shutil.copy(ROOT / "bazelw", self.workspace))
        shutil.copy(ROOT / ".bazelversion", self.workspace)
        shutil.copytree(
            ROOT / "tools/bootstrap",
            self.workspace / "tools/bootstrap",
            ignore=shutil.ignore_patterns("tests", "__pycache__"),
        )
        self.version = (self.workspace / ".bazelversion").read_text().strip()
        (self.bin / "python3").symlink_to(sys.executable)
        self.env = {
            "PATH": str(self.bin),
            "HOME": str(folder / "home"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "BAZELISK_BASE_URL": "http://127.0.0.1:1",  # where nothing listens
        }

    def program(self, name: str, body: str, folder: Path | None = None) -> Path:
        """A shell script on PATH (or in `folder`) that notes its call in the log."""
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "{name} $*" >> {self.log}\n{body}\n')
        path.chmod(0o755)
        return path

    def bazel(self, name: str = "bazel", version: str = "", folder: Path | None = None) -> Path:
        """A Bazel that tells its version, and else its own path and arguments."""
        version = version or self.version
        return self.program(
            name,
            f'[ "$*" = --version ] && {{ echo "bazel {version}"; exit; }}\n'
            'echo "$0"\nfor argument; do echo "<$argument>"; done',
            folder,
        )

    def run(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """`bazelw` run to its end."""
        return subprocess.run(
            [self.bazelw, *args],
            env={**self.env, **env},
            cwd=self.workspace,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *args: str) -> subprocess.Popen[str]:
        """`bazelw` left running, in a process group of its own."""
        return subprocess.Popen(
            [self.bazelw, *args],
            env=self.env,
            cwd=self.workspace,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def calls(self, start: str) -> list[str]:
        """The noted calls of fakes that begin with `start`."""
        return [line for line in self.log.read_text().splitlines() if line.startswith(start)]

    def prefixes(self) -> list[Path]:
        """The folders in the cache."""
        return sorted(path for path in self.cache.glob("*") if path.is_dir())


@pytest.fixture
def world() -> Iterator[World]:
    # Not pytest's tmp_path, which by default is below /tmp, where Bazel cannot live.
    with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR", "/var/tmp")) as folder:
        yield World(Path(folder))


@pytest.fixture
def debian(world: World) -> World:
    """A world whose apt and dpkg hand out a tiny Bazel; each of its packages is 1 MB."""
    tree = world.bin.parent / "tree"
    world.bazel(folder=tree / "usr/bin")
    world.program("linux-sandbox", "", tree / "usr/libexec/x86_64-linux-gnu/bazel")
    world.program("java", "", tree / JVM / "bin")
    world.program("jspawnhelper", "", tree / JVM / "lib")
    world.program("patchelf", "", tree / "usr/bin")
    # The loader runs its last argument, or lists what that is linked with.
    world.program(
        "ld-linux-x86-64.so.2",
        'library=$2/libc.so.6; shift 2\ncase $1 in --list) echo "libc.so.6 => $library" ;; '
        '*) exec "$@" ;; esac',
        tree / LIB,
    )
    write(tree / JVM / "release", 'MODULES="java.base jdk.incubator.vector"')
    write(tree / "etc/java-21-openjdk/net.properties", "")
    (tree / JVM / "conf").mkdir()
    (tree / JVM / "conf/net.properties").symlink_to("/etc/java-21-openjdk/net.properties")
    (tree / JVM / "lib/security").mkdir()
    (tree / JVM / "lib/security/cacerts").symlink_to("/etc/ssl/certs/java/cacerts")
    write(tree / "usr/share/doc/bazel/README", "")
    write(tree / SHARE / "build-label.txt", world.version)
    write(tree / SHARE / "bazel_classpath_debian_depends.txt", "/usr/share/java/listed.jar\n")
    jar(tree / "usr/share/java/listed.jar", "Class-Path: named.jar\r\n  /usr/share/java/gone.jar")
    jar(tree / "usr/share/java/named.jar", "")
    jar(tree / "usr/share/java/stranger.jar", "")
    for module in ("embedded_tools", "tools/platforms", "tools/skylib", "tools/features"):
        write(tree / SHARE / module / "MODULE.bazel", 'module(name = "m", version = "0.0.0")\n')
    for rules in ("cc", "java", "license", "pkg", "proto", "python", "shell"):
        path = tree / SHARE / "rules" / rules / "MODULE.bazel"
        write(path, f'module(name = "rules_{rules}", version = "0.0.0")\n')
    with (tree / SHARE / "embedded_tools/MODULE.bazel").open("a") as module_file:
        module_file.write(
            'bazel_dep(name = "rules_cc", version = "0.0.11")\n'
            'bazel_dep(name = "buildozer", version = "7.1.2")\n'
            'bazel_dep(\n    name = "stardoc",\n    version = "1",\n    dev_dependency = True,\n)\n'
        )
    world.program("apt-config", "echo 'Acquire::Retries \"3\";'")
    world.program(
        "apt-get",
        f"""
        case "$*" in
        --print-uris*)
            echo "'http://security.invalid/debian/dists/stable-security/InRelease' x 0"
            echo "'http://mirror.invalid/debian/dists/stable/InRelease' x 0" ;;
        *update*)
            cat "$APT_CONFIG" > {world.log}.conf
            if [ -p {world.log}.hold ]; then
                exec 4<> {world.log}.hold
                echo > {world.log}.reached
                read line <&4
            fi ;;
        *download*)
            for name; do last=$name; done
            echo 1 > $last.deb
            echo dlstatus:1:50.0:Retrieving >&${{3#*=}} ;;
        esac""",
    )
    apt_cache(world)
    world.program("dpkg", f"cp -R {tree}/. $3")
    return world


def apt_cache(world: World, bazel: str = "", unpacked: int = 1024) -> None:
    """An index with Bazel in version `bazel`, each package `unpacked` KiB once unpacked."""
    bazel = bazel or f"{world.version}+ds-8"
    world.program(
        "apt-cache",
        f"""
        if [ $1 = depends ]; then printf 'bazel-bootstrap\\n  Depends: gcc\\nbazel-rules-pkg\\n'
            printf 'bazel-rules-shell\\ngcc\\n'; exit; fi
        while [ "$1" != bazel-bootstrap ]; do shift; done
        for name; do
            version=0.9.1-2; [ $name = bazel-bootstrap ] && version={bazel}
            printf 'Package: %s\\nVersion: %s\\nSize: 1000000\\nInstalled-Size: {unpacked}\\n\\n' \\
                $name $version
        done""",
    )


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def jar(path: Path, manifest: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", f"Manifest-Version: 1.0\r\n{manifest}\r\n")
