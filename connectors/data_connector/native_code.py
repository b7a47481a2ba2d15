"""The machine code between rows of databases and columns: `native/*_rows.cc`."""

from __future__ import annotations

from pathlib import Path

LIBRARY = Path(__file__).parent / "native_rows.so"
"""Of the build; in a plain checkout there is none."""
