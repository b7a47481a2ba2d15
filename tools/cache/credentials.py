#!/usr/bin/env -S python3 -ISB
"""Hands the cache's token to Bazel, which asks for each address before it goes there.

Bazel's credential helper (`--credential_helper` in .bazelrc): a token in the environment is seen
by nobody else, one on a command line by everyone on the machine. It is told to the cache that
FRAUD_CACHE_URL names and to no other address. Runs outside of Bazel: the standard library only.
"""

import json
import os
import sys
from urllib.parse import urlsplit


def headers(uri: str, cache: str, token: str) -> "dict[str, list[str]]":
    """What to send to `uri`: the token where it belongs to the cache, else nothing."""
    if not token or not cache or _origin(uri) != _origin(cache):
        return {}
    return {"Authorization": [f"Bearer {token}"]}


def _origin(uri: str) -> "tuple[str, str | None, int | None]":
    parts = urlsplit(uri)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def main() -> int:
    """The exit code: 0, or 2 where this is not how Bazel asks."""
    if sys.argv[1:] != ["get"]:
        sys.stderr.write("usage: credentials.py get < '{\"uri\": ...}', by Bazel\n")
        return 2
    uri = json.load(sys.stdin)["uri"]
    cache, token = (os.environ.get(f"FRAUD_CACHE_{name}", "") for name in ("URL", "TOKEN"))
    told = headers(uri, cache, token)
    json.dump({"headers": told}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
