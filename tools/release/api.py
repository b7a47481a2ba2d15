"""The interface of a project, as griffe reads it from the sources, and what differs in it.

Which modules are public says `<project>/api.txt`, to which the build holds other projects.
`<project>/api.json`, which :cut writes, is the interface of the last release: for each public
module its names as a stub, a line each, so that a difference can be read, with all of a signature
that `api.txt` leaves out; and the options of each module that reads a command line.
"""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import griffe

from tools.release.errors import ReleaseError
from tools.release.projects import Project
from tools.release.versions import Change

_NOT_TOLD = frozenset({"__all__", "__post_init__", "__repr__", "__slots__", "__version__"})

_NOT_BREAKING = frozenset(
    {
        # A constant's value is behaviour, which a fragment tells and a release does not compare:
        # a longer docstring or another default size is no other interface.
        griffe.BreakageKind.ATTRIBUTE_CHANGED_VALUE,
    }
)


@dataclass(frozen=True, slots=True)
class Interface:
    """What users of a project write down: names they import, options they type."""

    modules: dict[str, tuple[str, ...]]
    """The lines of a stub, by module."""
    options: dict[str, tuple[str, ...]]
    """Such as `--json`, by the module that reads them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One that users can notice."""

    change: Change
    text: str


def read_interface(root: Path, project: Project) -> Interface:
    """The interface as the sources below ``root`` define it; nothing is imported.

    Raises:
        ReleaseError: `api.txt` is missing.
    """
    folder = root / project.folder
    logging.getLogger("griffe").setLevel(logging.ERROR)  # guesses about docstrings
    package = cast(
        griffe.Module, griffe.load(project.package, search_paths=[folder], allow_inspection=False)
    )
    modules = {module.path: module for module in _modules(package)}
    listed = _listed(folder / "api.txt")
    return Interface(
        modules={name: tuple(_stub(modules[name])) for name in sorted(listed & modules.keys())},
        options=dict(_options(folder, project.package)),
    )


def _modules(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for inner in module.modules.values():
        if not inner.is_alias:
            yield from _modules(inner)


def _listed(path: Path) -> set[str]:
    """The names in `api.txt`: of modules, and of what is in them."""
    try:
        return set(path.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError as error:
        label = f"//{path.parent.name}:api.update"
        raise ReleaseError(f"{path} is missing: ./bazelw run {label} writes it") from error


def _stub(scope: griffe.Module | griffe.Class) -> Iterator[str]:
    """The public names of a module or class, by name, a line each; those in classes indented."""
    for name, member in sorted(scope.members.items()):
        if not member.is_public or name in _NOT_TOLD or (member.is_module and not member.is_alias):
            continue
        try:
            yield from _described(
                name, member.final_target if isinstance(member, griffe.Alias) else member
            )
        except griffe.AliasResolutionError:  # of another package
            yield f"{name}: ..."


def _described(name: str, member: griffe.Object | griffe.Alias) -> Iterator[str]:
    if isinstance(member, griffe.Class):
        bases = ", ".join(str(base) for base in member.bases)
        yield f"class {name}({bases}):" if bases else f"class {name}:"
        inner = list(_stub(member))
        yield from (f"    {line}" for line in inner or ["..."])
    elif isinstance(member, griffe.Function):
        for decorator in ("classmethod", "staticmethod"):
            if decorator in member.labels:
                yield f"@{decorator}"
        kind = "async def" if "async" in member.labels else "def"
        yield f"{kind} {member.signature(name=name)}: ..."
    elif isinstance(member, griffe.Attribute):
        yield f"{name}: {member.annotation or '...'}"


def _options(folder: Path, package: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for path in sorted((folder / package).rglob("*.py")):
        found = sorted(set(_added_options(ast.parse(path.read_text("utf-8"), str(path)))))
        if found:
            module = path.relative_to(folder).with_suffix("").as_posix().replace("/", ".")
            yield module, tuple(found)


def _added_options(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=names):
                for name in names:
                    match name:
                        case ast.Constant(str(option)) if option.startswith("--"):
                            yield option


def to_json(interface: Interface) -> str:
    """The text of `api.json`."""
    written = {"modules": interface.modules, "options": interface.options}
    return json.dumps(written, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str, *, where: str) -> Interface:
    """The interface that :func:`to_json` wrote.

    Raises:
        ReleaseError: the text is another one; the message names ``where``.
    """
    try:
        read: dict[str, Any] = json.loads(text)
        return Interface(
            modules={name: tuple(lines) for name, lines in read["modules"].items()},
            options={name: tuple(names) for name, names in read["options"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{where} is not what :cut writes: {error}") from error


def differences(old: Interface, new: Interface) -> list[Difference]:
    """What a user of ``old`` notices in ``new``: first what breaks, by name."""
    found: list[Difference] = []
    for name in sorted(old.modules.keys() | new.modules.keys()):
        if name not in new.modules:
            found.append(Difference(Change.BREAK, f"module {name} is gone"))
        elif name not in old.modules:
            found.append(Difference(Change.ADDITION, f"module {name} is new"))
        else:
            found += _module_differences(name, old.modules[name], new.modules[name])
    for name in sorted(old.options.keys() | new.options.keys()):
        before, after = set(old.options.get(name, ())), set(new.options.get(name, ()))
        gone = (f"option {option} of {name} is gone" for option in sorted(before - after))
        added = (f"option {option} of {name} is new" for option in sorted(after - before))
        found += [Difference(Change.BREAK, text) for text in gone]
        found += [Difference(Change.ADDITION, text) for text in added]
    return sorted(found, key=lambda one: (-one.change, one.text))


def _module_differences(
    name: str, before: tuple[str, ...], after: tuple[str, ...]
) -> Iterator[Difference]:
    old, new = _visited(name, before), _visited(name, after)
    for breakage in griffe.find_breaking_changes(old, new):
        if breakage.kind not in _NOT_BREAKING:
            yield Difference(Change.BREAK, _told(breakage))
    for path in sorted(_names(new) - _names(old)):
        yield Difference(Change.ADDITION, f"{path} is new")


def _visited(name: str, lines: tuple[str, ...]) -> griffe.Module:
    module = griffe.visit(name, Path("api.pyi"), "\n".join(lines))
    for member in _members(module):
        member.public = True  # it would not be in the stub otherwise
    return module


def _told(breakage: griffe.Breakage) -> str:
    parameter = next(
        (
            value.name
            for value in (breakage.old_value, breakage.new_value)
            if isinstance(value, griffe.Parameter)
        ),
        None,
    )
    name = breakage.obj.path if parameter is None else f"{breakage.obj.path}({parameter})"
    return f"{name}: {breakage.kind.value.lower()}"


def _members(scope: griffe.Object) -> Iterator[griffe.Object]:
    for member in scope.members.values():
        if isinstance(member, griffe.Object):
            yield member
            yield from _members(member)


def _names(module: griffe.Module) -> set[str]:
    """All names in it, and those of parameters."""
    names = set()
    for member in _members(module):
        names.add(member.path)
        if isinstance(member, griffe.Function):
            names.update(f"{member.path}({one.name})" for one in member.parameters)
    return names
