"""The module extension that makes `@python`: the interpreter that everything here runs on."""

load(":host_python.bzl", "python_repository")

def _python_toolchain_impl(_module_ctx):
    python_repository(
        name = "python",
        hermetic_interpreter = "@hermetic_python//:python",
    )

python_toolchain = module_extension(
    doc = "Makes `@python`, the interpreter that packages are installed with and tests run on.",
    implementation = _python_toolchain_impl,
)
