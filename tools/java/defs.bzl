"""The repository's own Java runtime, for targets that start a JVM."""

JAVA = "@bazel_tools//tools/jdk:current_java_runtime"

# With `data` and `toolchains` set to `[JAVA]`.
JAVA_ENV = {"JAVA_HOME": "$(JAVABASE)"}

# For a JVM that lives a minute, as in a test: what the optimising compiler gains later it takes
# before, and other collectors would have the cores that the tests need.
SHORT_LIVED_JAVA_ENV = JAVA_ENV | {
    "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData",
}
