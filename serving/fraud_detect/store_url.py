"""How long a payment may wait for the feature store: said in its URL, where the user has not."""

from __future__ import annotations

from data_connector.locations import DatabaseLocation, parse

_HASTE = {
    "sqlite": {"timeout": "0.5"},
    "postgresql": {
        "connect_timeout": "2",  # the least that libpq takes
        "tcp_user_timeout": "2000",
        "options": "-c lock_timeout=500ms",
    },
    "redis": {"socket_timeout": "1", "socket_connect_timeout": "1"},
}
"""Options by scheme. They bound for how long requests wait when the store is down."""
_SAME = {"rediss": "redis", "unix": "redis"}


def hasty(url: str) -> str:
    """``url`` with short timeouts; those that it has are kept.

    Args:
        url: of a feature store, or where it is kept: ``env:NAME``, ``secret-file:PATH``.

    Raises:
        ConnectorError: it is none.
    """
    location = parse(url)
    if not isinstance(location, DatabaseLocation):
        return url  # which no store takes: it says why
    options = _HASTE.get(_SAME.get(location.scheme, location.scheme), {})
    given = location.url.query
    added = {name: value for name, value in options.items() if name not in given}
    return location.url.update_query_dict(added).render_as_string(hide_password=False)
