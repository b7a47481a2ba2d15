"""Trees of git: the one of BASE, and the working tree as if it were committed now."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.affected.errors import AffectedError


class Trees:
    """A repository, read without a trace: whatever has to be written goes to a folder of ours.

    A tree is named by its hash, which is that of its files' names, modes and contents.
    """

    def __init__(self, root: Path, kept: Path) -> None:
        self.root = root
        self._kept = kept
        objects = kept / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        # Not what a hook of git, or a user, has set for another repository.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._environment = clean | {"LC_ALL": "C"}
        try:
            git_dir = self._git("rev-parse", "--absolute-git-dir").strip()
            theirs = self.root / self._git("rev-parse", "--git-path", "objects").strip()
        except AffectedError as error:
            raise AffectedError(f"{root} is not a git repository: {error}") from error
        self._environment |= {
            "GIT_DIR": git_dir,
            "GIT_WORK_TREE": str(root),
            "GIT_OBJECT_DIRECTORY": str(objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(theirs.resolve()),
        }

    def of_commit(self, name: str) -> str:
        """The tree of a commit, a branch or a tag."""
        try:
            return self._git("rev-parse", "--verify", "--end-of-options", name + "^{tree}").strip()
        except AffectedError as error:
            raise AffectedError(
                f"{name!r} names no commit here: spell it as `git log` would, and where only a "
                f"part of the history was fetched, fetch the rest (git fetch --unshallow)"
            ) from error

    def of_working_tree(self) -> str:
        """The tree that `git add --all` and a commit would make, without either.

        What git ignores is not part of it.
        """
        index = self.root / self._git("rev-parse", "--git-path", "index").strip()
        with tempfile.TemporaryDirectory() as folder:
            ours = Path(folder, "index")
            if index.exists():
                shutil.copy2(index, ours)  # git then reads only the files that changed since
            own = {"GIT_INDEX_FILE": str(ours)}
            self._git("add", "--all", ".", environment=own)
            return self._git("write-tree", environment=own).strip()

    def with_text(self, tree: str, path: str, text: str) -> str:
        """A tree that differs in the content of one file."""
        mode = self.files(tree)[path].split()[0]
        with tempfile.TemporaryDirectory() as folder:
            own = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            Path(folder, "text").write_text(text, encoding="utf-8", errors="surrogateescape")
            blob = self._git("hash-object", "-w", "--no-filters", str(Path(folder, "text"))).strip()
            self._git("read-tree", tree, environment=own)
            self._git("update-index", "--cacheinfo", f"{mode},{blob},{path}", environment=own)
            return self._git("write-tree", environment=own).strip()

    def files(self, tree: str) -> dict[str, str]:
        """The path of every file, with what changes when its content or its mode does."""
        lines = self._git("ls-tree", "-r", "-z", "--full-tree", tree).split("\0")
        pairs = (line.split("\t", 1) for line in lines if line)
        return {path: identity for identity, path in pairs}

    def text(self, tree: str, path: str) -> str:
        """The content of a file."""
        return self._git("cat-file", "blob", f"{tree}:{path}")

    def check_out(self, tree: str, folder: Path) -> None:
        """Makes `folder` hold the tree's files and no others; only what differs is written."""
        unfinished = folder.with_name(folder.name + ".unfinished")
        index = folder.with_name(folder.name + ".index")
        if unfinished.exists() or not index.exists():
            shutil.rmtree(folder, ignore_errors=True)
            index.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.touch()
        own = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(folder)}
        self._git("read-tree", "--reset", "-u", tree, environment=own, cwd=folder)
        unfinished.unlink()

    def _git(
        self, *arguments: str, environment: dict[str, str] | None = None, cwd: Path | None = None
    ) -> str:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607 (the user's own git)
            cwd=cwd or self.root,
            env=self._environment | (environment or {}),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise AffectedError(f"git {arguments[0]}: {message}")
        return done.stdout.decode(errors="surrogateescape")
