"""A module registry for a machine that cannot reach the central one."""

from __future__ import annotations

import json
import re
from pathlib import Path

SHARE = "root/usr/share/bazel"
# In the graph of every workspace, so that an override is no error.
OVERRIDDEN = {
    "platforms": f"{SHARE}/tools/platforms",
    "bazel_skylib": f"{SHARE}/tools/skylib",
    "bazel_features": f"{SHARE}/tools/features",
    "rules_cc": f"{SHARE}/rules/cc",
    "rules_java": f"{SHARE}/rules/java",
    "rules_license": f"{SHARE}/rules/license",
    "rules_proto": f"{SHARE}/rules/proto",
    "rules_python": f"{SHARE}/rules/python",
}
# For workspaces that ask for them. Their own MODULE.bazel says 0.0.0: the package knows.
PACKAGED = {
    "rules_pkg": (f"{SHARE}/rules/pkg", "bazel-rules-pkg"),
    "rules_shell": (f"{SHARE}/rules/shell", "bazel-rules-shell"),
}
BUILDOZER = """\
def _impl(ctx):
    pass

buildozer_binary = module_extension(implementation = _impl)
"""  # Bazel's own MODULE file uses this extension


def write(aside: Path, final: Path, packages: dict[str, str]) -> None:
    """Writes `registry` and `empty`, the modules that stand in for those Debian lacks.

    Bazel's MODULE file and the rules' want those (protobuf, zlib, ...), but only Apple,
    C++ and protobuf builds use them.
    """
    registry = aside / "registry"
    registry.mkdir()
    (registry / "bazel_registry.json").write_text("{}\n")
    for name, (folder, package) in PACKAGED.items():
        version = re.split(r"[+~-]", packages[package])[0]
        module = (aside / folder / "MODULE.bazel").read_text()
        module = re.sub(r'(?<=\bversion = ")[^"]*', version, module, count=1)  # module() is first
        add(registry, name, version, module, final / folder)

    folders = [f"{SHARE}/embedded_tools", *OVERRIDDEN.values(), *(f for f, _ in PACKAGED.values())]
    known = {*OVERRIDDEN, *PACKAGED}
    for folder in folders:
        for name, version in dependencies((aside / folder / "MODULE.bazel").read_text()):
            if name in known:
                continue
            module = f'module(name = "{name}", version = "{version}")\n'
            empty = aside / "empty" / name
            empty.mkdir(parents=True, exist_ok=True)
            (empty / "MODULE.bazel").write_text(f'module(name = "{name}")\n')
            (empty / "BUILD.bazel").write_text("")
            if name == "buildozer":
                (empty / "buildozer_binary.bzl").write_text(BUILDOZER)
            add(registry, name, version, module, final / "empty" / name)


def add(registry: Path, name: str, version: str, module: str, source: Path) -> None:
    """Adds one version of a module, whose files lie in `source`."""
    entry = registry / "modules" / name / version
    entry.mkdir(parents=True, exist_ok=True)
    (entry / "MODULE.bazel").write_text(module)
    (entry / "source.json").write_text(json.dumps({"type": "local_path", "path": str(source)}))


def dependencies(module: str) -> set[tuple[str, str]]:
    """Name and version of what a MODULE.bazel depends on when it is not the root."""
    found = set()
    for call in re.findall(r"^bazel_dep\(([^)]*)\)", module, re.MULTILINE):
        field = dict(re.findall(r'(\w+) = "?([\w.+-]+)"?', call))
        if field.get("dev_dependency") != "True":
            found.add((field["name"], field["version"]))
    return found
