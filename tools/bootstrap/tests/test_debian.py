"""Assembling Bazel from Debian's packages, with an apt and a dpkg that are shell scripts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tools.bootstrap.debian.packages import KEYRING
from tools.bootstrap.tests.conftest import JVM, SHARE, World, apt_cache

pytestmark = pytest.mark.skipif(not Path(KEYRING).exists(), reason="only Debian is assembled from")


def unshare(script: str) -> list[str]:
    """A command line for `script` where it may mount."""
    return ["/usr/bin/unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c", script]


def may_mount() -> bool:
    try:
        return subprocess.run(unshare("true"), capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def hold(world: World) -> Path:
    """Makes apt's update wait for a line from the returned pipe."""
    for name in ("hold", "reached"):
        os.mkfifo(f"{world.log}.{name}")
    return Path(f"{world.log}.hold")


def wait_for_update(world: World) -> None:
    """Returns once the held update has begun."""
    Path(f"{world.log}.reached").read_text()


def test_the_first_command_assembles_and_the_next_ones_do_not(debian: World) -> None:
    first = debian.run("build", "//...")
    (prefix,) = debian.prefixes()
    expected = [
        f"{prefix}/root/usr/bin/bazel",
        "<--nosystem_rc>", f"<--bazelrc={prefix}/bazelrc>", "<build>", "<//...>",
    ]  # fmt: skip
    assert first.stdout.splitlines() == expected
    assert "bazelw: downloading 3 packages, 3 MB\n" in first.stderr
    second = debian.run("build", "//...")
    assert second.stdout.splitlines() == expected
    assert second.stderr == ""
    assert len(debian.calls("apt-get --quiet update")) == 1


def test_every_path_in_the_prefix_is_the_final_one(debian: World) -> None:
    debian.run("build")
    (prefix,) = debian.prefixes()
    for path in prefix.rglob("*"):
        if path.is_file():
            assert b".partial-" not in path.read_bytes(), path
    bound = debian.calls("patchelf")
    assert len(bound) == 4  # Bazel, its helper, java, jspawnhelper
    libraries = f"{prefix}/root/usr/lib/x86_64-linux-gnu"
    for call in bound:
        assert f"--set-interpreter {libraries}/ld-linux-x86-64.so.2 --force-rpath" in call
        assert f":{libraries} " in call


def test_the_class_path_holds_what_is_listed_and_what_manifests_name(debian: World) -> None:
    debian.run("build")
    (prefix,) = debian.prefixes()
    java = prefix / "root/usr/share/java"
    listing = prefix / "root" / SHARE / "bazel_classpath_debian_depends.txt"
    assert listing.read_text().splitlines() == [f"{java}/listed.jar", f"{java}/named.jar"]
    assert sorted(path.name for path in java.iterdir()) == ["listed.jar", "named.jar"]


def test_the_java_runtime_is_configured_from_the_prefix(debian: World) -> None:
    debian.run("build")
    (prefix,) = debian.prefixes()
    link = prefix / "root" / JVM / "conf/net.properties"
    assert link.resolve() == prefix.resolve() / "root/etc/java-21-openjdk/net.properties"
    assert not link.readlink().is_absolute()


def test_what_nobody_needs_is_not_kept(debian: World) -> None:
    debian.run("build")
    (prefix,) = debian.prefixes()
    assert sorted(path.name for path in prefix.iterdir()) == [
        "bazelrc", "empty", "registry", "root",
    ]  # fmt: skip
    assert not (prefix / "root/usr/share/doc").exists()


def test_the_registry_has_debians_rules_and_stands_in_for_what_debian_lacks(debian: World) -> None:
    debian.run("build")
    (prefix,) = debian.prefixes()
    modules = prefix / "registry/modules"
    entries = {str(path.parent.relative_to(modules)) for path in modules.rglob("source.json")}
    assert entries == {"rules_pkg/0.9.1", "rules_shell/0.9.1", "buildozer/7.1.2"}
    shell = modules / "rules_shell/0.9.1"
    assert 'version = "0.9.1"' in (shell / "MODULE.bazel").read_text()
    source = json.loads((shell / "source.json").read_text())
    assert source == {"type": "local_path", "path": f"{prefix}/root/{SHARE}/rules/shell"}


def test_apt_knows_only_the_mirror_of_the_machine_and_how_to_reach_it(debian: World) -> None:
    debian.run("build")
    config = Path(f"{debian.log}.conf").read_text()
    assert 'Acquire::Retries "3";' in config
    assert 'Dir::Etc::parts "/dev/null";' in config


def test_pips_extra_index_is_the_callers_own(debian: World) -> None:
    debian.run("build")
    done = debian.run("build", PIP_EXTRA_INDEX_URL='http://one.invalid "two"')
    options = [line[1:-1] for line in done.stdout.splitlines()[1:]]
    (prefix,) = debian.prefixes()
    assert options[1] == f"--bazelrc={prefix}/bazelrc"
    assert "--repo_env=PIP_EXTRA_INDEX_URL=\n" in (prefix / "bazelrc").read_text()
    rc = Path(options[2].removeprefix("--bazelrc="))
    expected = 'common "--repo_env=PIP_EXTRA_INDEX_URL=http://one.invalid \\"two\\""\n'
    assert rc.read_text() == expected
    assert rc.stat().st_mode & 0o777 == 0o600


