"""For Airflow 3: each night the day before is scored and watched, each week a model is trained.

Copy it into the folder of DAGs. The workers need a checkout of the repository, and the folder of
the state, at the paths below. `batch/README.md`, "On a schedule", says why all is as it is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

REPOSITORY = "/srv/fraud-detect"
STATE = "/srv/fraud"  # $FRAUD_HOME; scores and reports too

# Files that hold a URL: its password is in no command, and so in no log.
PAYMENTS = "secret-file:/etc/fraud/payments"
LABELS = "secret-file:/etc/fraud/labels"
SCORES = f"{STATE}/scores"

FIRST_NIGHT = datetime(2026, 1, 1, tzinfo=UTC)  # nights since then that were missed are made up for

# A first retry goes on with what is done. A second starts anew: to go on is refused where the input
# or the champion has changed in the meantime.
RESUME = "{{ '--resume' if ti.try_number == 2 else '' }}"

DAY = "{{ data_interval_start | ds }}"
NEXT_DAY = "{{ data_interval_end | ds }}"


def command(task: str, line: str, **settings: object) -> BashOperator:
    """A task that runs a command of the repository."""
    return BashOperator(
        task_id=task,
        bash_command=f"./bazelw run {line}",
        cwd=REPOSITORY,
        env={"FRAUD_HOME": STATE},
        append_env=True,
        **settings,
    )


SHARED = {
    "start_date": FIRST_NIGHT,
    # One run after the other: they share the state, and a machine.
    "max_active_runs": 1,
    "default_args": {
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=6),
    },
    "tags": ["fraud-detect"],
}

with DAG(
    dag_id="fraud_detect_nightly",
    # A timetable of data intervals: a plain cron string has none in Airflow 3.
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    catchup=True,
    **SHARED,
):
    labels = command("labels", f"//batch:backfill -- --labels {LABELS}")
    infer = command(
        "infer",
        f"//batch:infer -- --input {PAYMENTS} --output {SCORES}"
        f" --since {DAY} --until {NEXT_DAY} {RESUME}",
    )
    monitor = command(
        "monitor",
        f"//batch:monitor -- --scores {SCORES} --labels {LABELS} --as-of {NEXT_DAY}"
        " --fail-on-alert",
        retries=0,  # an alert is no failure that another try would mend
    )
    infer >> monitor

with DAG(
    dag_id="fraud_detect_weekly",
    schedule=CronDataIntervalTimetable("0 4 * * 1", timezone="UTC"),
    catchup=False,  # nobody needs the model of a week that has passed
    **SHARED,
):
    # A week to train on, a week until its labels, a week to test on, a week until those labels.
    command(
        "train",
        f"//batch:train -- --source {PAYMENTS}"
        " --train-start {{ macros.ds_add(data_interval_end | ds, -28) }}"
        " --train-days 7 --delay-days 7 --test-days 7"
        f" --checkpoint {STATE}/train-{NEXT_DAY}.checkpoint --promote auto",
    )
