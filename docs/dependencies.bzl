"""`dependencies`: which of the repository's targets depends on which, in Graphviz's language.

That is what `bazel query --output=graph` writes too. But a query in a rule follows every edge, into
the launcher of Bazel's programs, of which Debian's Bazel has no source.
"""

DependenciesInfo = provider("What a target and those below it depend on.", fields = ["edges"])

def _edges_impl(target, ctx):
    own = []
    below = []
    for dep in getattr(ctx.rule.attr, "deps", []):
        if DependenciesInfo in dep:
            below.append(dep[DependenciesInfo].edges)
        if not dep.label.workspace_name:
            own.append("  \"{}\" -> \"{}\"\n".format(_name(target.label), _name(dep.label)))
    return [DependenciesInfo(edges = depset(own, transitive = below))]

def _name(label):
    return "//{}:{}".format(label.package, label.name)

_edges = aspect(
    implementation = _edges_impl,
    attr_aspects = ["deps"],
)

def _dependencies_impl(ctx):
    graph = ctx.actions.declare_file(ctx.attr.name + ".dot")
    edges = depset(transitive = [it[DependenciesInfo].edges for it in ctx.attr.targets])
    ctx.actions.write(graph, "digraph dependencies {\n" + "".join(edges.to_list()) + "}\n")
    return DefaultInfo(files = depset([graph]))

dependencies = rule(
    implementation = _dependencies_impl,
    attrs = {"targets": attr.label_list(aspects = [_edges], mandatory = True)},
)
