"""The recipe: Bazel and a Java runtime out of Debian's packages, in one private prefix.

Any change to a module of this folder gives the prefix a new name, and so a new build.
"""
