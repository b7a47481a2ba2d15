"""Rows in and out of databases and files as Arrow batches, and a store of versioned models.

Imports nothing heavy by itself: Arrow, SQLAlchemy and drivers come with their first use.
"""

from data_connector.errors import (
    AliasConflictError,
    ColumnNotFoundError,
    ConnectorError,
    CorruptSourceError,
    DiskFullError,
    ModelNotFoundError,
    QueryError,
    SchemaMismatchError,
    SourceNotFoundError,
    SourceUnreachableError,
    TableNotFoundError,
    TargetExistsError,
    UnsupportedSourceError,
    WriteError,
)
from data_connector.model_store import ModelStore, StoredModel
from data_connector.transfer import fetch, list_tables, load, schema_of

__all__ = [
    "AliasConflictError",
    "ColumnNotFoundError",
    "ConnectorError",
    "CorruptSourceError",
    "DiskFullError",
    "ModelNotFoundError",
    "ModelStore",
    "QueryError",
    "SchemaMismatchError",
    "SourceNotFoundError",
    "SourceUnreachableError",
    "StoredModel",
    "TableNotFoundError",
    "TargetExistsError",
    "UnsupportedSourceError",
    "WriteError",
    "fetch",
    "list_tables",
    "load",
    "schema_of",
]
