"""Format and lint of BUILD and .bzl files as tests, and the command that repairs them."""

_TEST = """\
#!/bin/sh
export TMPDIR="$TEST_TMPDIR"  # where it puts what it compares
exec {buildifier} {flags} {files}
"""

# Packages differ in what belongs to them, so it asks git, as `ruff format` would ask a folder.
_FIX = """\
#!/bin/sh
set -e
buildifier=$PWD/{buildifier}
cd "${{BUILD_WORKSPACE_DIRECTORY:?run it by ./bazelw run //:buildifier}}"
git ls-files -z --cached --others --exclude-standard -- \\
  '*BUILD.bazel' '*.bzl' MODULE.bazel WORKSPACE |
  xargs -0 "$buildifier" -mode=fix -lint=fix "$@"
"""

def _is_build_file(file):
    return file.extension == "bzl" or file.basename in ("BUILD.bazel", "MODULE.bazel", "WORKSPACE")

def _buildifier_test_impl(ctx):
    files = [file for file in ctx.files.srcs if _is_build_file(file)]
    if not files:
        fail("no BUILD file in srcs: the test would pass whatever happens")
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(script, is_executable = True, content = _TEST.format(
        buildifier = ctx.file._buildifier.short_path,
        flags = ctx.attr.flags,
        files = " ".join(sorted(["'%s'" % file.short_path for file in files])),
    ))
    runfiles = ctx.runfiles(files = files + [ctx.file._buildifier])
    return [DefaultInfo(executable = script, runfiles = runfiles)]

_buildifier_test = rule(
    doc = "Runs buildifier over BUILD and .bzl files; its findings are the test's log.",
    implementation = _buildifier_test_impl,
    test = True,
    attrs = {
        "flags": attr.string(mandatory = True),
        "srcs": attr.label_list(mandatory = True, allow_files = True),
        "_buildifier": attr.label(default = "@buildifier//:buildifier", allow_single_file = True),
    },
)

def buildifier_tests(name, srcs):
    """Declares `<name>_lint` and `<name>_format`; Bazel skips them where buildifier is missing.

    Args:
        name: what their names start with.
        srcs: files, of which those that Bazel reads are checked.
    """
    for what, flags in [
        ("lint", "-mode=check -lint=warn"),
        ("format", "-mode=diff -diff_command='diff -u' -lint=off"),
    ]:
        _buildifier_test(
            name = "{}_{}".format(name, what),
            size = "small",
            srcs = srcs,
            flags = flags,
            target_compatible_with = ["@buildifier//:there"],
        )

def _buildifier_fix_impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(script, is_executable = True, content = _FIX.format(
        buildifier = ctx.file._buildifier.short_path,
    ))
    return [DefaultInfo(executable = script, runfiles = ctx.runfiles([ctx.file._buildifier]))]

buildifier_fix = rule(
    doc = "A program that rewrites the workspace's BUILD and .bzl files as the tests want them.",
    implementation = _buildifier_fix_impl,
    executable = True,
    attrs = {
        "_buildifier": attr.label(default = "@buildifier//:buildifier", allow_single_file = True),
    },
)
