"""`@python`: CPython 3.11, downloaded by rules_python or found on this machine.

With `FRAUD_HOST_PYTHON=1` in the repository environment (`bazelw` sets it where no release site
can be reached) the machine's own CPython 3.11 becomes the toolchain. It is wrapped as a virtual
environment without packages: a link to the interpreter and a `pyvenv.cfg` beside it. So Python
sees its standard library, but neither the machine's nor the user's site-packages, in child
processes too; and the interpreter's bytes and version are inputs of every action.
"""

_VERSION = "3.11"

# Prints what identifies an interpreter; works on any Python 3.
_PROBE = """
import platform, sys
print(platform.python_implementation())
print("%d.%d" % sys.version_info[:2])
print(platform.python_version())
print(getattr(sys, "_base_executable", None) or sys.executable)
"""

_HOST_BUILD = """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

exports_files(["bin/python3"])

py_runtime(
    name = "py3_runtime",
    files = ["pyvenv.cfg"],
    interpreter = "bin/python3",
    python_version = "PY3",
)

py_runtime_pair(
    name = "py_runtime_pair",
    py3_runtime = ":py3_runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":py_runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

_HERMETIC_BUILD = """\
# No toolchain: rules_python's own, registered after this repository's, is used.
exports_files(["bin/python3"], visibility = ["//visibility:public"])
"""

def _candidates(rctx):
    named = rctx.os.environ.get("FRAUD_PYTHON")
    if named:
        return [named]
    found = [rctx.which("python" + _VERSION), rctx.which("python3")]
    found += [
        rctx.path(prefix + "/bin/python" + _VERSION)
        for prefix in ["/usr", "/usr/local", "/opt/python"]
    ]

    # pyenv and uv keep interpreters in the home folder, where PATH need not name them.
    home = rctx.os.environ.get("HOME")
    for versions in [".pyenv/versions", ".local/share/uv/python"]:
        folder = rctx.path(home + "/" + versions) if home else None
        if folder and folder.exists:
            found += [
                child.get_child("bin/python" + _VERSION)
                for child in folder.readdir()
                if child.basename.startswith((_VERSION + ".", "cpython-" + _VERSION + "."))
            ]
    return [str(path) for path in found if path and path.exists]

def _probe(rctx, path):
    """Returns (facts, None) for a CPython 3.11, else (None, why not)."""
    result = rctx.execute([path, "-I", "-c", _PROBE])
    if result.return_code:
        return None, result.stderr.strip() or "does not run"
    implementation, minor, version, executable = result.stdout.strip().split("\n")
    if implementation != "CPython" or minor != _VERSION:
        return None, "is {} {}".format(implementation, version)
    return struct(executable = executable, version = version), None

def _find_host_python(rctx):
    rejected = []
    for path in _candidates(rctx):
        facts, why = _probe(rctx, path)
        if facts:
            return facts
        rejected.append("  {}: {}".format(path, why))
    fail("""

No CPython {version} on this machine, and the site that offers one to download cannot be reached.
Looked at:
{rejected}
Install it (Debian 12: apt-get install python{version}; elsewhere: pyenv or uv), or name it:
  export FRAUD_PYTHON=/path/to/python{version}
""".format(
        version = _VERSION,
        rejected = "\n".join(rejected) or "  no python3 on PATH",
    ))

def _python_repository_impl(rctx):
    if rctx.os.environ.get("FRAUD_HOST_PYTHON") != "1":
        rctx.symlink(rctx.attr.hermetic_interpreter, "bin/python3")
        rctx.file("BUILD.bazel", _HERMETIC_BUILD)
        return

    host = _find_host_python(rctx)
    interpreter = rctx.path(host.executable)
    rctx.symlink(interpreter.realpath, "bin/python3")
    rctx.file("pyvenv.cfg", "\n".join([
        "home = " + str(interpreter.realpath.dirname),
        "include-system-site-packages = false",
        "version = " + host.version,
        "",
    ]))
    rctx.file("BUILD.bazel", _HOST_BUILD)

python_repository = repository_rule(
    doc = "The CPython 3.11 that this repository builds with.",
    implementation = _python_repository_impl,
    attrs = {
        "hermetic_interpreter": attr.label(
            doc = "The interpreter to download where that is possible.",
            mandatory = True,
        ),
    },
    environ = ["FRAUD_HOST_PYTHON", "FRAUD_PYTHON", "HOME", "PATH"],
)
