"""Making programs and files that expect to lie in / work from a prefix."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

from tools.bootstrap.debian.packages import call
from tools.bootstrap.launch import BazelwError

LIB = "usr/lib/x86_64-linux-gnu"
JAVA = "usr/lib/jvm/java-21-openjdk-amd64"
LOADER = f"{LIB}/ld-linux-x86-64.so.2"
LISTING = "usr/share/bazel/bazel_classpath_debian_depends.txt"
# Debian's own listing names these, and no package has them.
ABSENT = {
    "/usr/share/java/auto-value-gson-extension.jar",
    "/usr/share/java/auto-value-gson-factory.jar",
    "/usr/share/java/auto-value-gson-runtime.jar",
    "/usr/share/java/netty-tcnative.jar",
}


def loader(root: Path) -> tuple[str, ...]:
    """The beginning of a command line that runs a program of `root` where it lies now."""
    return (f"{root}/{LOADER}", "--library-path", f"{root}/{LIB}")


def programs(root: Path) -> list[Path]:
    """The programs that run on this machine: Bazel's, and Java's."""
    return [
        root / "usr/bin/bazel",
        *sorted((root / "usr/libexec/x86_64-linux-gnu/bazel").iterdir()),
        *sorted((root / JAVA / "bin").iterdir()),
        root / JAVA / "lib/jspawnhelper",  # through which Java starts every child process
    ]


def bind(root: Path, final: Path) -> None:
    """Binds every program to the libraries beside it: the host's are older."""
    target = final / "root"
    for program in programs(root):
        # DT_RPATH: RUNPATH would not reach the libraries' own dependencies.
        call(
            *loader(root),
            f"{root}/usr/bin/patchelf",
            "--set-interpreter",
            f"{target}/{LOADER}",
            "--force-rpath",
            "--set-rpath",
            f"$ORIGIN/../lib:{target}/{LIB}",
            str(program),
        )


def relink_java(root: Path) -> None:
    """Points the runtime's links to its configuration, in /etc, to the one in `root`."""
    for link in [path for path in (root / JAVA).rglob("*") if path.is_symlink()]:
        etc = str(link.readlink())
        target = Path(f"{root}{etc}")
        if etc.startswith("/etc/") and target.exists():
            link.unlink()
            link.symlink_to(os.path.relpath(target, link.parent))


def class_path(root: Path, final: Path) -> None:
    """Rewrites the server's class path to paths in `final`, and drops the jars not on it.

    The jars' manifests name further jars by absolute paths, so those are listed too.
    """
    listing = root / LISTING
    queue = [jar for jar in listing.read_text().split() if jar not in ABSENT]
    missing = [jar for jar in queue if not Path(f"{root}{jar}").exists()]
    if missing:
        raise BazelwError(f"Bazel's class path names jars that no package brought: {missing}")
    found: dict[str, None] = {}  # in order, each once
    for jar in queue:  # grows meanwhile
        if jar not in found and Path(f"{root}{jar}").exists():
            found[jar] = None
            queue += manifest_class_path(root, jar)
    listing.write_text("".join(f"{final}/root{jar}\n" for jar in found))

    used = {Path(f"{root}{jar}").resolve() for jar in found}
    for path in list((root / "usr/share/java").rglob("*")):
        if path.resolve() not in used and not path.is_dir():
            path.unlink()


def manifest_class_path(root: Path, jar: str) -> list[str]:
    """The jars that the manifest of `jar` names, as paths below `root`."""
    with zipfile.ZipFile(f"{root}{jar}") as archive:
        if "META-INF/MANIFEST.MF" not in archive.namelist():
            return []
        manifest = archive.read("META-INF/MANIFEST.MF").decode()
    unfolded = manifest.replace("\r\n", "\n").replace("\n ", "")
    named = " ".join(re.findall(r"^Class-Path:(.*)", unfolded, re.MULTILINE)).split()
    return [os.path.normpath(Path(jar).parent / path) for path in named]
