"""How `bazelw` finds or makes a Bazel; standard library only, Python 3.9 and newer."""
