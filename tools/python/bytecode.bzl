"""The bytecode of packages, as files that Bazel makes and keeps.

Packages come without bytecode, and a test cannot leave any behind in its sandbox: each of its
processes would compile all that it imports, which takes longer than most tests. Here each package
is compiled once, by an action, into an archive beside its folder `site-packages`. Processes that
have `//tools/python:startup` on their path take modules from there.
"""

_BytecodeInfo = provider(
    doc = "The bytecode of the packages that a target depends on.",
    fields = {"archives": "depset of files, one a package"},
)

# Where a test's packages come from: imports, and programs that it starts.
_ATTRIBUTES = ["data", "deps"]

def _archive(ctx):
    """Declares the archive of a package; None for what is no package."""
    if ctx.rule.kind != "py_library" or not ctx.label.workspace_name:
        return None
    sources = [
        file
        for target in ctx.rule.attr.srcs
        for file in target[DefaultInfo].files.to_list()
        if file.extension == "py" and "/site-packages/" in file.path
    ]
    if not sources:
        return None
    archive = ctx.actions.declare_file("site-packages.bytecode")
    arguments = ctx.actions.args()
    arguments.add(archive)
    arguments.add_all(sources)
    arguments.set_param_file_format("multiline")
    arguments.use_param_file("@%s", use_always = True)
    ctx.actions.run(
        executable = ctx.executable._compiler,
        arguments = [arguments],
        env = {"PYTHONHASHSEED": "0"},  # The same bytes each time.
        inputs = sources,
        mnemonic = "CompileBytecode",
        outputs = [archive],
        progress_message = "Compiling the modules of %{label}",
    )
    return archive

def _collected(targets):
    return [target[_BytecodeInfo].archives for target in targets if _BytecodeInfo in target]

def _bytecode_aspect_impl(_target, ctx):
    archive = _archive(ctx)
    return [_BytecodeInfo(archives = depset(
        [archive] if archive else [],
        transitive = [
            archives
            for attribute in _ATTRIBUTES
            for archives in _collected(_targets(getattr(ctx.rule.attr, attribute, None)))
        ],
    ))]

def _targets(value):
    """The targets of an attribute of any rule: a list, one, or, of dicts, none."""
    if type(value) == "list":
        return [each for each in value if type(each) == "Target"]
    return [value] if type(value) == "Target" else []

bytecode_aspect = aspect(
    doc = "Compiles the packages that a target depends on.",
    implementation = _bytecode_aspect_impl,
    attr_aspects = _ATTRIBUTES,
    attrs = {
        "_compiler": attr.label(
            default = "//tools/python:compile_bytecode",
            cfg = "exec",
            executable = True,
        ),
    },
)

def _bytecode_impl(ctx):
    archives = depset(transitive = _collected(ctx.attr.deps + ctx.attr.data))
    return [DefaultInfo(files = archives, runfiles = ctx.runfiles(transitive_files = archives))]

bytecode = rule(
    doc = "The bytecode of all packages of targets: for `data`, with //tools/python:startup in `deps`.",
    implementation = _bytecode_impl,
    attrs = {
        "data": attr.label_list(
            doc = "Programs that are started, among other files.",
            allow_files = True,
            aspects = [bytecode_aspect],
        ),
        "deps": attr.label_list(
            doc = "What is imported.",
            aspects = [bytecode_aspect],
        ),
    },
)
