"""What every command goes through: find the Bazel settled on before, and become it.

Imports stay at os, sys and zlib, for each further one is paid by every command; so
paths are strings here. What happens once (asking a program for its version,
installing, assembling) lies in the sibling modules and is imported when it happens.
"""
# ruff: noqa: PTH100, PTH103, PTH105, PTH110, PTH112, PTH113, PTH116, PTH117, PTH120, PTH121, PTH123, PTH208, SIM105

from __future__ import annotations

import os
import sys
import zlib

BAZELISK = "1.28.1"  # the one installed through npm; which Bazel it runs, .bazelversion says


class BazelwError(Exception):
    """What went wrong and what to do next, for the user's eyes."""


class Found:
    """A Bazel: `how` it was come by, the `command` that runs it, and its `version`."""

    def __init__(self, how: str, command: list[str], version: str = "") -> None:
        self.how = how
        self.command = command
        self.version = version


def main(root: str, args: list[str]) -> int:
    """The exit code, where there is one: normally the process becomes Bazel."""
    try:
        if args == ["--where"]:
            from tools.bootstrap.where import show

            show(root)
            return 0
        found = find(root, [])
        if found is None:
            from tools.bootstrap.install import install

            found = install(root)
        become(found.command + cache_options(args) + args)
    except BazelwError as error:
        sys.stderr.write(f"bazelw: {error}\n")
    except KeyboardInterrupt:
        return 130
    return 1


def find(root: str, notes: list[str], *, fresh: bool = False) -> Found | None:
    """The Bazel to use, None where one has yet to be installed.

    `notes` receives why each better choice was passed over. With `fresh`, programs on
    PATH are asked for their version even where the answer is remembered.
    """
    named = os.environ.get("FRAUD_BAZEL")
    if named:
        if not is_program(named):
            raise BazelwError(
                f"FRAUD_BAZEL={named} is not an executable file: name one, or unset the variable"
            )
        return Found("FRAUD_BAZEL", [os.path.abspath(named)])
    notes.append("FRAUD_BAZEL is not set")

    wanted = wanted_version(root)
    for name in ("bazel", "bazelisk"):
        program = on_path(name, root)
        if program is None:
            notes.append(f"there is no {name} on PATH")
            continue
        version = None if fresh else remembered(program, wanted)
        # One that could not say (Bazelisk without a network, perhaps) is asked again, unless
        # there is something else to use.
        if version is None or (not version and find_installed(wanted) is None):
            from tools.bootstrap.ask import ask

            version = ask(program, wanted, root)
        if version.split(".")[0] == wanted.split(".")[0]:
            return Found("PATH", [program], version)
        notes.append(f"{program} is Bazel {version}" if version else f"{program} does not run")
    return find_installed(wanted)


def find_installed(wanted: str) -> Found | None:
    """What an earlier command installed for itself."""
    try:
        bazelisk, prefix = bazelisk_prefix(), debian_prefix(wanted)
    except BazelwError:  # without a cache folder nothing was installed
        return None
    if os.path.isdir(bazelisk):
        return Found("npm", [f"{bazelisk}/bazelisk"], wanted)
    if os.path.isdir(prefix):
        try:
            os.utime(prefix)  # a prefix that nobody uses any more is removed one day
        except OSError:
            pass
        return Found("Debian", debian_command(prefix), wanted)
    return None


def become(command: list[str]) -> None:
    """Replaces this process, so that signals and the exit code are Bazel's own."""
    # What `signal` wraps in enums, which take 5 ms to import.
    import _signal  # type: ignore[import-not-found]

    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)  # Python ignores it, and exec inherits that
    try:
        os.execv(command[0], command)  # noqa: S606 (no shell is the point)
    except OSError as error:
        raise BazelwError(f"{command[0]} does not start: {error.strerror}") from error


