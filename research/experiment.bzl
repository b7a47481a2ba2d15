"""`experiment`: a folder of research/experiments, as a command and as a test."""

load("@rules_python//python:py_binary.bzl", "py_binary")
load("@rules_python//python:py_library.bzl", "py_library")
load("@rules_python//python:py_test.bzl", "py_test")
load("//tools/python:bytecode.bzl", "bytecode")

def experiment(name, deps, size = "small"):
    """Declares `name`, which runs the experiment, and `test`, which runs it on small parameters.

    Both read the folder; research/experiments/README.md says what is in it. //research finds the
    folder by itself: its files are linted, type-checked and published with the others.

    Args:
        name: the folder's name.
        deps: what experiment.py or notebook.py imports.
        size: of the test.
    """
    if name != native.package_name().split("/")[-1]:
        fail("an experiment is called as its folder, got %s in //%s" % (name, native.package_name()))
    code = native.glob(["*.py"])
    files = native.glob(["*.md", "*.json", "*.svg", "*.toml"])
    py_library(
        name = "library",
        srcs = code,
        data = files,
        visibility = ["//research:__pkg__"],
        deps = deps,
    )
    py_binary(
        name = name,
        srcs = ["//research:experiments/study_run.py"],
        args = [native.package_name()],
        main = "//research:experiments/study_run.py",
        deps = [
            "//research:study_run_library",
            ":library",
        ],
    )
    bytecode(
        name = "test_bytecode",
        testonly = True,
        tags = ["manual"],
        visibility = ["//visibility:private"],
        deps = [
            "//research:study_trial_library",
            ":library",
        ],
    )
    py_test(
        name = "test",
        size = size,
        srcs = ["//research:experiments/study_trial.py"],
        args = [native.package_name(), "$(rootpath //:CODEOWNERS)"],
        data = [
            ":test_bytecode",
            "//:CODEOWNERS",
        ],
        main = "//research:experiments/study_trial.py",
        deps = [
            "//research:study_trial_library",
            "//tools/python:startup",
            ":library",
        ],
    )
    native.filegroup(
        name = "sources",
        srcs = ["BUILD.bazel"] + code,
        visibility = ["//docs:__pkg__", "//research:__pkg__"],
    )
    native.filegroup(
        name = "documents",
        srcs = native.glob(["*.md", "*.svg"]),  # a page shows its figure
        visibility = ["//research:__pkg__"],
    )
