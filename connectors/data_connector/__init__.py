"""Rows in and out of databases and files as Arrow batches, and a store of versioned models.

Imports nothing heavy by itself: Arrow, SQLAlchemy and drivers come with their first use.
"""

from data_connector.errors import (
    AccessDeniedError,
    AliasConflictError,
    ColumnNotFoundError,
    CommitUnknownError,
    ConflictError,
    ConnectorError,
    CorruptSourceError,
    DiskFullError,
    ModelNotFoundError,
    OutcomeUnknownError,
    QueryError,
    SchemaMismatchError,
    SourceNotFoundError,
    SourceUnreachableError,
    StoreReplacedError,
    TableNotFoundError,
    TargetExistsError,
    UnsupportedSourceError,
    WriteError,
)
from data_connector.feature_store import FeatureStore, Stored, open_feature_store
from data_connector.incremental import IncrementalCursor
from data_connector.model_store import ModelStore, StoredModel
from data_connector.ranges import KeyRange
from data_connector.splits import split
from data_connector.transfer import fetch, list_tables, load, schema_of

__all__ = [
    "AccessDeniedError",
    "AliasConflictError",
    "ColumnNotFoundError",
    "CommitUnknownError",
    "ConflictError",
    "ConnectorError",
    "CorruptSourceError",
    "DiskFullError",
    "FeatureStore",
    "IncrementalCursor",
    "KeyRange",
    "ModelNotFoundError",
    "ModelStore",
    "OutcomeUnknownError",
    "QueryError",
    "SchemaMismatchError",
    "SourceNotFoundError",
    "SourceUnreachableError",
    "StoreReplacedError",
    "Stored",
    "StoredModel",
    "TableNotFoundError",
    "TargetExistsError",
    "UnsupportedSourceError",
    "WriteError",
    "fetch",
    "list_tables",
    "load",
    "open_feature_store",
    "schema_of",
    "split",
]
