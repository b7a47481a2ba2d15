"""The aliases by which training and serving tell each other which versions of a model are in use.

The service keeps the state of the features of all of them, so that each can serve at once.
"""

CHAMPION = "champion"
"""The version that answers; or that will, in the next server to start or at the next deployment."""
CHALLENGER = "challenger"
"""Scores beside it, and is not answered."""
PREVIOUS = "previous"
"""Answered before the champion; a rollback goes there."""
NEXT = "next"
"""Is being deployed."""
