"""Packages from the mirror of the machine's own apt: found, verified, unpacked.

apt does the work, with a state of its own: nothing of the system's is touched, and
nobody need be root. It verifies the index against Debian's keyring and each package
against the index.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tools.bootstrap.console import Meter
from tools.bootstrap.launch import BazelwError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class Package:
    """A package as the index describes it."""

    name: str
    version: str
    size: int  # bytes to download
    unpacked: int  # bytes once unpacked


def call(*command: str, env: dict[str, str] | None = None) -> str:
    """The command's output; raises with what it said if it fails."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise BazelwError(f"{Path(command[0]).name} failed ({done.returncode}): {said}")
    return done.stdout


def private_apt(folder: Path, suite: str) -> dict[str, str]:
    """The environment in which apt knows `suite` only, its index downloaded to `folder`."""
    plain = {**os.environ, "LC_ALL": "C"}
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING} arch=amd64] {mirror(plain)} {suite} main\n")
    # How the machine reaches its mirror (proxies, certificates), but none of its hooks.
    reach = re.findall(r"^Acquire::(?!IndexTargets).*", call("apt-config", "dump", env=plain), re.M)
    ours = {
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": "/dev/null",  # as if nothing were installed
        "Dir::Cache": folder / "cache",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "",  # who is not root cannot become _apt
        "Acquire::Languages": "none",
        "Debug::NoLocking": "1",
    }
    config = folder / "apt.conf"
    config.write_text("\n".join([*reach, *(f'{key} "{ours[key]}";' for key in ours), ""]))
    env = {**plain, "APT_CONFIG": str(config)}
    try:
        call("apt-get", "--quiet", "update", env=env)
    except BazelwError as error:
        raise BazelwError(f"the index of Debian's {suite} is out of reach: {error}") from error
    return env


def mirror(env: dict[str, str]) -> str:
    """The URI from which the machine's own apt takes Debian."""
    # Not `indextargets`, which is silent until the first update, as in a fresh container.
    uris = call("apt-get", "--print-uris", "update", env=env)
    release = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)
    suites = {"stable", "testing", "unstable", "sid", "forky", release[1] if release else "stable"}
    for uri, suite in re.findall(r"^'(\S+)/dists/(\S+)/InRelease'", uris, re.M):
        if suite in suites:
            return str(uri)
    raise BazelwError("apt knows no mirror of Debian: see /etc/apt/sources.list.d")


def choose(env: dict[str, str], roots: Iterable[str], patterns: Iterable[str]) -> list[Package]:
    """What matches `patterns` among `roots` and all that they depend on."""
    closure = call("apt-cache", "depends", "--recurse", "--important", *roots, env=env)
    names = {line for line in closure.splitlines() if re.match(r"\w", line)}
    chosen = sorted(name for name in names if any(fnmatch(name, p) for p in patterns))
    shown = call("apt-cache", "show", "--no-all-versions", *chosen, env=env)
    packages = []
    for stanza in re.split(r"\n\n+", shown.strip()):
        field = dict(re.findall(r"^([\w-]+): (.*)", stanza, re.M))
        unpacked = 1024 * int(field["Installed-Size"])
        packages.append(Package(field["Package"], field["Version"], int(field["Size"]), unpacked))
    return packages


def download(env: dict[str, str], packages: list[Package], folder: Path, meter: Meter) -> None:
    """Downloads the packages to `folder`; apt verifies each one's hash."""
    status, said = os.pipe()
    command = ["apt-get", "--quiet", "--option", f"APT::Status-Fd={said}", "download"]
    command += [package.name for package in packages]
    with subprocess.Popen(
        command,
        env=env,
        cwd=folder,
        pass_fds=[said],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as apt:
        os.close(said)
        with os.fdopen(status) as lines:  # dlstatus:3:41.5:Retrieving file 3 of 58
            for line in lines:
                meter.show(float(line.split(":")[2]) / 100)
        _, complaint = apt.communicate()
    if apt.returncode:
        raise BazelwError(f"the download failed: {complaint.strip()}")
    meter.show(1)


def unpack(debs: Path, root: Path, meter: Meter) -> None:
    """Unpacks all packages of `debs` into `root`, removing each once it is unpacked."""

    def unpack_one(deb: Path) -> None:
        call("dpkg", "--extract", str(deb), str(root))
        deb.unlink()

    # The largest first: it alone takes half of the time.
    todo = sorted(debs.glob("*.deb"), key=lambda deb: deb.stat().st_size, reverse=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(unpack_one, todo), start=1):
            meter.show(done / len(todo))
