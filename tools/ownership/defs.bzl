"""`root_listing`: what lies in the root folder, for tests that must see what was forgotten."""

load("@bazel_skylib//rules:write_file.bzl", "write_file")
load("//tools:projects.bzl", "PROJECTS")

# What git does not know, or editors leave; never looked into.
_NOT_OURS = [
    ".direnv",
    ".fraud",
    ".bazelrc.user",
    ".git",
    ".hypothesis",
    ".idea",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    ".vscode",
    "__pycache__",
    "bazel-*",
    "venv",
]

def root_listing(name, visibility):
    """Writes root.json: names of the root's `files`, `folders`, and `packages` among them.

    And the projects of tools/projects.bzl. Only the root package can call it.

    Args:
        name: the target's name.
        visibility: who may read it.
    """
    files = native.glob(["*"], exclude = _NOT_OURS)

    # A glob returns no folder that is a package of its own, and may not look into one.
    folders = native.glob(["*"], exclude = files + _NOT_OURS, exclude_directories = 0)
    packages = native.subpackages(include = ["*"], exclude = _NOT_OURS)
    write_file(
        name = name,
        out = "root.json",
        content = [
            json.encode_indent({
                "files": files,
                "folders": sorted(depset(folders + packages).to_list()),
                "packages": packages,
                "projects": PROJECTS,
            }),
            "",
        ],
        visibility = visibility,
    )
