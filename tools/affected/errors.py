"""What the user of the command is shown instead of a traceback."""


class AffectedError(Exception):
    """The question cannot be answered; the message says why, and what to do."""
