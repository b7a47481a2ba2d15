"""The --config of a training: what it may say, and that the model is what it says."""

from pathlib import Path

import pyarrow as pa
import pytest
from small_training import TRAIN_START

import data_connector
from batch_proc import train
from batch_proc.errors import SHOWN
from batch_proc.train_config import TrainConfig, read_train_config
from batch_proc.train_options import parse_train_options
from data_connector import ModelStore
from data_connector.command import UsageError, run
from fraud_ml.artifact import load_artifact
from fraud_ml.model import ModelConfig
from fraud_ml.training import TrainingConfig

FOUND = TrainConfig.of({"width": 16, "n_layers": 1, "dropout": 0.25, "weight_decay": 1e-05})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "found.toml"


def test_what_is_written_is_what_is_read(file: Path) -> None:
    file.write_text(FOUND.to_toml("AP 0.7,\nthe best of 20"))
    assert read_train_config(file) == FOUND
    assert file.read_text().startswith("# AP 0.7,\n# the best of 20\n\n[model]\n")
    assert FOUND.model.width == 16
    assert FOUND.training.weight_decay == 1e-05


def test_what_is_not_said_is_the_library_s(file: Path) -> None:
    file.write_text("[model]\nwidth = 16\n")
    found = read_train_config(file)
    assert found == TrainConfig(model=ModelConfig(width=16), training=TrainingConfig())
    file.write_text("")
    assert read_train_config(file) == TrainConfig()


def test_the_command_line_counts_more_than_the_file(file: Path) -> None:
    file.write_text("[training]\nmax_epochs = 9\npatience = 2\n")
    of_file = parse_train_options(["--config", str(file)]).config.training
    assert (of_file.max_epochs, of_file.patience) == (9, 2)
    shorter = parse_train_options(["--config", str(file), "--max-epochs", "3"]).config.training
    assert (shorter.max_epochs, shorter.patience) == (3, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model", "is not TOML"),
        ("width = 16", "'width' is unknown; it has the tables [model] and [training]"),
        ("model = 3", "[model] must be a table, got 3"),
        ("[model]\nwide = 16", "[model]: 'wide' is unknown; it has n_groups, n_members"),
        ("[model]\nwidth = 16.0", "[model]: width must be a whole number, got 16.0"),
        ("[model]\nwidth = true", "[model]: width must be a whole number, got True"),
        ("[model]\nwidth = 0", "[model]: width must be at least 1, got 0"),
        ("[training]\nweight_decay = nan", "[training]: weight_decay must be a number, got nan"),
        ('[training]\nweight_decay = "0"', "[training]: weight_decay must be a number, got '0'"),
    ],
)
def test_a_bad_file_is_refused_and_says_what_would_be_right(file, text, said) -> None:
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        read_train_config(file)
    assert str(error.value).startswith(f"--config {file}")
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_train_config(file)


def test_the_model_is_what_the_file_says(
    file: Path, tmp_path: Path, home: Path, rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(FOUND.to_toml())
    data_connector.load(rows, tmp_path / "rows.parquet")
    options = ["--source", str(tmp_path / "rows.parquet"), "--train-start", TRAIN_START]
    options += ["--config", str(file), "--max-epochs", "1"]
    monkeypatch.setattr("sys.argv", ["train", *options])
    assert run(train.main, shown=SHOWN) == 0
    config = load_artifact(ModelStore(home / "models").latest("fraud").path).net.config
    assert (config.width, config.n_layers, config.dropout) == (16, 1, 0.25)
