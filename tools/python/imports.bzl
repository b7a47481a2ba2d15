"""Every import declared: an aspect that fails the build of a target with an undeclared one.

A target's imports resolve through everything that its dependencies drag in, so `import numpy`
works for a target that names only torch, until torch drops numpy. Here each Python file may
import the standard library, its own target's files, and what a *direct* dependency provides.
`.bazelrc` applies the aspect to every build; its work is a cached action a target.
"""

ImportsInfo = provider(
    doc = "What a target lets others import.",
    fields = {
        "modules": "list of module names: whole packages of a wheel, single files of ours",
        "sources": "list of our Python files, each checked with the target that lists it first",
    },
)

def _wheel_modules(files):
    """Top-level names of an unpacked wheel."""
    names = {}
    for file in files:
        _, found, inside = file.path.partition("/site-packages/")
        if found:
            names[inside.split("/")[0].split(".")[0]] = None
    return names.keys()

def _own_modules(target_label, imports, files):
    """Dotted names of a target's files, relative to the folders that it puts on the path."""
    roots = [target_label.package + "/" + folder if folder != "." else target_label.package for folder in imports]
    names = []
    for file in files:
        inside = file.short_path
        for root in roots:
            if root and inside.startswith(root + "/"):
                inside = inside[len(root) + 1:]
        names.append(inside.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    return names

def _files(ctx, attribute):
    return [
        file
        for target in getattr(ctx.rule.attr, attribute, [])
        for file in target[DefaultInfo].files.to_list()
    ]

def _imports_aspect_impl(target, ctx):
    if ctx.rule.kind not in ("py_library", "py_binary", "py_test"):
        return []
    sources = [file for file in _files(ctx, "srcs") if file.extension == "py"]
    if target.label.workspace_name:
        return [ImportsInfo(
            modules = _wheel_modules(sources + _files(ctx, "data")),
            sources = [],
        )]

    own = _own_modules(target.label, ctx.rule.attr.imports, sources)
    declared = {name: None for name in own}
    checked = {}
    for dependency in ctx.rule.attr.deps:
        if ImportsInfo in dependency:
            declared.update({name: None for name in dependency[ImportsInfo].modules})
            checked.update({file: None for file in dependency[ImportsInfo].sources})

    # A library without files of its own stands for its dependencies.
    info = ImportsInfo(modules = own if sources else declared.keys(), sources = sources)

    # A binary's main file is often a file of the library that it depends on.
    unchecked = [file for file in sources if file not in checked]
    if not unchecked:
        return [info]

    names = ctx.actions.declare_file(target.label.name + ".declared_imports")
    ctx.actions.write(names, "\n".join(sorted(declared)) + "\n")
    report = ctx.actions.declare_file(target.label.name + ".imports_checked")
    arguments = ctx.actions.args()
    arguments.add(target.label)
    arguments.add(names)
    arguments.add(report)
    arguments.add_all(unchecked)
    ctx.actions.run(
        executable = ctx.executable._checker,
        arguments = [arguments],
        inputs = unchecked + [names],
        mnemonic = "CheckImports",
        outputs = [report],
        progress_message = "Checking the imports of %{label}",
    )
    return [
        info,
        OutputGroupInfo(_validation = depset([report])),
    ]

imports_aspect = aspect(
    doc = "Fails the build of a Python target that imports what it does not declare.",
    implementation = _imports_aspect_impl,
    attr_aspects = ["deps"],
    attrs = {
        "_checker": attr.label(
            default = "//tools/python:check_imports",
            cfg = "exec",
            executable = True,
        ),
    },
)
