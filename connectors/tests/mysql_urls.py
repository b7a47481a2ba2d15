"""URLs of MySQL for tests."""

from __future__ import annotations

import sqlalchemy as sa


def saying(url: str, command: str) -> str:
    """The URL of sessions that begin with a command."""
    changed = sa.make_url(url).update_query_dict({"init_command": command})
    return changed.render_as_string(hide_password=False)
