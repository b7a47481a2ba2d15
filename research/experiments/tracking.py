"""Where runs are kept: MLflow's SQLite store in `$FRAUD_HOME`, without its telemetry.

Of MLflow this uses what `mlflow-skinny` has: the store and its client. Its own web pages, which the
whole of MLflow brings, can be pointed at the same file.
"""

from __future__ import annotations

import datetime as dt
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

COMMIT = "mlflow.source.git.commit"
BY_DAY = "by_day/"
# MLflow sends what it is used for to its makers unless told not to; and tells of each table that
# it creates.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptRun:
    """A run as it is kept."""

    id: str
    experiment: str
    started: dt.datetime
    """In UTC."""
    status: str
    """`FINISHED`, `FAILED`, `KILLED` (interrupted) or `RUNNING`."""
    commit: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    """Those of the whole run, by name."""
    seconds: float
    """NaN while it runs."""


class Run:
    """A run that goes on: what it measures and writes is kept."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.id = run_id
        self.status = "FINISHED"
        """That it will have, if nothing is raised."""

    def was_interrupted(self) -> None:
        """Keeps that somebody ended it before its time, with what it had by then."""
        self.status = "KILLED"

    def log(self, name: str, value: float, *, day: dt.date | None = None) -> None:
        """Keeps a number; with ``day``, one of a day."""
        if day is None:
            self._client.log_metric(self.id, name, value)
            return
        since = (day - _EPOCH).days
        at = since * 86_400_000  # milliseconds
        self._client.log_metric(self.id, f"{BY_DAY}{name}", value, timestamp=at, step=since)

    def say(self, name: str, value: Any) -> None:
        """Keeps one more parameter, as text: one that was found, say."""
        self._client.log_param(self.id, name, value)

    def keep(self, path: Path) -> None:
        """Keeps a copy of a file, or of all files of a folder."""
        if path.is_dir():
            self._client.log_artifacts(self.id, str(path))
        else:
            self._client.log_artifact(self.id, str(path))


class Tracker:
    """The kept runs of one `$FRAUD_HOME`."""

    def __init__(self, home: Path) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        # Only now, and not for `--help`: it takes a second to import.
        import mlflow.tracking

        home.mkdir(parents=True, exist_ok=True)
        self.database = home / "runs.db"
        self.files = home / "runs"
        with warnings.catch_warnings():
            # MLflow's tables use what SQLAlchemy 2.1 deprecates.
            warnings.simplefilter("ignore")
            self._client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{self.database}")

    @contextmanager
    def run(
        self, experiment: str, parameters: Mapping[str, Any], *, commit: str, owner: str = ""
    ) -> Iterator[Run]:
        """A run, kept from its start on: how it ended, too.

        Args:
            experiment: of which it is a run; new ones are made.
            parameters: kept as text.
            commit: of the code.
            owner: as CODEOWNERS writes it.
        """
        client, tags = self._client, {COMMIT: commit, "owner": owner}
        run_id = client.create_run(self._experiment(experiment), tags=tags).info.run_id
        run = Run(client, run_id)
        status = "FAILED"
        try:
            for name, value in parameters.items():
                run.say(name, value)
            yield run
            status = run.status
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            client.set_terminated(run_id, status)

    def experiments(self) -> list[str]:
        """The names of those that have runs, in order."""
        return sorted(it.name for it in self._client.search_experiments() if it.name != "Default")

    def runs(self, experiment: str | None = None, *, limit: int = 1_000) -> list[KeptRun]:
        """The kept runs, the newest first; of one experiment where it is named."""
        names = {
            it.experiment_id: it.name
            for it in self._client.search_experiments()
            if experiment in (None, it.name)
        }
        found = self._client.search_runs(
            list(names), max_results=limit, order_by=["attributes.start_time DESC"]
        ) if names else []  # fmt: skip
        return [_kept(it, names[it.info.experiment_id]) for it in found]

    def by_day(self, run_id: str, name: str) -> dict[dt.date, float]:
        """The numbers of a name that a run kept of days."""
        history = self._client.get_metric_history(run_id, f"{BY_DAY}{name}")
        return {_EPOCH + dt.timedelta(days=it.step): it.value for it in history}

    def names_by_day(self, run_id: str) -> list[str]:
        """The names of what a run kept of days."""
        metrics = self._client.get_run(run_id).data.metrics
        return sorted(it.removeprefix(BY_DAY) for it in metrics if it.startswith(BY_DAY))

    def files_of(self, run_id: str) -> list[Path]:
        """The files that a run kept."""
        folder = Path(self._client.get_run(run_id).info.artifact_uri)
        return sorted(it for it in folder.rglob("*") if it.is_file())

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, artifact_location=str(self.files / name)))


def _kept(run: MlflowRun, experiment: str) -> KeptRun:
    started, ended = run.info.start_time, run.info.end_time
    metrics = run.data.metrics
    return KeptRun(
        id=run.info.run_id,
        experiment=experiment,
        started=dt.datetime.fromtimestamp(started / 1000, dt.UTC),
        status=run.info.status,
        commit=run.data.tags.get(COMMIT, "unknown"),
        parameters=dict(run.data.params),
        metrics={name: value for name, value in metrics.items() if not name.startswith(BY_DAY)},
        seconds=(ended - started) / 1000 if ended else float("nan"),
    )
