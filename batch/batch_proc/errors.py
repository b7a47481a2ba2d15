"""What a user can do wrong on the command line."""


class UsageError(Exception):
    """An option, or a file that an option names, cannot be used; the exit code is 2."""
