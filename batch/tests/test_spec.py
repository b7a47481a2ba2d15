"""Training on features that a spec file declares, of data that is no card payments."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from small_training import QUICK

from batch_proc import train
from batch_proc.errors import SHOWN
from data_connector.command import run
from fraud_ml.artifact import load_artifact
from fraud_ml.feature_spec_toml import spec_from_toml
from fraud_ml.shop_simulator import ShopConfig, simulate_shop

EXAMPLES = Path(__file__).parents[2] / "ml/examples"
SHOP = ("--spec", str(EXAMPLES / "shop.toml"), "--columns", str(EXAMPLES / "shop_columns.toml"))

Train = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def orders() -> pa.Table:
    """Orders of a shop as it exports them, some of them without device or account age."""
    return simulate_shop(ShopConfig(n_accounts=1_500, n_days=60)).orders


@pytest.fixture
def train_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Train:
    """Trains; returns the exit code and what was said on standard error."""

    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["train", *QUICK, *arguments])
        return run(train.main, shown=SHOWN), capsys.readouterr().err

    return command


def test_orders_of_a_shop_are_learnt_from_columns_and_keys_of_its_own(
    train_on: Train,
    write: Callable[[pa.Table], str],
    orders: pa.Table,
    home: Path,
    tmp_path: Path,
) -> None:
    assert "terminal_id" not in orders.column_names
    numbers = tmp_path / "numbers.json"
    split = ("--train-days", "21", "--json", str(numbers))
    status, said = train_on("--source", write(orders), *SHOP, *split)
    assert status == 0, said
    reached = {row["name"]: row["value"] for row in json.loads(numbers.read_text())}
    assert reached["auc"] > 0.7  # a coin has 0.5
    assert reached["ap"] > 4 * reached["test_frauds"] / reached["test_rows"]
    stored = load_artifact(home / "models/fraud/1")
    assert stored.spec == spec_from_toml((EXAMPLES / "shop.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda orders: orders.drop_columns("country"),
            "missing column 'country', which feature 'country' reads; the transactions have:"
            " order_id, ordered_at, account, merchant_category, device_id, ",
        ),
        (
            lambda orders: orders.set_column(
                orders.column_names.index("basket_size"),
                "basket_size",
                orders["basket_size"].cast(pa.string()),
            ),
            "column 'basket_size': must be numbers or true/false, got string",
        ),
        (lambda orders: orders.drop_columns("total"), "'total'"),
    ],
    ids=["missing", "text for a number", "no amount"],
)
def test_data_that_does_not_fit_the_spec_fails(
    train_on: Train,
    write: Callable[[pa.Table], str],
    orders: pa.Table,
    home: Path,
    change: Callable[[pa.Table], pa.Table],
    message: str,
) -> None:
    status, said = train_on("--source", write(change(orders)), *SHOP)
    assert status == 1
    assert message in said
    assert not (home / "models").exists()


def test_a_missing_column_that_is_mapped_is_named_as_the_user_does(
    train_on: Train, write: Callable[[pa.Table], str], orders: pa.Table, tmp_path: Path
) -> None:
    columns = tmp_path / "columns.toml"
    names = (EXAMPLES / "shop_columns.toml").read_text(encoding="utf-8")
    columns.write_text(f'{names}device_id = "fingerprint"\n')
    status, said = train_on("--source", write(orders), *SHOP[:2], "--columns", str(columns))
    assert status == 1
    assert "missing column 'fingerprint' (device_id), which feature 'account_devices_30d'" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file"),
        ("version =", "Invalid value (at end of document)"),
        ("", "not a feature spec: KeyError('version')"),
        (
            'version = 2\n[[features]]\nname = "f"\nkey = "k"\naggregate = "mode"\n',
            "f: aggregate must be one of count, sum_amount, ",
        ),
        (
            'version = 2\n[[features]]\nname = "f"\ncolumn = "c"\nkind = "text"\n',
            "f: kind must be one of numeric, category; got 'text'",
        ),
        (
            'version = 2\n[[features]]\nname = "f"\ncolumn = "is_fraud"\nkind = "numeric"\n',
            "f: no feature may read column 'is_fraud'",
        ),
    ],
)
def test_a_file_that_is_no_spec_is_wrong_usage(
    train_on: Train, home: Path, tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "spec.toml"
    if text is not None:
        file.write_text(text)
    status, said = train_on("--spec", str(file))
    assert status == 2
    assert said.startswith(f"error: --spec {file}: ")
    assert message in said
    assert not home.exists()


def test_a_spec_file_that_is_not_text_is_wrong_usage(train_on: Train, tmp_path: Path) -> None:
    file = tmp_path / "spec.toml"
    file.write_bytes(b"\xff\xfe")
    status, said = train_on("--spec", str(file))
    assert status == 2
    assert "is not TOML" in said
