"""The user's names for our columns, from a TOML file of lines `ours = "theirs"`."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

from data_connector.command import UsageError
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.transactions import LABEL_COLUMNS, TRANSACTION_COLUMNS, transaction_columns

# The label's own transaction_id is the transaction's: both lie in the same row.
OPTIONAL_COLUMNS = tuple(name for name in LABEL_COLUMNS if name not in TRANSACTION_COLUMNS)


def read_column_names(path: Path, spec: FeatureSpec) -> dict[str, str]:
    """Our column name to the user's, for the names that the file gives.

    Args:
        path: the file.
        spec: whose columns are ours, beside those of every transaction and label.

    Raises:
        UsageError: the file cannot be read, is no TOML, names a column that we do not have, or
            gives one column of the user two meanings.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--columns {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--columns {path}: is not TOML: {error}") from error
    columns = (*transaction_columns(spec), *OPTIONAL_COLUMNS)
    for ours, theirs in given.items():
        if ours not in columns:
            raise UsageError(
                f"--columns {path}: {ours!r} is no column of ours; the lines are"
                f' ours = "theirs" for {", ".join(columns)}'
            )
        if not isinstance(theirs, str) or not theirs:
            raise UsageError(f"--columns {path}: {ours} must name a column, got {theirs!r}")
    shared = [theirs for theirs, times in Counter(given.values()).items() if times > 1]
    if shared:
        raise UsageError(f"--columns {path}: {shared[0]!r} stands for more than one column")
    return given
