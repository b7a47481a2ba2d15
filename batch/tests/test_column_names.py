"""The columns file: what it may say, and what is wrong with others."""

from pathlib import Path

import pytest

from batch_proc.column_names import read_column_names
from data_connector.command import UsageError
from fraud_ml.default_specs import HANDBOOK_SPEC
from fraud_ml.feature_spec import ColumnFeature, ColumnKind, FeatureSpec


def test_names_are_read(tmp_path: Path) -> None:
    file = tmp_path / "columns.toml"
    file.write_text('amount = "PRICE"  # in euros\nis_fraud = "Fraud?"\n')
    assert read_column_names(file, HANDBOOK_SPEC) == {"amount": "PRICE", "is_fraud": "Fraud?"}


def test_the_columns_of_a_spec_are_ours_and_no_others(tmp_path: Path) -> None:
    device = ColumnFeature(name="device", column="device_id", kind=ColumnKind.CATEGORY)
    spec = FeatureSpec(features=(device,))
    file = tmp_path / "columns.toml"
    file.write_text('customer_id = "account"\ndevice_id = "Gerät"\n', encoding="utf-8")
    assert read_column_names(file, spec) == {"customer_id": "account", "device_id": "Gerät"}
    file.write_text('terminal_id = "shop"\n')
    with pytest.raises(UsageError, match="for transaction_id, .*, device_id, amount, is_fraud"):
        read_column_names(file, spec)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('price = "PRICE"', "'price' is no column of ours"),
        ("amount = 3", "amount must name a column, got 3"),
        ('amount = ""', "amount must name a column"),
        ("amount PRICE", "is not TOML"),
        ('amount = "A"\ncustomer_id = "A"', "'A' stands for more than one column"),
    ],
)
def test_other_files_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "columns.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match="columns.toml") as raised:
        read_column_names(file, HANDBOOK_SPEC)
    assert message in str(raised.value)


def test_a_file_that_is_not_text_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "columns.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not TOML"):
        read_column_names(file, HANDBOOK_SPEC)


def test_a_missing_file_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_column_names(tmp_path / "none.toml", HANDBOOK_SPEC)
