"""The repository's own Java runtime, for targets that start a JVM."""

load("@rules_java//java/common:java_common.bzl", "java_common")

JAVA = "//tools/java:home"

# With `data` and `toolchains` set to `[JAVA]`.
JAVA_ENV = {"JAVA_HOME": "$(JAVA_HOME)"}

# For a JVM that lives a minute, as in a test: what the optimising compiler gains later it takes
# before, and other collectors would have the cores that the tests need.
SHORT_LIVED_JAVA_ENV = JAVA_ENV | {
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData",
}

def _java_home_impl(ctx):
    runtime = ctx.attr._runtime[java_common.JavaRuntimeInfo]
    return [
        DefaultInfo(files = runtime.files, runfiles = ctx.runfiles(transitive_files = runtime.files)),
        platform_common.TemplateVariableInfo({"JAVA_HOME": runtime.java_home_runfiles_path}),
    ]

java_home = rule(
    doc = "The runtime's files, and $(JAVA_HOME): its folder from where a program starts. $(JAVABASE)" +
          " is its folder for a build's action, which a program sees by other paths.",
    implementation = _java_home_impl,
    attrs = {
        "_runtime": attr.label(
            default = "@bazel_tools//tools/jdk:current_java_runtime",
            providers = [java_common.JavaRuntimeInfo],
        ),
    },
)
