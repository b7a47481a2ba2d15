"""Which modules of a project others may import."""

PublicModulesInfo = provider(
    doc = "The modules of a project that others may import.",
    fields = {"modules": "list of module names; None: all without an underscore"},
)

def _public_modules_impl(ctx):
    return [PublicModulesInfo(modules = ctx.attr.modules)]

public_modules = rule(
    doc = "Goes into `data` of the library whose public modules it lists; it brings no files.",
    implementation = _public_modules_impl,
    attrs = {
        "modules": attr.string_list(
            doc = "Names of modules. A package is not its modules: each is listed.",
            mandatory = True,
            allow_empty = False,
        ),
    },
)
