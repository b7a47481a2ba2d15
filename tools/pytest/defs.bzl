"""`pytest_test`: one pytest file, one target."""

load("@rules_python//python:py_test.bzl", "py_test")
load("//tools/java:defs.bzl", "JAVA", "SHORT_LIVED_JAVA_ENV")
load("//tools/python:bytecode.bzl", "bytecode")

def pytest_test(name, deps = [], data = [], args = [], env = {}, toolchains = [], java = False, **kwargs):
    """Declares a test for the pytest file `<name>.py`.

    Options for pytest go through Bazel: `--test_arg=-k --test_arg=rate`,
    `--config=debug --test_arg=-vv`; `./bazelw run <target> -- --pdb` for a debugger.

    Args:
        name: the file's name without `.py`.
        deps: what the test imports; pytest itself is added.
        data: files the test reads.
        args: more arguments for pytest.
        env: environment variables.
        toolchains: make-variable providers that `env` uses.
        java: whether the test starts a JVM; `JAVA_HOME` then names the repository's own, and it
            starts soon rather than becoming fast.
        **kwargs: passed to `py_test`.
    """
    if java:
        data = data + [JAVA]
        env = env | SHORT_LIVED_JAVA_ENV
        toolchains = toolchains + [JAVA]
    deps = deps + ["@pip//coverage", "@pip//pytest"]
    bytecode(
        name = name + "_bytecode",
        testonly = True,
        data = data,
        tags = ["manual"],
        visibility = ["//visibility:private"],
        deps = deps,
    )
    py_test(
        name = name,
        srcs = [
            name + ".py",
            "//tools/pytest:measured.py",
            "//tools/pytest:runner.py",
        ],
        main = "//tools/pytest:runner.py",
        args = ["$(rootpath %s.py)" % name] + args,
        data = data + [
            name + "_bytecode",
            "//tools/pytest:pytest.ini",
        ],
        env = env,
        toolchains = toolchains,
        deps = deps + ["//tools/python:startup"],
        **kwargs
    )
