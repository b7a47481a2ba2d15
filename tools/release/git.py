"""What a release asks of git: files of any state, and a commit with its tags at one moment."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.release.errors import ReleaseError

_NOTHING = "0" * 40


@dataclass(frozen=True, slots=True)
class Git:
    """The repository of a working tree."""

    root: Path

    def _run(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> bytes:
        command = ["git", "-C", str(self.root), *arguments]
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                check=False,
                env={**os.environ, **(environment or {})},
            )
        except FileNotFoundError as error:
            raise ReleaseError("releases need git, and there is none on PATH") from error
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise ReleaseError(f"git {arguments[0]} failed: {said}")
        return done.stdout

    def _text(self, *arguments: str, stdin: str = "") -> str:
        return self._run(*arguments, stdin=stdin.encode()).decode().strip()

    def head(self) -> str:
        """The commit that is checked out."""
        return self._text("rev-parse", "--verify", "HEAD^{commit}")

    def branch(self) -> str:
        """The branch that is checked out, as `refs/heads/main`.

        Raises:
            ReleaseError: none is.
        """
        try:
            return self._text("symbolic-ref", "HEAD")
        except ReleaseError as error:
            raise ReleaseError("no branch is checked out, so none can get the release") from error

    def dirt(self) -> list[str]:
        """What differs from the last commit or is not in it, as git tells."""
        return self._run("status", "--porcelain").decode().splitlines()

    def tags(self) -> set[str]:
        """All tags."""
        return set(self._text("tag", "--list").split())

    def files(self, state: str, *paths: str) -> dict[str, bytes]:
        """The contents of the files in some folders, by name.

        Args:
            state: a commit, a tag or a tree.
            paths: of the files or folders; those that are not there have no files.
        """
        named = self._run("ls-tree", "-r", "-z", state, "--", *paths).decode().split("\0")[:-1]
        entries = [line.split("\t", 1) for line in named]
        objects = [(name, about.split()[2]) for about, name in entries]
        asked = "".join(f"{one}\n" for _, one in objects)
        answered = self._run("cat-file", "--batch", stdin=asked.encode())
        files = {}
        for name, _ in objects:
            header, _, answered = answered.partition(b"\n")
            size = int(header.split()[2])
            files[name], answered = answered[:size], answered[size + 1 :]
        return files

    def tree(self, base: str, changes: Mapping[str, str | None]) -> str:
        """The tree of ``base`` with other files: texts by name, None for one that is removed.

        Neither the working tree nor the index is touched.
        """
        lines = []
        for name, text in changes.items():
            if text is None:
                lines.append(f"0 {_NOTHING}\t{name}")
            else:
                written = self._text("hash-object", "-w", "--stdin", stdin=text)
                lines.append(f"100644 {written}\t{name}")
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            self._run("read-tree", base, environment=index)
            self._run(
                "update-index",
                "-z",
                "--index-info",
                stdin="".join(f"{line}\0" for line in lines).encode(),
                environment=index,
            )
            return self._run("write-tree", environment=index).decode().strip()

    def commit(self, tree: str, parent: str, message: str) -> str:
        """A commit that nothing leads to yet."""
        return self._text("commit-tree", tree, "-p", parent, "-F", "-", stdin=message)

    def publish(self, commit: str, parent: str, branch: str, tags: Iterable[str]) -> None:
        """Moves the branch from its commit to a new one and sets tags there: all, or nothing.

        Raises:
            ReleaseError: the branch has moved, or a tag exists.
        """
        lines = ["start", f"update {branch} {commit} {parent}"]
        lines += [f"create refs/tags/{tag} {commit}" for tag in tags]
        lines += ["prepare", "commit"]
        self._run("update-ref", "--stdin", stdin="".join(f"{line}\n" for line in lines).encode())
        # The tree was clean, so what differs now is only what the release changed.
        self._run("read-tree", "-u", "-m", parent, commit)
