"""What a cache has done since its start, for people and for programs."""

from __future__ import annotations

import html
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from tools.cache.store import AC, CAS, Store


@dataclass(slots=True)
class Traffic:
    """What was asked for since the start."""

    started: float = field(default_factory=time.monotonic)
    lookups: int = 0
    """Results of actions that were asked for."""
    hits: int = 0
    """Those that were there with all their blobs: actions that nobody had to run."""
    blob_reads: int = 0
    blob_hits: int = 0
    writes: int = 0
    """Entries taken."""
    denied: int = 0
    """Writes without a right token."""
    refused: int = 0
    """Writes of something that was not what it said, or for which there was no room."""
    bytes_in: int = 0
    bytes_out: int = 0


_MEANING = {
    "hit_rate": "of the actions that were looked up, how many were there",
    "lookups": "actions looked up",
    "hits": "actions found, with all their outputs",
    "blob_reads": "blobs asked for",
    "blob_hits": "blobs found",
    "writes": "entries taken",
    "denied": "writes without the token",
    "refused": "writes that were not what they said, or had no room",
    "bytes_in": "bytes of entries taken",
    "bytes_out": "bytes of blobs and results sent",
    "results": "results of actions now",
    "blobs": "blobs now",
    "used_bytes": "bytes on disk now, uploads included",
    "max_bytes": "bytes on disk at most",
    "evicted": "entries evicted to make room",
    "evicted_bytes": "bytes evicted",
    "corrupt": "entries that the disk had changed, dropped",
    "incomplete": "actions not given out because an output was evicted",
    "uptime_seconds": "seconds since the start; all counts are since then",
}


def figures(store: Store, traffic: Traffic) -> dict[str, Any]:
    """All figures by name; `hit_rate` is None before the first lookup."""
    entries = store.entries()
    counted = asdict(traffic)
    uptime = time.monotonic() - counted.pop("started")
    return {
        "hit_rate": traffic.hits / traffic.lookups if traffic.lookups else None,
        **counted,
        "results": entries[AC],
        "blobs": entries[CAS],
        "used_bytes": store.used,
        "max_bytes": store.max_bytes,
        **asdict(store.counts),
        "uptime_seconds": round(uptime, 1),
    }


def page(told: dict[str, Any]) -> str:
    """The figures as HTML."""
    rate = told["hit_rate"]
    title = "no lookups yet" if rate is None else f"{rate:.1%} hits"
    rows = "".join(
        f"<tr><th>{html.escape(name)}<td>{_shown(value)}<td>{html.escape(_MEANING[name])}\n"
        for name, value in told.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=10>"
        f"<title>Build cache: {title}</title>\n"
        "<style>body{font:16px sans-serif;margin:2em}th{text-align:left;font-weight:normal}"
        "td,th{padding:.2em 1em .2em 0}td:nth-child(2){text-align:right}</style>\n"
        f"<h1>Build cache: {title}</h1>\n<table>\n{rows}</table>\n"
        "<p>The same <a href=/status.json>as JSON</a>.\n"
    )


def _shown(value: float | None) -> str:
    if value is None:
        return "none yet"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
