"""The few of Airflow's classes that the DAGs use, as far as a test needs them.

Airflow brings a hundred packages that nothing else here needs, so it is not in the lock. These take
the arguments that Airflow 3.2 takes, of which the DAGs use some, and refuse all others.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar

import jinja2


@dataclass(frozen=True, slots=True)
class CronDataIntervalTimetable:
    cron: str
    timezone: str

    def __post_init__(self) -> None:
        assert len(self.cron.split()) == 5


@dataclass(kw_only=True)
class DAG:
    dag_id: str
    schedule: CronDataIntervalTimetable
    start_date: dt.datetime
    catchup: bool
    max_active_runs: int
    default_args: Mapping[str, Any]
    tags: list[str]
    tasks: dict[str, BashOperator] = field(default_factory=dict, init=False)

    entered: ClassVar[list[DAG]] = []
    """All that were, the current one last."""

    def __enter__(self) -> DAG:
        self.entered.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass(kw_only=True)
class BashOperator:
    task_id: str
    bash_command: str
    cwd: str
    env: Mapping[str, str]
    append_env: bool
    retries: int | None = None
    after: list[BashOperator] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        dag = DAG.entered[-1]
        assert self.task_id not in dag.tasks
        dag.tasks[self.task_id] = self
        if self.retries is None:
            self.retries = dag.default_args["retries"]

    def __rshift__(self, other: BashOperator) -> BashOperator:
        other.after.append(self)
        return other


def modules() -> dict[str, ModuleType]:
    """What `import airflow...` finds, by its name."""
    made = {}
    for name, values in {
        "airflow": {},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.operators": {},
        "airflow.providers.standard.operators.bash": {"BashOperator": BashOperator},
        "airflow.sdk": {"DAG": DAG},
        "airflow.timetables": {},
        "airflow.timetables.interval": {"CronDataIntervalTimetable": CronDataIntervalTimetable},
    }.items():
        made[name] = ModuleType(name)
        vars(made[name]).update(values)
    return made


def rendered(template: str, *, start: dt.datetime, end: dt.datetime, try_number: int) -> str:
    """A command as a run of an interval gets it; what Airflow does not know is an error."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["ds"] = lambda time: time.strftime("%Y-%m-%d")

    class Macros:
        @staticmethod
        def ds_add(ds: str, days: int) -> str:
            return str(dt.date.fromisoformat(ds) + dt.timedelta(days=days))

    class TaskInstance:
        pass

    ti = TaskInstance()
    ti.try_number = try_number  # type: ignore[attr-defined]
    return environment.from_string(template).render(
        data_interval_start=start, data_interval_end=end, ti=ti, macros=Macros
    )
