"""Checks that Python files import only what their Bazel target declares.

Usage: check_imports LABEL DECLARED REPORT FILE...

`DECLARED` lists the modules that the target may import, one a line; `REPORT` is written when
every import of every file is one of them or the standard library's.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path


def imports_of(tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """Each import's line and the module names that would satisfy it, the longest first.

    `from a import b` is satisfied by a module `a.b` and by a name `b` in a module `a`.
    Relative imports stay inside the package and are refused: names here are absolute.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, [alias.name]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, [f"{module}.{alias.name}", module]


def is_declared(module: str, declared: set[str]) -> bool:
    """Whether the module, or the wheel's package that holds it, is declared."""
    top = module.split(".", 1)[0]
    return module in declared or top in sys.stdlib_module_names or top in declared


def undeclared(path: Path, declared: set[str]) -> Iterator[str]:
    """A line of text for each import of a file that the target does not declare."""
    for line, candidates in imports_of(ast.parse(path.read_bytes(), str(path))):
        if not any(is_declared(module, declared) for module in candidates):
            yield f"{path}:{line}: imports {candidates[-1]}"


def main(label: str, declared_file: str, report: str, *files: str) -> int:
    """0, with the report written, or 1 with the undeclared imports on standard error."""
    declared = set(Path(declared_file).read_text(encoding="utf-8").split())
    found = [line for file in files for line in undeclared(Path(file), declared)]
    if found:
        sys.stderr.write("\n".join(found))
        sys.stderr.write(
            f"\n{label} has no direct dependency that provides the above."
            "\nAdd it to `deps` (packages: @pip//NAME, after adding NAME to requirements.in).\n"
        )
        return 1
    Path(report).write_text("", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
