"""`@used_bazel`: the Bazel that `bazelw` uses here, for a test that runs one of its own."""

_PROGRAM = """\
#!/bin/sh
# The Bazel that bazelw found when this repository was set up.
exec {command} "$@"
"""

_BUILD = """\
exports_files(["used_bazel.sh"])
"""

def _used_bazel_repository_impl(rctx):
    done = rctx.execute([rctx.path(Label("//:bazelw")), "--where"])
    rows = {line[:9].strip(): line[9:] for line in done.stdout.splitlines()}
    if done.return_code or rows.get("version", "unknown") == "unknown":
        fail("bazelw --where names no Bazel:\n" + done.stdout + done.stderr)
    rctx.file("used_bazel.sh", _PROGRAM.format(command = rows["bazel"]), executable = True)
    rctx.file("BUILD.bazel", _BUILD)

used_bazel_repository = repository_rule(
    doc = "A program that is the Bazel of `bazelw --where`.",
    implementation = _used_bazel_repository_impl,
    # Another Bazel may be used tomorrow: asked again whenever a server starts.
    local = True,
)

def _used_bazel_impl(_module_ctx):
    used_bazel_repository(name = "used_bazel")

used_bazel = module_extension(
    doc = "Makes `@used_bazel`. It is fetched for the tests that depend on it, and for no others.",
    implementation = _used_bazel_impl,
)
