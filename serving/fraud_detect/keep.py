"""The keeper's process: started by the service, stopped by SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading

from data_connector import ModelStore, open_journal
from fraud_detect.keeper import Keeper
from fraud_detect.snapshots import Snapshots
from fraud_detect.worker_settings import MODEL_NAME, WorkerSettings
from fraud_ml.artifact import load_artifact


def main() -> None:
    """Keeps the state of the features of the model whose version is the one argument."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the launcher, which stops us last
    settings = WorkerSettings.from_environment()
    stored = ModelStore(settings.model_store).get(MODEL_NAME, int(sys.argv[1]))
    snapshots = Snapshots(settings.feature_store, load_artifact(stored.path).spec)
    Keeper(open_journal(settings.feature_store), snapshots).run(stop)


if __name__ == "__main__":
    main()
