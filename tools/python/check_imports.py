"""Checks that Python files import what their Bazel target declares: all of it, and no more.

Usage: check_imports TARGET REPORT FILE...

`TARGET` is a JSON object that says what the target may import; see `Target`. `REPORT` is written
when every import of every file comes from a direct dependency or the standard library, every
direct dependency is imported, and nothing is imported that another project keeps to itself.
"""

import ast
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# On a target that only reads what its dependencies bring, as one that checks their types does.
ALL_AT_RUN_TIME = "runtime_deps"
# runtime_dep=LABEL: needed when the program runs, by something else than an import statement.
AT_RUN_TIME = "runtime_dep="


@dataclass(frozen=True)
class Provided:
    """Modules of a dependency: a wheel's top packages, or single modules of one of our projects.

    `project` is empty for a wheel. Of a project that lists its public modules, `public` are they.
    """

    modules: frozenset[str]
    project: str
    public: frozenset[str] | None

    def keeps_to_itself(self, module: str) -> bool:
        """Whether other projects have no business with a module."""
        if any(is_private(part) for part in module.split(".")):
            return True
        return self.public is not None and module not in self.public


@dataclass(frozen=True)
class Target:
    """A Bazel target: its own modules, and what each of its direct dependencies provides."""

    label: str
    project: str
    own: frozenset[str]
    dependencies: dict[str, list[Provided]]
    tags: list[str]
    checked_elsewhere: frozenset[str]  # files that a dependency has, too

    def provider(self, module: str) -> Provided | None:
        """Who among the dependencies provides a module, a wheel by its top package."""
        top = module.split(".", 1)[0]
        for provided in self.provided():
            if module in provided.modules or (not provided.project and top in provided.modules):
                return provided
        return None

    def provided(self) -> Iterator[Provided]:
        """What all dependencies provide."""
        for each in self.dependencies.values():
            yield from each


@dataclass(frozen=True)
class Import:
    """One imported name: `module` is the module, or the longer `module.name` may be one itself."""

    line: int
    module: str
    name: str  # what is taken from the module, or ""
    bound: str  # what it is called in the file

    @property
    def candidates(self) -> list[str]:
        """Names of modules that would satisfy it, the longest first."""
        return [f"{self.module}.{self.name}", self.module] if self.name else [self.module]


def is_private(name: str) -> bool:
    """Whether a name is one that its owner keeps to itself: _name, but not __name__."""
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def imports_of(tree: ast.AST) -> Iterator[Import]:
    """Every import. Relative ones stay inside the package and are refused: names are absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, "", alias.asname or alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield Import(node.lineno, module, alias.name, alias.asname or alias.name)


def with_parents(module: str) -> list[str]:
    """A module and the packages around it, which Python imports first: a.b.c, a.b, a."""
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def undeclared(found: list[Import], target: Target) -> Iterator[tuple[int, str]]:
    """Line and text for each import that no direct dependency provides."""
    for each in found:
        if each.module.split(".", 1)[0] in sys.stdlib_module_names:
            continue
        if not any(name in target.own or target.provider(name) for name in each.candidates):
            yield each.line, f"imports {each.module}"


def private(tree: ast.AST, found: list[Import], target: Target) -> Iterator[tuple[int, str]]:
    """Line and text for each use of what another project keeps to itself."""
    foreign = {}
    for each in found:
        module = next((name for name in each.candidates if target.provider(name)), "")
        owner = target.provider(module)
        if owner is None or owner.project in ("", target.project):
            continue
        foreign[each.bound] = owner.project
        if owner.keeps_to_itself(module):
            yield each.line, f"imports {module}, which is private to //{owner.project}"
        elif module == each.module and is_private(each.name):
            yield each.line, f"imports {module}.{each.name}, which is private to //{owner.project}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            name = ast.unparse(node.value)
            if name in foreign:
                yield node.lineno, f"uses {name}.{node.attr}, private to //{foreign[name]}"


def unused(used: set[str], target: Target) -> Iterator[str]:
    """A line of text for each dependency that no file imports, and each tag that is not true."""
    at_run_time = {
        tag.removeprefix(AT_RUN_TIME) for tag in target.tags if tag.startswith(AT_RUN_TIME)
    }
    for label in sorted(at_run_time - target.dependencies.keys()):
        yield f"its tag {AT_RUN_TIME}{label} names no dependency of it: remove the tag"
    for label, provided in target.dependencies.items():
        modules = {module for each in provided for module in each.modules}
        is_used = bool(modules & used) or any(is_found(module) for module in modules)
        if label in at_run_time and is_used:
            yield f"its tag {AT_RUN_TIME}{label} is needless, for it imports that: remove the tag"
        elif not (is_used or label in at_run_time or ALL_AT_RUN_TIME in target.tags):
            yield f"imports nothing of {label}"


def is_found(module: str) -> bool:
    """Whether pytest or Python imports a module by itself."""
    return module.rpartition(".")[2] in ("conftest", "sitecustomize")


def check(target: Target, files: list[str]) -> list[str]:
    """What is wrong with the files of a target, a line for each."""
    wrong = []
    used = {parent for module in target.own for parent in with_parents(module)}
    for file in files:
        tree = ast.parse(Path(file).read_bytes(), file)
        found = list(imports_of(tree))
        used |= {name for it in found for path in it.candidates for name in with_parents(path)}
        if file not in target.checked_elsewhere:
            lines = sorted([*undeclared(found, target), *private(tree, found, target)])
            wrong += [f"{file}:{line}: {text}" for line, text in lines]
    return wrong + [f"{target.label}: {line}" for line in unused(used, target)]


HELP = """
{label}: what its files import and what it declares must be the same.
- An import that no direct dependency provides: add that to `deps` (packages: @pip//NAME, after
  adding NAME to requirements.in).
- A dependency that nothing imports: remove it; or, where it is needed when the program runs,
  add the tag "runtime_dep=LABEL" and say in a comment why.
- What is private to another project: use what that project makes public (its api.txt), or have
  it make public what you need.
"""


def read_target(text: str) -> Target:
    """The target of the JSON that the aspect wrote."""
    said: dict[str, Any] = json.loads(text)
    dependencies: dict[str, list[Provided]] = {}
    for dependency in said["dependencies"]:
        dependencies[dependency["label"]] = [
            Provided(
                modules=frozenset(each["modules"]),
                project=each["project"],
                public=None if each["public"] is None else frozenset(each["public"]),
            )
            for each in dependency["provides"]
        ]
    return Target(
        label=said["label"],
        project=said["project"],
        own=frozenset(said["own"]),
        dependencies=dependencies,
        tags=said["tags"],
        checked_elsewhere=frozenset(said["checked_elsewhere"]),
    )


def main(declared: str, report: str, *files: str) -> int:
    """0, with the report written, or 1 with what is wrong on standard error."""
    target = read_target(Path(declared).read_text(encoding="utf-8"))
    if wrong := check(target, list(files)):
        sys.stderr.write("\n".join(wrong) + HELP.format(label=target.label))
        return 1
    Path(report).write_text("", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
