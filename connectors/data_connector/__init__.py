"""Rows in and out of databases and files as Arrow batches, versioned models, and shared state.

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
    JournalReplacedError,
    JournalTrimmedError,
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
from data_connector.journal import Entry, Journal, open_journal
from data_connector.journal_holds import JournalHolds
from data_connector.model_store import ModelStore, StoredModel
from data_connector.ranges import KeyRange
from data_connector.snapshot_store import SnapshotStore
from data_connector.splits import split
from data_connector.transfer import fetch, list_tables, load, schema_of

__version__ = "0.0.0"

__all__ = [
    "AccessDeniedError",
    "AliasConflictError",
    "ColumnNotFoundError",
    "CommitUnknownError",
    "ConflictError",
    "ConnectorError",
    "CorruptSourceError",
    "DiskFullError",
    "Entry",
    "FeatureStore",
    "IncrementalCursor",
    "Journal",
    "JournalHolds",
    "JournalReplacedError",
    "JournalTrimmedError",
    "KeyRange",
    "ModelNotFoundError",
    "ModelStore",
    "OutcomeUnknownError",
    "QueryError",
    "SchemaMismatchError",
    "SnapshotStore",
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
    "open_journal",
    "schema_of",
    "split",
]
