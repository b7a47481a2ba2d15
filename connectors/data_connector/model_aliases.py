"""The aliases by which training and serving tell each other which versions of a model are in use.

The service keeps the state of the features of all of them, so that each can serve at once.
"""

from __future__ import annotations

from data_connector.model_store import ModelStore, StoredModel

CHAMPION = "champion"
"""The version that answers; or that will, in the next server to start or at the next deployment."""
CHALLENGER = "challenger"
"""Scores beside it, and is not answered."""
SERVING = "serving"
"""Answers now, whatever training has promoted since: in the server that started or changed last."""
PREVIOUS = "previous"
"""Answered before the champion; a rollback goes there."""
NEXT = "next"
"""Is being deployed."""


def choose(store: ModelStore, name: str, wanted: str | None) -> StoredModel:
    """The version of a model to use.

    Args:
        store: of models.
        name: of the model.
        wanted: a version, an alias, or None for the champion, or the newest where there is none.

    Raises:
        ModelNotFoundError: there is no such version or alias, or no version at all.
        ConnectorError: the store cannot be read.
    """
    if wanted is not None and wanted.isdecimal():
        return store.get(name, int(wanted))
    if wanted is not None or CHAMPION in store.aliases(name):
        return store.resolve(name, wanted or CHAMPION)
    return store.latest(name)
