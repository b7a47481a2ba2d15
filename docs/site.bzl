"""`site`: the repository's pages as a folder of HTML."""

def _site_impl(ctx):
    output = ctx.actions.declare_directory(ctx.attr.name)
    sources = ctx.actions.declare_file(ctx.attr.name + ".sources")
    ctx.actions.write(sources, "".join([it.path + "\n" for it in ctx.files.srcs if it.is_source]))
    ctx.actions.run(
        outputs = [output],
        inputs = ctx.files.srcs + [sources],
        executable = ctx.executable.builder,
        arguments = [output.path, sources.path] + [
            "%s=%s" % project
            for project in ctx.attr.packages.items()
        ],
        mnemonic = "BuildSite",
        progress_message = "Building the site",
    )
    return DefaultInfo(files = depset([output]), runfiles = ctx.runfiles([output]))

site = rule(
    implementation = _site_impl,
    doc = "What `builder` makes of `srcs`, which lie where they lie in the tree.",
    attrs = {
        "packages": attr.string_dict(doc = "Of each project's folder.", mandatory = True),
        "builder": attr.label(executable = True, cfg = "exec", mandatory = True),
        "srcs": attr.label_list(allow_files = True, mandatory = True),
    },
)
