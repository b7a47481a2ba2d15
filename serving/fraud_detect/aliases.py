"""The names under which the model store knows the versions in use.

The keeper keeps the state of the features of all of them, so that each can serve at once.
"""

CHAMPION = "champion"
"""The version that answers."""
CHALLENGER = "challenger"
"""Scores beside it, and is not answered."""
PREVIOUS = "previous"
"""Answered before the champion; a rollback goes there."""
NEXT = "next"
"""Is being deployed."""
