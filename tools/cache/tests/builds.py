"""A workspace of its own in which the repository's own `bazelw`, flags and `.ci/run` build."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.cache.tests.running_cache import TOKEN

ROOT = Path(__file__).parents[3]  # the workspace, in a checkout and in runfiles
OURS = (
    ".bazelversion",
    ".ci/run",
    "bazelw",
    "tools/bootstrap",
    "tools/cache/cache.bazelrc",
    "tools/cache/credentials.py",
)

# A chain whose middle runs in every fresh clone: it comes after the first was found in the cache,
# and needs little of that; something happens meanwhile; then the end needs all of it.
BUILD = """\
genrule(name = "first", srcs = ["source.txt"], outs = ["first.txt", "found.txt"],
        cmd = "tr a-z A-Z < $< > $(location first.txt); echo found > $(location found.txt)")
genrule(name = "middle", srcs = ["found.txt", "turn.txt"], outs = ["middle.txt"],
        cmd = "sh {tree}/meanwhile.sh; cp $(location turn.txt) $@", tags = ["no-cache"])
genrule(name = "last", srcs = ["first.txt", "middle.txt"], outs = ["last.txt"],
        cmd = "cat $(SRCS) > $@")
sh_test(name = "test", srcs = ["test.sh"], data = ["last.txt", "source.txt", "turn.txt"])
"""
TEST = """\
#!/bin/sh
{ tr a-z A-Z < source.txt; cat turn.txt; } | diff - last.txt
"""


@dataclass(frozen=True)
class Built:
    """What a command did."""

    status: int
    output: str
    """Of standard error, which is where Bazel speaks."""
    hits: int
    """Actions that came from the cache."""
    ran: int
    """Actions that ran."""
    last: str
    """The last file of the chain, "" where it is not there."""


# Of a checkout; what is declared as data has none of these.
ignored = shutil.ignore_patterns("BUILD.bazel", "__pycache__", "tests")


class Builder:
    """Builds in `folder` with the Bazel that `program` is."""

    def __init__(self, folder: Path, program: Path) -> None:
        self.home = folder
        self._tree = folder / "workspace"
        for name in OURS:
            source, target = ROOT / name, self._tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignored)
            else:
                shutil.copy(source, target)
        (self._tree / "MODULE.bazel").write_text('module(name = "tiny")\n')
        (self._tree / "BUILD.bazel").write_text(BUILD.replace("{tree}", str(self._tree)))
        # In a sandbox there is no other: what builds here runs as it is.
        (self._tree / ".bazelrc").write_text(
            "import %workspace%/tools/cache/cache.bazelrc\n"
            "common --spawn_strategy=local --lockfile_mode=off --noshow_progress\n"
        )
        test = self._tree / "test.sh"
        test.write_text(TEST)
        test.chmod(0o755)
        bazel = folder / "bazel"
        bazel.write_text(
            "#!/bin/sh\n"
            # .ci/run ends the server each time; here the next test goes on with it. The home is the
            # test's own, for Java too, which asks the system and not HOME.
            f'case "$*" in *shutdown) [ "$KEEP" ] && exit ;; esac\n'
            f"exec {program} --nohome_rc --output_user_root={folder}/output "
            f'--host_jvm_args=-Xmx384m --host_jvm_args=-Duser.home={folder} "$@"\n'
        )
        bazel.chmod(0o755)
        self._environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "KEEP": "the server",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "FRAUD_BAZEL": str(bazel),
        }
        self.write("source.txt", "anything\n")
        self.write("turn.txt", "first turn\n")

    def write(self, name: str, text: str) -> None:
        """Changes a source file: `source.txt`, the chain's begin, or `turn.txt`, its middle."""
        (self._tree / name).write_text(text)

    def forget(self) -> None:
        """What a fresh clone has: nothing."""
        self._call(["./bazelw", "clean"], "")

    def shutdown(self) -> None:
        """Ends the Bazel server."""
        self._environment["KEEP"] = ""
        self._call(["./bazelw", "shutdown"], "")

    def build(self, url: str, *options: str, meanwhile: str = ":") -> Built:
        """Tests everything as a developer does.

        Args:
            url: of the cache, "" for none.
            options: for Bazel.
            meanwhile: what happens in the middle of it, a shell command.
        """
        self.write("meanwhile.sh", meanwhile)
        return self._built(self._call(["./bazelw", "test", *options, "//..."], url))

    def ci(self, url: str, *, meanwhile: str = ":", token: str = TOKEN) -> Built:
        """Tests everything as CI does."""
        self.write("meanwhile.sh", meanwhile)
        return self._built(self._call([".ci/run"], url, token))

    def _built(self, done: subprocess.CompletedProcess[str]) -> Built:
        last = self._tree / "bazel-bin/last.txt"
        counts = re.findall(r"(\d+) (remote cache hit|disk cache hit|local)", done.stderr)
        return Built(
            status=done.returncode,
            output=done.stderr,
            hits=sum(int(n) for n, how in counts if how != "local"),
            ran=sum(int(n) for n, how in counts if how == "local"),
            last=last.read_text() if last.exists() else "",
        )

    def _call(
        self, command: Sequence[str], url: str, token: str = ""
    ) -> subprocess.CompletedProcess[str]:
        environment = self._environment | {"FRAUD_CACHE_URL": url, "FRAUD_CACHE_TOKEN": token}
        return subprocess.run(
            command, cwd=self._tree, env=environment, capture_output=True, text=True, check=False
        )
