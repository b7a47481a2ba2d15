"""`changes`: what a project, or the repository as a whole, tells of its changes."""

def changes(name = "changes"):
    """Declares the changelog with the fragments of what is not released yet.

    Args:
        name: the target's name.
    """
    native.filegroup(
        name = name,
        srcs = ["CHANGELOG.md"] + native.glob(
            ["changes/*"],
            allow_empty = True,  # right after a release there is none
        ),
        visibility = ["//tools:__subpackages__"],
    )
