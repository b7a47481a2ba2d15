"""The recipe from beginning to end."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tools.bootstrap.console import Meter, megabytes, say
from tools.bootstrap.debian import packages, registry, relocate, truststore
from tools.bootstrap.launch import BazelwError
from tools.bootstrap.store import require_space

SUITE = "forky"  # the Debian release that carries Bazel 7
ROOTS = ("bazel-bootstrap", "bazel-rules-pkg", "bazel-rules-shell", "libblake3-0",
         "openjdk-21-jre-headless", "patchelf")  # fmt: skip
TAKE = (
    "bazel-*",  # the client, the server, and the rules
    # The client's and the helpers' libraries. Debian names them after their versions.
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "patchelf",
    "libabsl[0-9]*", "libcares[0-9]", "libgrpc[0-9]*", "libgrpc++*", "libprotobuf[0-9]*",
    "libblake3-0", "libtbb[0-9]*", "libzstd1", "libzstd-jni[0-9]*", "libasync-profiler-jni",
    # The Java runtime.
    "openjdk-21-jre-headless", "libjpeg62-turbo", "liblcms2-2",
    # Jars that the server's class path names.
    "libanimal-sniffer-java", "libasync-profiler-java", "libcaffeine-java",
    "libchecker-framework-java", "libcommons-compress-java", "libcommons-io-java",
    "libcommons-lang-java", "libcommons-pool2-java", "libdiffutils-java", "liberror-prone-java",
    "libfastutil-java", "libgoogle-*-java", "libgrpc-java", "libguava-java", "libhamcrest-java",
    "libjava-allocation-instrumenter-java", "libjavapoet-java", "libjcip-annotations-java",
    "libjcommander-java", "libjsr305-java", "libnetty-*java", "libperfmark-java",
    "libproguard-java", "libprotobuf-java", "libreactive-streams-java", "librx-java",
    "libtomcat9-java", "libtruth-java", "libxz-java", "velocity",
)  # fmt: skip
DROP = (
    "etc/bazel", "usr/include", "usr/lib/debug", "usr/share/ant", "usr/share/bash-completion",
    "usr/share/binfmts", "usr/share/doc", "usr/share/doc-base", "usr/share/gcc", "usr/share/gdb",
    "usr/share/lintian", "usr/share/man", "usr/share/maven-repo", "usr/share/zsh",
    f"{relocate.JAVA}/lib/server/classes_nocoops.jsa",  # a faster start for heaps above 32 GB
)  # fmt: skip
HEADROOM = 50_000_000  # bytes: the index while it is in use, and the file system's own


def obstacle() -> str:
    """Why Bazel cannot be assembled on this machine, "" where it can."""
    if os.uname().sysname != "Linux" or os.uname().machine != "x86_64":
        return "Debian's packages serve Linux on amd64 only"
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing:
        return f"there is no {' and no '.join(missing)} to assemble Bazel from Debian's packages"
    if not Path(packages.KEYRING).exists():
        return f"Debian's keyring is missing ({packages.KEYRING})"
    return ""


def assemble(aside: Path, final: Path, wanted: str) -> None:
    """Assembles in `aside` what will work once it is renamed to `final`."""
    work, root = aside / "apt", aside / "root"
    root.mkdir()
    say(f"assembling Bazel {wanted} from Debian's packages in {final}")
    env = packages.private_apt(work, SUITE)
    chosen = packages.choose(env, ROOTS, TAKE)
    require_version(chosen, wanted)
    size = sum(package.size for package in chosen)
    require_space(aside, size + sum(package.unpacked for package in chosen) + HEADROOM)
    debs = work / "debs"
    debs.mkdir()
    what = f"{len(chosen)} packages, {megabytes(size)}"
    with Meter(f"downloading {what}") as meter:
        packages.download(env, chosen, debs, meter)
    with Meter("unpacking them") as meter:
        packages.unpack(debs, root, meter)
    shutil.rmtree(work)

    for path in [root / name for name in DROP]:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
    relocate.bind(root, final)
    relocate.relink_java(root)
    truststore.provide(root / relocate.JAVA / "lib/security/cacerts")
    relocate.class_path(root, final)
    versions = {package.name: package.version for package in chosen}
    registry.write(aside, final, versions)
    (aside / "bazelrc").write_text(bazelrc(final))
    prove(aside, wanted)
    kept = sum(f.lstat().st_size for f in aside.rglob("*") if not f.is_symlink() and f.is_file())
    say(f"assembled Bazel {wanted}, {megabytes(kept)}")


def require_version(chosen: list[packages.Package], wanted: str) -> None:
    """Raises where the suite has moved on to another Bazel."""
    found = next((p.version for p in chosen if p.name == "bazel-bootstrap"), "none")
    if re.split(r"[+~-]", found)[0] != wanted:
        raise BazelwError(
            f"expected Bazel {wanted}, found {found} in Debian's {SUITE}: install Bazelisk or "
            f"set FRAUD_BAZEL to a Bazel {wanted}, or move .bazelversion and the rules in "
            "MODULE.bazel to what Debian has"
        )


def bazelrc(final: Path) -> str:
    """What makes Debian's Bazel work from `final`, on a machine without a module registry."""
    jre = final / "root" / relocate.JAVA
    lines = [
        f"startup --install_base={final}/root/usr/share/bazel --trust_install_base",
        f"startup --server_javabase={jre}",
        f"startup --host_jvm_args=-Djavax.net.ssl.trustStore={jre}/lib/security/cacerts",
        f"common --noenable_workspace --lockfile_mode=off --registry=file://{final}/registry",
        *(f"common --override_module={name}={final}/{folder}"
          for name, folder in registry.OVERRIDDEN.items()),
        "# Java for programs and their builds: this runtime, not a download.",
        "common --java_runtime_version=local_jdk --tool_java_runtime_version=local_jdk",
        f"common --repo_env=JAVA_HOME={jre}",
        "# Python: the host's, for Debian's rules_python cannot download one here.",
        "common --repo_env=FRAUD_HOST_PYTHON=1",
        "# pip: as this machine's users have configured it, not as for the open internet.",
        "common --repo_env=RULES_PYTHON_PIP_ISOLATED=0 --repo_env=PIP_EXTRA_INDEX_URL=",
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def prove(aside: Path, wanted: str) -> None:
    """Raises unless this is the wanted Bazel, complete, with the Java that Spark needs."""
    root = aside / "root"
    label = (root / "usr/share/bazel/build-label.txt").read_text().strip()
    if label != wanted:
        raise BazelwError(f"expected Bazel {wanted}, the one assembled says {label}")
    for program in relocate.programs(root):
        for line in packages.call(*relocate.loader(root), "--list", str(program)).splitlines():
            name, _, library = line.strip().partition(" => ")
            if library and not library.startswith(f"{aside}/"):
                raise BazelwError(f"{program.name} takes {name} not from the prefix: {library}")
    if "jdk.incubator.vector" not in (root / relocate.JAVA / "release").read_text():
        raise BazelwError("Debian's Java runtime lacks jdk.incubator.vector, which Spark needs")