def test_a_suite_that_moved_on_is_told_from_what_is_wanted(debian: World) -> None:
    apt_cache(debian, bazel="8.1.0+ds-1")
    done = debian.run("build")
    assert done.returncode == 1
    assert f"expected Bazel {debian.version}, found 8.1.0+ds-1 in Debian's forky" in done.stderr
    assert debian.prefixes() == []


def test_a_mirror_that_fails_is_told_with_what_apt_said(debian: World) -> None:
    apt = debian.bin / "apt-get"
    apt.write_text(apt.read_text().replace("*download*)", "*download*) echo gone >&2; exit 100"))
    done = debian.run("build")
    assert done.returncode == 1
    assert "bazelw: the download failed: gone" in done.stderr
    assert debian.prefixes() == []


def test_of_two_at_once_one_assembles_and_the_other_waits(debian: World) -> None:
    pipe = hold(debian)
    with debian.start("first") as first:
        wait_for_update(debian)
        with debian.start("second") as second:
            assert second.stderr is not None
            assert "another bazelw is preparing" in second.stderr.readline()
            pipe.write_text("go on\n")
            assert first.communicate()[0].splitlines()[-1] == "<first>"
            assert second.communicate()[0].splitlines()[-1] == "<second>"
    assert len(debian.calls("apt-get --quiet update")) == 1
    assert len(debian.prefixes()) == 1


def test_killed_half_way_it_starts_again_cleanly(debian: World) -> None:
    pipe = hold(debian)
    with debian.start("build") as killed:
        wait_for_update(debian)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        (leftover,) = debian.prefixes()
        pipe.rename(f"{pipe}.old")  # the killed one's apt lives on, and is still held
        assert debian.run("build").stdout.splitlines()[-1] == "<build>"
        os.killpg(killed.pid, signal.SIGKILL)
    (prefix,) = debian.prefixes()
    assert ".partial-" in leftover.name
    assert leftover.name.startswith(f"{prefix.name}.")


def test_interrupted_it_leaves_nothing(debian: World) -> None:
    hold(debian)
    with debian.start("build") as interrupted:
        wait_for_update(debian)
        os.killpg(interrupted.pid, signal.SIGINT)
        _, said = interrupted.communicate()
    assert interrupted.returncode == 130
    assert "Traceback" not in said
    assert debian.prefixes() == []


def test_a_prefix_that_nobody_uses_any_more_is_removed(debian: World) -> None:
    old, recent = (debian.cache / f"debian-bazel-{name}" for name in ("6.0.0-old", "6.0.0-recent"))
    for prefix in (old, recent):
        prefix.mkdir(parents=True)
    os.utime(old, (0, 0))
    done = debian.run("build")
    assert f"removing {old}, not used for 30 days" in done.stderr
    assert not old.exists()
    assert recent.exists()


def test_a_changed_recipe_is_assembled_anew(debian: World) -> None:
    debian.run("build")
    with (debian.workspace / "tools/bootstrap/debian/assemble.py").open("a") as recipe:
        recipe.write("# changed\n")
    debian.run("build")
    assert len(debian.prefixes()) == 2


@pytest.mark.parametrize(
    ("cache", "message"),
    [
        ("/tmp/cache", "the sandbox mounts a /tmp of its own"),
        ("/var/tmp/two words", "allow none of space"),
        ("/dev/null/cache", "cannot write ([Errno 20] Not a directory"),
    ],
)
def test_a_place_where_bazel_cannot_live_is_an_error(
    debian: World, cache: str, message: str
) -> None:
    done = debian.run("build", XDG_CACHE_HOME=cache)
    assert done.returncode == 1
    assert message in done.stderr
    assert "set XDG_CACHE_HOME" in done.stderr


def test_without_a_home_the_message_asks_for_one(debian: World) -> None:
    done = debian.run("build", HOME="", XDG_CACHE_HOME="relative")
    assert done.returncode == 1
    assert "HOME is not set: set it, or XDG_CACHE_HOME" in done.stderr


@pytest.mark.skipif(not may_mount(), reason="this machine forbids user namespaces")
@pytest.mark.parametrize(
    ("unpacked", "message"),
    [
        (400_000, "1,282 MB of disk space are needed in"),
        (1, "is full ([Errno 28]"),
    ],
)
def test_a_full_disk_is_told_and_leaves_nothing(debian: World, unpacked: int, message: str) -> None:
    apt_cache(debian, unpacked=unpacked)
    debian.program("dpkg", "dd if=/dev/zero of=$3/filler bs=1M count=100")
    cache = debian.cache.parent
    cache.mkdir()
    script = f"mount -t tmpfs -o size=64m none {cache} && {debian.bazelw} build; "
    script += f"echo $?; ls -d {debian.cache}/debian*/"
    done = subprocess.run(
        unshare(script),
        env={**debian.env, "PATH": f"{debian.bin}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1\n"
    assert message in done.stderr
    assert "make room" in done.stderr
