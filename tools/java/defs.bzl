"""The repository's own Java runtime, for targets that start a JVM."""

JAVA = "@bazel_tools//tools/jdk:current_java_runtime"

# With `data` and `toolchains` set to `[JAVA]`.
JAVA_ENV = {"JAVA_HOME": "$(JAVABASE)"}
