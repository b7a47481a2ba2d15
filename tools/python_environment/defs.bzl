"""`python_environment`: an interpreter, packages and our code as one archive that runs anywhere."""

def _manifest_line(file):
    return file.short_path + "\t" + file.path

def _python_environment_impl(ctx):
    files = depset(transitive = [
        depset(transitive = [
            dependency[DefaultInfo].files,
            dependency[DefaultInfo].default_runfiles.files,
        ])
        for dependency in ctx.attr.deps
    ])
    roots = depset(transitive = [dependency[PyInfo].imports for dependency in ctx.attr.deps])

    manifest = ctx.actions.declare_file(ctx.label.name + ".manifest")
    lines = ctx.actions.args()
    lines.set_param_file_format("multiline")
    lines.add_all(files, map_each = _manifest_line)
    ctx.actions.write(manifest, lines)

    arguments = ctx.actions.args()
    arguments.set_param_file_format("multiline")
    arguments.use_param_file("@%s", use_always = True)
    arguments.add("--out", ctx.outputs.out)
    arguments.add("--manifest", manifest)
    arguments.add_all(roots, before_each = "--root")
    arguments.add_all(ctx.attr.provided, before_each = "--provided")
    arguments.add_all(
        ["%s=%s" % (name, module) for name, module in ctx.attr.programs.items()],
        before_each = "--program",
    )
    ctx.actions.run(
        executable = ctx.executable._maker,
        arguments = [arguments],
        inputs = depset([manifest], transitive = [files]),
        mnemonic = "PythonEnvironment",
        outputs = [ctx.outputs.out],
        progress_message = "Packing interpreter and packages into %{output}",
    )
    return [DefaultInfo(files = depset([ctx.outputs.out]))]

python_environment = rule(
    doc = """An archive for machines that have nothing of ours, such as the workers of a cluster.

`bin/python` runs from whatever folder the archive is unpacked to, and imports the dependencies
of this target and their dependencies. The same inputs give the same bytes.
""",
    implementation = _python_environment_impl,
    attrs = {
        "deps": attr.label_list(
            doc = "Python libraries and binaries.",
            mandatory = True,
            providers = [PyInfo],
        ),
        "out": attr.output(
            doc = "The archive, a `.tar.gz`.",
            mandatory = True,
        ),
        "programs": attr.string_dict(
            doc = "Modules to run, by the name of the file `bin/<name>.py` that does.",
        ),
        "provided": attr.string_list(
            doc = "Top-level modules to leave out: what runs the archive brings its own.",
        ),
        "_maker": attr.label(
            default = ":make_environment",
            cfg = "exec",
            executable = True,
        ),
    },
)
