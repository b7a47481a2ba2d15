"""`zig_library`: a shared library of C++ sources, compiled by Zig's Clang.

Zig comes as a Python package, so that no machine needs a compiler, and all have the same one. The
library uses no other, not even C's, so it loads on every Linux of its processor's family.
"""

load(":flags.bzl", "FLAGS", "TARGETS")

# Of a program that compiles by //tools/zig:compile; its `data` names ZIG.
ZIG = "@pip_ziglang//:site-packages/ziglang/zig"
ZIG_ENV = {"ZIG": "$(rootpath %s)" % ZIG}

def _zig_library_impl(ctx):
    library = ctx.actions.declare_file(ctx.attr.out)
    zig = ctx.file._zig
    cache = library.path + ".cache"
    arguments = ctx.actions.args()
    arguments.add("c++")
    arguments.add("-target", TARGETS[ctx.attr.cpu])
    arguments.add_all(FLAGS)
    arguments.add("-isystem", zig.dirname + "/lib/include")
    arguments.add("-o", library)
    arguments.add_all(ctx.files.srcs)
    ctx.actions.run(
        outputs = [library],
        inputs = ctx.files.srcs + ctx.files._headers,
        executable = zig,
        arguments = [arguments],
        env = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
        mnemonic = "ZigCompile",
        progress_message = "Compiling %{output}",
    )
    return DefaultInfo(files = depset([library]), runfiles = ctx.runfiles([library]))

_zig_library = rule(
    implementation = _zig_library_impl,
    attrs = {
        "cpu": attr.string(mandatory = True, values = TARGETS.keys()),
        "out": attr.string(mandatory = True),
        "srcs": attr.label_list(allow_files = [".cc"], mandatory = True),
        "_headers": attr.label(default = "@pip_ziglang//:headers"),
        "_zig": attr.label(
            allow_single_file = True,
            cfg = "exec",
            default = ZIG,
        ),
    },
)

def zig_library(name, srcs, out, **kwargs):
    """Declares a shared library, and that it compiles for the other family of processors.

    Args:
        name: the target's name. `<name>_of_aarch64` is the same for that processor: that it compiles
            is all that a machine of the other family can see of it.
        srcs: C++ sources that need no library.
        out: the file's path in the package.
        **kwargs: visibility and the like.
    """
    _zig_library(
        name = name,
        srcs = srcs,
        out = out,
        cpu = select({
            "@platforms//cpu:aarch64": "aarch64",
            "@platforms//cpu:x86_64": "x86_64",
        }),
        **kwargs
    )
    _zig_library(
        name = name + "_of_aarch64",
        srcs = srcs,
        out = "aarch64/" + out,
        cpu = "aarch64",
        visibility = ["//visibility:private"],
    )
