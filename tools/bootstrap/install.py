"""Installing a Bazel where the machine has none: Bazelisk through npm, else Debian's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

from tools.bootstrap.ask import version_of
from tools.bootstrap.console import say
from tools.bootstrap.debian.assemble import assemble, obstacle
from tools.bootstrap.launch import (
    BAZELISK,
    BazelwError,
    Found,
    bazelisk_prefix,
    debian_command,
    debian_prefix,
    wanted_version,
)
from tools.bootstrap.store import build, remove_unused

PATIENCE = 2.0  # seconds that Bazel's release site has to answer

HELP = """\
Any one of these helps:
  - install Bazelisk (https://github.com/bazelbuild/bazelisk) on PATH
  - install npm on a machine that reaches Bazel's release site
  - use Debian 12 or newer on amd64, where bazelw assembles Bazel from packages
  - set FRAUD_BAZEL to the path of a Bazel"""


def install(root: str) -> Found:
    """Installs a Bazel and returns it; later commands find it in place."""
    wanted = wanted_version(root)
    way, why = plan()
    if way == "npm":
        prefix = Path(bazelisk_prefix())
        try:
            build(prefix, lambda aside: npm_install(aside, wanted, root))
            return Found("npm", [f"{prefix}/bazelisk"], wanted)
        except BazelwError as error:
            say(str(error))
            way, why = plan_without_npm([str(error)])
    if way == "Debian":
        prefix = habitable(Path(debian_prefix(wanted)))
        build(prefix, lambda aside: assemble(aside, prefix, wanted))
        remove_unused("debian-bazel-*", prefix.parent)
        return Found("Debian", debian_command(str(prefix)), wanted)
    raise BazelwError(f"no Bazel {wanted}, and no way to install it: {'; '.join(why)}\n{HELP}")


def habitable(prefix: Path) -> Path:
    """`prefix`, where Bazel can live in it."""
    if Path("/tmp") in prefix.resolve().parents:  # noqa: S108 (the sandbox's, not ours)
        why = "the sandbox mounts a /tmp of its own"
    elif re.search(r"[\s:'\"\\$#%]", str(prefix)):
        why = "lists of paths and options allow none of space : ' \" \\ $ # % in it"
    else:
        return prefix
    raise BazelwError(f"Bazel cannot live in {prefix}: {why}; set XDG_CACHE_HOME to another folder")


def plan() -> tuple[str, list[str]]:
    """How a Bazel would be installed ("npm", "Debian" or ""), and what decided it."""
    site = release_site()
    if not answers(site):
        return plan_without_npm([f"{site} does not answer within {PATIENCE:g} s"])
    if shutil.which("npm") is None:
        return plan_without_npm([f"{site} answers, but npm is not installed"])
    return "npm", [f"{site} answers"]


def plan_without_npm(why: list[str]) -> tuple[str, list[str]]:
    """What is left where npm is of no help, which is `why`."""
    problem = obstacle()
    return ("", [*why, problem]) if problem else ("Debian", why)


def release_site() -> str:
    """Where Bazelisk downloads Bazel from; the variable is Bazelisk's own."""
    return os.environ.get("BAZELISK_BASE_URL") or "https://releases.bazel.build"


def answers(site: str) -> bool:
    """Whether `site` answers in time, be it with an error page."""
    heard = threading.Event()
    done = threading.Event()

    def knock() -> None:
        try:
            urllib.request.urlopen(site, timeout=PATIENCE).close()  # noqa: S310 (https, or the user's)
            heard.set()
        except urllib.error.HTTPError:
            heard.set()
        except (OSError, ValueError):
            pass
        done.set()

    # In a thread, for no timeout of urllib's limits the name lookup.
    threading.Thread(target=knock, daemon=True).start()
    done.wait(PATIENCE)
    return heard.is_set()


def npm_install(aside: Path, wanted: str, root: str) -> None:
    """Leaves the program `bazelisk` in `aside`, having seen that it provides `wanted`."""
    say(f"installing Bazelisk {BAZELISK} through npm")
    command = ["npm", "install", "--prefix", str(aside), "--no-audit", "--no-fund"]
    command += ["--ignore-scripts", f"@bazel/bazelisk@{BAZELISK}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BazelwError(f"npm could not install Bazelisk: {done.stderr.strip()}")
    system, machine = os.uname().sysname.lower(), os.uname().machine
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    package = aside / "node_modules/@bazel/bazelisk"
    program = aside / "bazelisk"  # the program itself: its wrapper would start Node each time
    (package / f"bazelisk-{system}_{machine}").rename(program)
    program.chmod(0o755)
    shutil.rmtree(aside / "node_modules")
    say(f"downloading Bazel {wanted}")
    if version_of(str(program), root).split(".")[0] != wanted.split(".")[0]:
        raise BazelwError(f"Bazelisk could not provide Bazel {wanted}")
