"""The token reaches the cache, and nobody else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

HELPER = Path(__file__).parents[1] / "credentials.py"
TOKEN = "a-token-that-only-CI-has"


def ask(uri: str, *, cache: str = "https://cache.example", token: str = TOKEN) -> object:
    """What the helper tells Bazel about `uri`."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "FRAUD_CACHE_URL": cache}
    done = subprocess.run(
        [HELPER, "get"],
        input=json.dumps({"uri": uri}),
        env=environment | ({"FRAUD_CACHE_TOKEN": token} if token else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("uri", "cache"),
    [
        ("https://cache.example/ac/00", "https://cache.example"),
        ("https://cache.example:443/ac/00", "https://cache.example/"),
        ("http://127.0.0.1:8980/cas/00", "http://127.0.0.1:8980"),
    ],
)
def test_the_cache_is_told_the_token(uri: str, cache: str) -> None:
    assert ask(uri, cache=cache) == {"headers": {"Authorization": [f"Bearer {TOKEN}"]}}


@pytest.mark.parametrize(
    "uri",
    [
        "https://elsewhere.example/ac/00",
        "http://cache.example/ac/00",  # in the clear
        "https://cache.example:8443/ac/00",
        "https://cache.example.elsewhere.example/",
        "https://cache.example@elsewhere.example/",
    ],
)
def test_nobody_else_is(uri: str) -> None:
    assert ask(uri) == {"headers": {}}


def test_without_a_token_or_a_cache_nothing_is_told() -> None:
    assert ask("https://cache.example/ac/00", token="") == {"headers": {}}
    assert ask("https://cache.example/ac/00", cache="") == {"headers": {}}


def test_wrong_usage_is_told() -> None:
    done = subprocess.run([HELPER], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "usage" in done.stderr
