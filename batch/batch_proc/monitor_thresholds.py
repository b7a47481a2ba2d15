"""When to raise an alarm, from a TOML file; what it leaves out has a default."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_proc.report.score_sections import PSI_ALERT, PSI_WATCH
from data_connector.command import UsageError

THRESHOLDS_HELP = """\
The thresholds file, in TOML; each line may be left out:

  ap_min = 0.5                              least average precision (default: none)
  ap_drop_from_training = 0.1               most that it may be below the one in the model's test
  card_precision_min = 0.2                  least card precision (default: none)
  card_precision_drop_from_training = 0.1   most that it may be below the one in the model's test
  calibration_error_max = 0.01              most that scores may be off, mean over payments
  labelled_min = 0.9                        share of labelled payments below which to watch out
  psi_warn = 0.1                            drift of a feature or the score to watch
  psi_alert = 0.25                          and to raise an alarm
  drift_ignored = []                        features that may drift as they like
  min_payments = 1000                       fewer are not judged
  min_frauds = 20                           nor is quality with fewer
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """What is still fine. Shares and metrics are between 0 and 1."""

    ap_min: float | None = None
    ap_drop_from_training: float | None = 0.1  # twice what a week's AP varies by chance
    card_precision_min: float | None = None
    card_precision_drop_from_training: float | None = 0.1
    calibration_error_max: float | None = 0.01  # about the share of frauds: off by as much again
    labelled_min: float | None = 0.9
    psi_warn: float = PSI_WATCH
    psi_alert: float = PSI_ALERT
    drift_ignored: tuple[str, ...] = ()
    min_payments: int = 1_000  # by chance alone the index of drift is about 10 / N
    min_frauds: int = 20

    def __post_init__(self) -> None:
        if not self.psi_warn <= self.psi_alert:
            raise ValueError(f"psi_warn must be at most psi_alert, got {self.psi_warn=}")


_COUNTS = ("min_payments", "min_frauds")
_ANY_SIZE = ("psi_warn", "psi_alert")


def read_thresholds(path: Path) -> Thresholds:
    """The thresholds in a file, and the defaults of the others.

    Raises:
        UsageError: the file cannot be read, is no TOML, or holds what is no threshold.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--thresholds {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--thresholds {path}: is not TOML: {error}") from error
    known = [field.name for field in dataclasses.fields(Thresholds)]
    for name in given:
        if name not in known:
            raise UsageError(
                f"--thresholds {path}: {name!r} is no threshold; there are {', '.join(known)}"
            )
    try:
        return Thresholds(**{name: _checked(name, value) for name, value in given.items()})
    except ValueError as error:
        raise UsageError(f"--thresholds {path}: {error}") from error


def _checked(name: str, value: Any) -> Any:
    if name == "drift_ignored":
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError(f"{name} must be a list of features' names, got {value!r}")
        return tuple(value)
    if name in _COUNTS:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number, at least 1, got {value!r}")
        return value
    high = math.inf if name in _ANY_SIZE else 1.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if not 0 <= value <= high or math.isinf(value):  # NaN is neither
        within = "at least 0" if name in _ANY_SIZE else "between 0 and 1"
        raise ValueError(f"{name} must be {within}, got {value!r}")
    return float(value)
