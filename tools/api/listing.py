"""The public interface of a project as text, one name a line, read from the source.

Nothing is imported: what a module publishes is what its text defines. That is `__all__`, where a
module has one, else every class, function and value at its top whose name has no underscore.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class ListingError(Exception):
    """The interface cannot be listed; the message says why."""


@dataclass(frozen=True)
class Package:
    """The parsed modules of a project by name: fraud_ml, fraud_ml.model."""

    modules: Mapping[str, ast.Module]

    def definition(self, module: str, name: str) -> Definition | None:
        """Where a class or a function of a module is defined, through imports of the package."""
        for node in self.modules[module].body:
            if isinstance(node, Definition) and node.name == name:
                return node
            if isinstance(node, ast.ImportFrom) and node.module and node.module in self.modules:
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return self.definition(node.module, alias.name)
        return None


def read_package(files: Iterable[Path], package: str) -> Package:
    """The modules of the files that lie in a folder named as the package."""
    modules = {}
    for file in files:
        if package not in file.parts:
            continue
        inside = file.parts[file.parts.index(package) :]
        name = ".".join(inside).removesuffix(".py").removesuffix(".__init__")
        modules[name] = ast.parse(file.read_bytes(), str(file))
    if package not in modules:
        raise ListingError(f"there is no {package}/__init__.py among the files")
    return Package(modules)


def public_modules(package: Package, listed: Iterable[str]) -> list[str]:
    """The listed modules; without a list, all whose name has no underscore in front."""
    names = sorted(listed)
    if unknown := [name for name in names if name not in package.modules]:
        raise ListingError(f"no such module: {', '.join(unknown)}")
    return names or sorted(
        name for name in package.modules if not any(part[0] == "_" for part in name.split("."))
    )


def listing(package: Package, modules: Iterable[str]) -> Iterator[str]:
    """A line for each public name: modules in the order given, names in the source's order."""
    for module in modules:
        yield module
        for name in sorted(set(public_names(package.modules[module]))):
            definition = package.definition(module, name)
            yield from described(f"{module}.{name}", definition)


def public_names(module: ast.Module) -> Iterator[str]:
    """What a module publishes."""
    everything = [name for node in module.body for name in _assigned(node)]
    if "__all__" in everything:
        for node in module.body:
            if "__all__" in _assigned(node) and isinstance(node, ast.Assign | ast.AnnAssign):
                yield from ast.literal_eval(node.value) if node.value else ()
        return
    for node in module.body:
        names = [node.name] if isinstance(node, Definition) else _assigned(node)
        yield from (name for name in names if not name.startswith("_"))


def described(name: str, definition: Definition | None) -> Iterator[str]:
    """The lines of a value, a function with its parameters, or a class with its members."""
    if isinstance(definition, FUNCTIONS):
        yield f"{name}({parameters(definition.args)})"
        return
    yield name
    members = {}
    for node in definition.body if definition else ():
        if isinstance(node, FUNCTIONS) and (node.name == "__init__" or node.name[0] != "_"):
            method = "staticmethod" not in {ast.unparse(it) for it in node.decorator_list}
            members[node.name] = f"({parameters(node.args, method=method)})"
            if {"property", "cached_property"} & {
                ast.unparse(it).rpartition(".")[2] for it in node.decorator_list
            }:
                members[node.name] = ""
        else:
            members |= {field: "" for field in _assigned(node) if not field.startswith("_")}
    yield from (f"{name}.{member}{members[member]}" for member in sorted(members))


def parameters(arguments: ast.arguments, *, method: bool = False) -> str:
    """Parameters as a caller sees them: those that may be left out have a `=`."""
    positional = [it.arg for it in (*arguments.posonlyargs, *arguments.args)]
    n_required = len(positional) - len(arguments.defaults)
    found = [name if place < n_required else f"{name}=" for place, name in enumerate(positional)]
    if arguments.posonlyargs:
        found.insert(len(arguments.posonlyargs), "/")
    if method:
        found = found[1:] if found[1:2] != ["/"] else found[2:]
    if arguments.vararg:
        found.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        found.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append(argument.arg if default is None else f"{argument.arg}=")
    if arguments.kwarg:
        found.append(f"**{arguments.kwarg.arg}")
    return ", ".join(found)


def _assigned(node: ast.stmt) -> list[str]:
    """Names to which a statement assigns."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]
