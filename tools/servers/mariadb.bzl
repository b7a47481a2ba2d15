"""`@mariadb`: MariaDB's server, unpacked from Debian's packages when a test first needs it."""

_BUILD = """\
load("@rules_python//python:py_library.bzl", "py_library")

# Its files are found as those of a Python package, whose import does nothing.
py_library(
    name = "mariadb",
    srcs = ["mariadb_programs/__init__.py"],
    data = glob(
        ["mariadb_programs/**"],
        exclude = ["**/*.py"],
    ),
    imports = ["."],
    visibility = ["//visibility:public"],
)

# For `target_compatible_with`: what needs the server is skipped where it is missing.
constraint_setting(
    name = "server",
    default_constraint_value = ":%s",
)

constraint_value(
    name = "there",
    constraint_setting = ":server",
    visibility = ["//visibility:public"],
)

constraint_value(
    name = "missing",
    constraint_setting = ":server",
)
"""

# What the script imports, so that a change of these unpacks anew.
_SOURCES = [
    Label("//tools/bootstrap:console.py"),
    Label("//tools/bootstrap:debian/assemble.py"),
    Label("//tools/bootstrap:debian/packages.py"),
    Label("//tools/bootstrap:debian/relocate.py"),
    Label("//tools/bootstrap:launch.py"),
]

def _mariadb_repository_impl(rctx):
    for source in _SOURCES:
        rctx.path(source)
    script = rctx.path(rctx.attr._script)
    root = script.dirname.dirname.dirname
    rctx.report_progress("Unpacking MariaDB from Debian's packages")
    done = rctx.execute(
        [rctx.path(rctx.attr._python), "-B", script, rctx.path("mariadb_programs")],
        environment = {"PYTHONPATH": str(root)},
    )
    if done.return_code:
        fail(done.stderr)
    missing = rctx.path("mariadb_programs/missing").exists
    if missing:
        # buildifier: disable=print
        print(rctx.read("mariadb_programs/missing").strip())
    rctx.file("mariadb_programs/__init__.py", "\"\"\"MariaDB's server; see tools/servers/mariadb.py.\"\"\"\n")
    rctx.file("BUILD.bazel", _BUILD % ("missing" if missing else "there"))

mariadb_repository = repository_rule(
    doc = "MariaDB's server, or the reason why there is none on this machine.",
    implementation = _mariadb_repository_impl,
    attrs = {
        "_python": attr.label(default = "@python//:bin/python3"),
        "_script": attr.label(default = "//tools/servers:unpack_mariadb.py"),
    },
)

def _servers_impl(_module_ctx):
    mariadb_repository(name = "mariadb")

servers = module_extension(
    doc = "Makes `@mariadb`. It is fetched for the targets that depend on it, and for no others.",
    implementation = _servers_impl,
)
