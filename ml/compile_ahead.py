"""Compiles what `fraud_ml` would compile when it first runs: `//ml:machine_code`.

    compile_ahead FOLDER

It makes a running state do all that it can do, and copies the machine code that Numba kept of it
into FOLDER.
"""

import datetime as dt
import shutil
import sys
from pathlib import Path

import pyarrow as pa

from fraud_ml._compiled import cache_folder
from fraud_ml.feature_spec import (
    OF_NTH_LAST,
    WITHOUT_WINDOW,
    Aggregate,
    FeatureSpec,
    WindowFeature,
)
from fraud_ml.feature_state import Column, FeatureState
from fraud_ml.transactions import label_schema

DAY = dt.timedelta(days=1)
N_PAYMENTS = 100  # of one card, one a day: more than the state keeps, so that it also forgets


def use_everything() -> None:
    """Each aggregate, with and without delay; payments alone and together; labels; bytes."""
    spec = FeatureSpec(features=tuple(_features()), resolution=DAY)
    state = FeatureState(spec)
    for day in range(0, N_PAYMENTS, 2):
        state.update(_payments([day]))
        state.update(_payments([day, day + 1]))
        state.apply_labels(_labels([day]))
        state.without_history(_payments([day]))
        state = FeatureState.from_bytes(state.to_bytes())
    state.forget_before(dt.datetime.fromtimestamp(N_PAYMENTS * DAY.total_seconds(), dt.UTC))


def _features() -> list[WindowFeature]:
    features = []
    for aggregate in Aggregate:
        for delay in (0 * DAY, DAY):
            try:
                feature = WindowFeature(
                    name=f"{aggregate}_{delay.days}",
                    key="customer_id",
                    aggregate=aggregate,
                    window=None if aggregate in WITHOUT_WINDOW else 7 * DAY,
                    delay=delay,
                    of="terminal_id" if aggregate is Aggregate.DISTINCT else None,
                    nth=1 if aggregate in OF_NTH_LAST else None,
                )
            except ValueError:  # it goes with one of the two only
                continue
            features.append(feature)
    return features


def _payments(days: list[int]) -> dict[str, Column]:
    return {
        "transaction_id": days,
        "timestamp": [_microseconds(day) for day in days],
        "customer_id": [1 for _ in days],
        "terminal_id": [day % 3 for day in days],
        "amount": [float(1 + day % 7) for day in days],
    }


def _labels(days: list[int]) -> pa.Table:
    known = pa.array([_microseconds(day + 1) for day in days], pa.timestamp("us", tz="UTC"))
    return pa.table(
        {"transaction_id": days, "is_fraud": [True for _ in days], "labelled_at": known},
        schema=label_schema(transaction_id=pa.int64()),
    )


def _microseconds(day: int) -> int:
    return day * DAY // dt.timedelta(microseconds=1)


def main(folder: Path) -> None:
    """Fills ``folder``."""
    use_everything()
    for file in cache_folder().glob("*.nb?"):  # the files of Numba's index, and its code
        shutil.copyfile(file, folder / file.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
