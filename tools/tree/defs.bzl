"""`tree_files`: the names of all files of the workspace, as an input that a build can depend on."""

def _tree_files_impl(ctx):
    listed = ctx.actions.declare_file(ctx.label.name + ".txt")

    # Its other lines differ from machine to machine, so they end here: what depends on this rule's
    # file is the same for everyone, and comes from a shared cache.
    ctx.actions.run_shell(
        inputs = [ctx.info_file],
        outputs = [listed],
        command = "sed -n 's/^STABLE_TREE //p' \"$1\" | tr ' ' '\\n' > \"$2\"",
        arguments = [ctx.info_file.path, listed.path],
        # Nobody else could use it, and it takes less time than to ask.
        execution_requirements = {"no-remote-cache": "1"},
        mnemonic = "ListTree",
        progress_message = "Listing the tree",
    )
    return [DefaultInfo(files = depset([listed]), runfiles = ctx.runfiles([listed]))]

tree_files = rule(
    doc = "`<name>.txt`: one path a line, in order, as tools/tree/status.sh writes them.",
    implementation = _tree_files_impl,
)

def _paths_of_impl(ctx):
    listed = ctx.actions.declare_file(ctx.label.name + ".txt")
    paths = {file.short_path: None for file in ctx.files.srcs}
    ctx.actions.write(listed, "".join([path + "\n" for path in sorted(paths)]))
    return [DefaultInfo(files = depset([listed]), runfiles = ctx.runfiles([listed]))]

paths_of = rule(
    doc = "`<name>.txt`: the paths of the files of targets, one a line, in order.",
    implementation = _paths_of_impl,
    attrs = {"srcs": attr.label_list(mandatory = True, allow_files = True)},
)

def _only_impl(ctx):
    files = [
        file
        for file in ctx.files.srcs
        if [ending for ending in ctx.attr.endings if file.basename.endswith(ending)]
    ]
    return [DefaultInfo(files = depset(files), runfiles = ctx.runfiles(files))]

only = rule(
    doc = "Those files of targets whose names end in one of the endings: a change of others is none of ours.",
    implementation = _only_impl,
    attrs = {
        "endings": attr.string_list(mandatory = True),
        "srcs": attr.label_list(mandatory = True, allow_files = True),
    },
)
