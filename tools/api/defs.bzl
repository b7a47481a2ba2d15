"""`public_api`: what a project lets others import, as a list that is checked."""

load("@rules_python//python:py_binary.bzl", "py_binary")
load("@rules_python//python:py_test.bzl", "py_test")
load("//tools/python:public_modules.bzl", "public_modules")

def public_api(name, package, srcs, modules = []):
    """Declares the test `name` that api.txt is what the code publishes, and `name`.update.

    With `modules`, also `public_modules`, which goes into `data` of the package's own library:
    then the build fails where another project imports any other module.

    Args:
        name: the test's name.
        package: what is imported, as fraud_ml.
        srcs: the package's files.
        modules: names of the public modules; all without an underscore unless given.
    """
    if modules:
        public_modules(
            name = "public_modules",
            modules = modules,
        )
    arguments = [native.package_name() + "/api.txt", package]
    arguments += ["--module=" + module for module in modules]
    arguments += ["$(rootpaths %s)" % label for label in srcs]
    py_test(
        name = name,
        size = "small",
        srcs = ["//tools/api:api.py"],
        args = ["--check"] + arguments,
        data = srcs + ["api.txt"],
        main = "//tools/api:api.py",
        deps = ["//tools/api:listing"],
    )
    py_binary(
        name = name + ".update",
        srcs = ["//tools/api:api.py"],
        args = ["--write"] + arguments,
        data = srcs,
        main = "//tools/api:api.py",
        deps = ["//tools/api:listing"],
    )
