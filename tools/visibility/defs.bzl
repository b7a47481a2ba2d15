"""Tests that a dependency between projects which the architecture forbids fails to build."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("@rules_python//python:py_library.bzl", "py_library")
load("//tools:projects.bzl", "forbidden_to")

def _edge_fails_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, "is not visible from")
    return analysistest.end(env)

_edge_fails_test = analysistest.make(_edge_fails_impl, expect_failure = True)

def forbidden_edge_test(name, to):
    """Asserts that no target of the calling package may depend on `to`.

    Args:
        name: the test's name.
        to: the label that must stay invisible from here.
    """
    py_library(
        name = name + "_edge",
        deps = [to],
        tags = ["manual"],  # Fails to build: that is the test.
    )
    _edge_fails_test(
        name = name,
        size = "small",
        target_under_test = ":" + name + "_edge",
    )

def forbidden_edge_tests():
    """Asserts that the calling project depends on no project on which its kind may not build."""
    for folder, package in forbidden_to(native.package_name()):
        forbidden_edge_test(
            name = "may_not_depend_on_" + folder,
            to = "//{}:{}".format(folder, package),
        )
