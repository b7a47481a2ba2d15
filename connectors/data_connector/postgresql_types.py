"""PostgreSQL's types by their object identifiers, which are fixed (catalog/pg_type.dat)."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from data_connector.arrow_types import MICROSECONDS, UTC_MICROSECONDS

# Its type in Arrow depends on each column's precision.
NUMERIC = 1700

# What a COPY in binary takes as `postgresql_copy` writes it.
WRITTEN: Mapping[int, pa.DataType] = {
    16: pa.bool_(),
    17: pa.binary(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    25: pa.string(),  # text
    700: pa.float32(),
    701: pa.float64(),
    1042: pa.string(),  # char(n)
    1043: pa.string(),  # varchar
    1082: pa.date32(),
    1114: MICROSECONDS,
    1184: UTC_MICROSECONDS,
}

# What a column is read as.
READ: Mapping[int, pa.DataType] = {
    **WRITTEN,
    19: pa.string(),  # name
    26: pa.int64(),  # oid
}
