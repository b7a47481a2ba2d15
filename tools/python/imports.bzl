"""Imports equal dependencies: an aspect that fails the build of a target where they differ.

A target's imports resolve through everything that its dependencies drag in, so `import numpy`
works for a target that names only torch, until torch drops numpy. Here each Python file may
import the standard library, its own target's files, and what a *direct* dependency provides, but
not what another project keeps to itself; and a dependency that nothing imports is an error, for
it would rebuild and retest the target for nothing.
`.bazelrc` applies the aspect to every build; its work is a cached action a target.
"""

load(":public_modules.bzl", "PublicModulesInfo")

ImportsInfo = provider(
    doc = "What a target lets others import.",
    fields = {
        "provides": "list of structs: modules (whole packages of a wheel, single files of ours), " +
                    "project (empty for a wheel), public (the project's public modules, or None)",
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

def _spelled(label):
    """A label as BUILD files spell it: //ml:features, @pip//numpy."""
    repository = label.workspace_name.split("~")[-1]
    if repository.startswith("pip_"):
        return "@pip//" + repository.removeprefix("pip_")
    if repository == label.name and not label.package:
        return "@" + repository
    prefix = "@" + repository if repository else ""
    if label.package.split("/")[-1] == label.name:
        return "{}//{}".format(prefix, label.package)
    return "{}//{}:{}".format(prefix, label.package, label.name)

def _project(label):
    """The top folder of a target."""
    return label.package.split("/")[0] or "."

def _public_modules(ctx):
    for target in ctx.rule.attr.data:
        if PublicModulesInfo in target:
            return target[PublicModulesInfo].modules
    return None

def _imports_aspect_impl(target, ctx):
    if ctx.rule.kind not in ("py_library", "py_binary", "py_test"):
        return []
    sources = [file for file in _files(ctx, "srcs") if file.extension == "py"]
    if target.label.workspace_name:
        modules = _wheel_modules(sources + _files(ctx, "data"))
        if not modules:
            # A Python library of another repository, but no wheel.
            modules = [file.basename.removesuffix(".py") for file in sources]
        return [ImportsInfo(
            provides = [struct(modules = modules, project = "", public = None)],
            sources = [],
        )]

    own = _own_modules(target.label, ctx.rule.attr.imports, sources)
    dependencies = [
        struct(label = _spelled(dependency.label), provides = dependency[ImportsInfo].provides)
        for dependency in ctx.rule.attr.deps
        if ImportsInfo in dependency
    ]
    checked = {
        file: None
        for dependency in ctx.rule.attr.deps
        if ImportsInfo in dependency
        for file in dependency[ImportsInfo].sources
    }

    # A library without files of its own stands for its dependencies.
    info = ImportsInfo(
        provides = [struct(
            modules = own,
            project = _project(target.label),
            public = _public_modules(ctx),
        )] if sources else [each for it in dependencies for each in it.provides],
        sources = sources,
    )

    # A binary's main file is often a file of the library that it depends on.
    if not [file for file in sources if file not in checked]:
        return [info]

    declared = ctx.actions.declare_file(target.label.name + ".declared_imports")
    ctx.actions.write(declared, json.encode(struct(
        checked_elsewhere = [file.path for file in sources if file in checked],
        dependencies = dependencies,
        label = _spelled(target.label),
        own = own,
        project = _project(target.label),
        tags = ctx.rule.attr.tags,
    )))
    report = ctx.actions.declare_file(target.label.name + ".imports_checked")
    arguments = ctx.actions.args()
    arguments.add(declared)
    arguments.add(report)
    arguments.add_all(sources)
    ctx.actions.run(
        executable = ctx.executable._checker,
        arguments = [arguments],
        inputs = sources + [declared],
        mnemonic = "CheckImports",
        outputs = [report],
        progress_message = "Checking the imports of %{label}",
    )
    return [
        info,
        OutputGroupInfo(_validation = depset([report])),
    ]

imports_aspect = aspect(
    doc = "Fails the build of a Python target whose imports are not its dependencies.",
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
