"""`machine_code`: what Numba makes of the compiled functions of `fraud_ml`, made by the build."""

def _machine_code_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.attr.folder)
    ctx.actions.run(
        outputs = [folder],
        executable = ctx.executable.compiler,
        arguments = [folder.path],
        # Numba keeps it there; what is wanted of it is copied.
        env = {"XDG_CACHE_HOME": folder.path + ".cache"},
        mnemonic = "CompileAhead",
        progress_message = "Compiling fraud_ml ahead",
    )
    return DefaultInfo(files = depset([folder]), runfiles = ctx.runfiles([folder]))

machine_code = rule(
    implementation = _machine_code_impl,
    doc = "A folder of machine code for the processor that builds; others find it of no use.",
    attrs = {
        "compiler": attr.label(
            doc = "A program that fills the folder that it is given.",
            executable = True,
            cfg = "exec",
            mandatory = True,
        ),
        "folder": attr.string(doc = "Where the library looks for it.", mandatory = True),
    },
)
