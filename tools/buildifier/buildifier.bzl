"""`@buildifier`: the formatter of BUILD files, as its makers publish it through npm."""

_PACKAGE = "@bazel/buildifier"
_VERSION = "8.2.1"

# What the npm registry says of this version too: `npm view @bazel/buildifier@8.2.1 dist.integrity`.
_INTEGRITY = "sha512-eZ/Aq+2r4PcJa6LbPCT6ffgIJfTU/gYilqIzoX2OLM4nNkbQC6tTMPZNn7aHHjhGPxbNLv41zm4Xqt1olCLgXw=="

_HELP = "then run: ./bazelw fetch --force --repo=@buildifier"

_BUILD = """\
exports_files(
    ["buildifier"],
    visibility = ["//visibility:public"],
)

# For `target_compatible_with`: what needs the program is skipped where it is missing.
constraint_setting(
    name = "program",
    default_constraint_value = ":%s",
)

constraint_value(
    name = "there",
    constraint_setting = ":program",
    visibility = ["//visibility:public"],
)

constraint_value(
    name = "missing",
    constraint_setting = ":program",
)
"""

def _program(rctx):
    """The program's name in the package for this machine, or None."""
    system = "darwin" if rctx.os.name.startswith("mac") else rctx.os.name
    machine = {"aarch64": "arm64", "x86_64": "amd64"}.get(rctx.os.arch, rctx.os.arch)
    name = "buildifier-{}_{}".format(system, machine)
    return name if rctx.path("package/" + name).exists else None

def _unpack(rctx):
    """Leaves the program `buildifier`; returns why it could not, or None."""
    npm = rctx.which("npm")
    if not npm:
        return "npm, through which it is published, is not on PATH"
    rctx.report_progress("Downloading buildifier %s through npm" % _VERSION)
    done = rctx.execute(
        [
            npm,
            "pack",
            "--silent",
            "--ignore-scripts",
            "--fetch-retries=1",
            "{}@{}".format(_PACKAGE, _VERSION),
        ],
        timeout = 120,
    )
    if done.return_code:
        lines = [line for line in done.stderr.split("\n") if line.strip()]
        return "npm could not download it: " + (lines[0] if lines else "no answer within 120 s")

    # Fails, rather than skips, where the bytes are not those that we know.
    archive = rctx.path(done.stdout.strip().split("\n")[-1])
    rctx.download_and_extract(
        url = "file://{}".format(archive),
        integrity = _INTEGRITY,
        type = "tar.gz",
    )
    program = _program(rctx)
    if program:
        rctx.execute(["mv", "package/" + program, "buildifier"])
    rctx.delete("package")
    rctx.delete(archive)
    return None if program else "it has no program for this machine"

def _buildifier_repository_impl(rctx):
    why = _unpack(rctx)
    if why:
        # buildifier: disable=print
        print("buildifier is missing, and its tests are skipped: {}; {}".format(why, _HELP))
        rctx.file("buildifier", "#!/bin/sh\necho 'buildifier is missing: {}' >&2\nexit 1\n".format(
            why.replace("'", ""),
        ))
    rctx.file("BUILD.bazel", _BUILD % ("missing" if why else "there"))

buildifier_repository = repository_rule(
    doc = "The program buildifier, or the reason why there is none on this machine.",
    implementation = _buildifier_repository_impl,
)

def _formatters_impl(_module_ctx):
    buildifier_repository(name = "buildifier")

formatters = module_extension(
    doc = "Makes `@buildifier`. It is fetched for the targets that depend on it, and for no others.",
    implementation = _formatters_impl,
)