def debian_command(prefix: str) -> list[str]:
    """The command line of the Bazel assembled in `prefix`, up to the user's own options."""
    command = [f"{prefix}/root/usr/bin/bazel", "--nosystem_rc", f"--bazelrc={prefix}/bazelrc"]
    index = " ".join(os.environ.get("PIP_EXTRA_INDEX_URL", "").split())
    if index:
        # The prefix's file empties what the workspace's .bazelrc says; the caller's own value
        # wins over both. In a file, for only Bazel knows where in its arguments an option of
        # a command may stand; and with the value, for `--repo_env=NAME` takes the server's.
        command.append(f"--bazelrc={kept_rc(f'--repo_env=PIP_EXTRA_INDEX_URL={index}')}")
    return command


def cache_options(args: list[str]) -> list[str]:
    """What goes before the user's arguments where FRAUD_CACHE_URL names the shared cache."""
    url = os.environ.get("FRAUD_CACHE_URL", "").strip()
    if not url or args == ["--version"]:  # which Bazel answers only where it stands alone
        return []
    if not url.startswith(("http://", "https://")):
        raise BazelwError(f"FRAUD_CACHE_URL={url} is no http:// or https:// address")
    return [f"--bazelrc={kept_rc(f'--remote_cache={url}')}"]


def kept_rc(option: str) -> str:
    """The path of a bazelrc, kept in the cache, that gives `option` to every command."""
    quoted = option.replace("\\", "\\\\").replace('"', '\\"')
    line = f'common "{quoted}"'
    path = f"{cache_folder()}/{zlib.crc32(line.encode()):08x}.bazelrc"
    if not os.path.exists(path):
        aside = f"{path}.{os.getpid()}"
        try:
            os.makedirs(cache_folder(), exist_ok=True)
            with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as rc:
                rc.write(f"{line}\n")  # may hold a password
            os.replace(aside, path)
        except OSError as error:
            raise BazelwError(f"cannot write {path}: {error.strerror}") from error
    return path


def wanted_version(root: str) -> str:
    """The version in `.bazelversion`."""
    with open(f"{root}/.bazelversion") as lines:
        return lines.readline().strip()


def cache_folder() -> str:
    """Where what was installed and learned is kept."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):  # to be ignored, the XDG specification says
        home = os.environ.get("HOME", "")
        if not os.path.isabs(home):
            raise BazelwError("HOME is not set: set it, or XDG_CACHE_HOME, to a writable folder")
        cache = f"{home}/.cache"
    return f"{cache}/fraud-detect"


def bazelisk_prefix() -> str:
    """Where Bazelisk goes that was installed through npm."""
    return f"{cache_folder()}/bazelisk-{BAZELISK}"


def debian_prefix(wanted: str) -> str:
    """Where the Bazel assembled from Debian's packages goes: a changed recipe, a new place."""
    recipe = f"{os.path.dirname(__file__)}/debian"
    crc = 0  # of no security concern, and hashlib costs 4 ms
    for name in sorted(os.listdir(recipe)):
        if name.endswith(".py"):
            with open(f"{recipe}/{name}", "rb") as module:
                crc = zlib.crc32(module.read(), crc)
    return f"{cache_folder()}/debian-bazel-{wanted}-{crc:08x}"


def is_program(path: str) -> bool:
    """Whether `path` is a file that may be executed."""
    return os.path.isfile(path) and os.access(path, os.X_OK)


def on_path(name: str, root: str) -> str | None:
    """The first program of that name on PATH that is not a link to `bazelw` itself."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = f"{folder}/{name}"
        if os.path.isabs(folder) and is_program(program):
            if os.path.samefile(program, f"{root}/bazelw"):
                continue
            return program
    return None


def remembered(program: str, wanted: str) -> str | None:
    """The version `program` told, "" where it told none, None where it was not asked yet."""
    try:
        with open(f"{cache_folder()}/versions") as lines:
            for line in lines:
                question, _, version = line.rstrip("\n").rpartition("\t")
                if question == question_to(program, wanted):
                    return version
    except (BazelwError, OSError):  # no cache, nothing remembered
        pass
    return None


def question_to(program: str, wanted: str) -> str:
    """What an answer is remembered under: Bazelisk's depends on `wanted`, all on the file."""
    stat = os.stat(program)
    return f"{program}\t{stat.st_mtime_ns}\t{stat.st_size}\t{wanted}"
