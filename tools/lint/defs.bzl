"""Lint, format and types as tests: `checks(name = "checks", ...)` once a project."""

load("@rules_python//python:py_test.bzl", "py_test")
load("//tools/buildifier:defs.bzl", "buildifier_tests")

_SCRIPT = """\
#!/bin/sh
exec {ruff} {command} --no-cache --config {config} {files}
"""

def _ruff_test_impl(ctx):
    files = [file for file in ctx.files.srcs if file.extension in ("py", "pyi") or file.basename == "bazelw"]
    if not files:
        fail("no Python file in srcs: the test would pass whatever happens")
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(script, is_executable = True, content = _SCRIPT.format(
        ruff = ctx.file._ruff.short_path,
        command = ctx.attr.command,
        config = ctx.file._config.short_path,
        files = " ".join(sorted(["'%s'" % file.short_path for file in files])),
    ))
    runfiles = ctx.runfiles(files = files + [ctx.file._ruff, ctx.file._config])
    return [DefaultInfo(executable = script, runfiles = runfiles)]

_ruff_test = rule(
    doc = "Runs one command of ruff over Python files; its findings are the test's log.",
    implementation = _ruff_test_impl,
    test = True,
    attrs = {
        "command": attr.string(mandatory = True),
        "srcs": attr.label_list(mandatory = True, allow_files = True),
        "_config": attr.label(default = "//:ruff.toml", allow_single_file = True),
        "_ruff": attr.label(default = "@pip_ruff//:bin/ruff", allow_single_file = True),
    },
)

def checks(name, srcs, deps = [], typed = None):
    """Declares a project's checks, and `name`, the suite of them.

    They are `lint`, `format` and `types` of its Python files, `build_lint` and `build_format` of its
    BUILD files. What they look at is the filegroups `checked` and `checked_types`, of which
    //tools/tree sees that no file is left out.

    Args:
        name: the suite's name.
        srcs: every Python and BUILD file of the project, tests included.
        deps: what the typed files import.
        typed: the files that mypy checks; all of `srcs` unless given.
    """
    _ruff_test(
        name = "lint",
        size = "small",
        command = "check",
        srcs = srcs,
    )
    _ruff_test(
        name = "format",
        size = "small",
        command = "format --diff",
        srcs = srcs,
    )
    typed = typed or srcs
    py_test(
        name = "types",
        size = "medium",
        srcs = ["//tools/lint:mypy_runner.py"],
        args = ["$(rootpaths %s)" % label for label in typed],
        data = typed + ["//:mypy.ini"],
        main = "//tools/lint:mypy_runner.py",
        # mypy reads them; the runner imports none.
        tags = ["runtime_deps"],
        deps = deps + ["@pip//mypy"],
    )
    buildifier_tests(
        name = "build",
        srcs = srcs,
    )
    for group, files in [("checked", srcs), ("checked_types", typed)]:
        native.filegroup(
            name = group,
            srcs = files,
            visibility = ["//tools:__subpackages__"],
        )
    native.test_suite(
        name = name,
        tests = [":lint", ":format", ":types", ":build_lint", ":build_format"],
    )
