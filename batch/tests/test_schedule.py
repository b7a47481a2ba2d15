"""What is to run on a schedule runs: each command line is one that our commands take."""

from __future__ import annotations

import datetime as dt
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import airflow_stand_in
import pytest
from airflow_stand_in import DAG, rendered

from batch_proc import backfill_options
from batch_proc.backfill_options import LabelOptions, parse_backfill_options
from batch_proc.infer_options import InferOptions, parse_infer_options
from batch_proc.monitor_options import parse_monitor_options
from batch_proc.train_options import TrainOptions, parse_train_options
from fraud_ml.default_specs import DEFAULT_SPEC
from fraud_ml.feature_spec_toml import spec_to_toml

BATCH = Path(__file__).parent.parent
SCHEDULE = BATCH / "schedule"
README = (BATCH / "README.md").read_text(encoding="utf-8")
CRONTAB = (SCHEDULE / "crontab").read_text(encoding="utf-8")
CHECKOUT = "/srv/fraud-detect"
NIGHT = dt.datetime(2026, 3, 1, 2, tzinfo=dt.UTC)
ELSEWHERE = ("//batch:bench", "//batch:scale")  # tested where they are

# Writes its arguments down, and succeeds or not as it is told.
BAZELW = """\
#!/bin/sh
for argument in "$@"; do printf '%s\\0' "$argument" >> calls; done
printf '\\n' >> calls
exit {code}
"""


def parsed(arguments: Sequence[str], home: Path) -> Any:
    """What our command makes of `run TARGET -- OPTIONS`."""
    run, target, *options = arguments
    assert run == "run"
    if options:
        assert options.pop(0) == "--"
    if target == "//batch:train":
        return parse_train_options(options)
    if target == "//batch:infer":
        return parse_infer_options(options)
    if target == "//batch:backfill":
        return parse_backfill_options(home, options)
    assert target == "//batch:monitor"
    return parse_monitor_options(options)


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are run: with the files that they name, and a model."""
    for name in ("payments.toml", "shop_columns.toml", "limits.toml"):
        (tmp_path / name).touch()
    (tmp_path / "shop.toml").write_text(spec_to_toml(DEFAULT_SPEC))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backfill_options, "_spec_of_model", lambda *_: (DEFAULT_SPEC, "fraud 1"))
    return tmp_path


Shell = Callable[..., list[list[str]]]


@pytest.fixture
def shell(folder: Path) -> Shell:
    """Runs a line in a checkout whose `bazelw` fails or not; what it was called with."""

    def called(line: str, *, code: int = 0) -> list[list[str]]:
        bazelw = folder / "bazelw"
        bazelw.write_text(BAZELW.format(code=code))
        bazelw.chmod(0o755)
        calls = folder / "calls"
        calls.unlink(missing_ok=True)
        here = line.replace(CHECKOUT, shlex.quote(str(folder)))
        assert subprocess.run(["/bin/bash", "-c", here], check=False).returncode == code
        return [call.split("\0")[:-1] for call in calls.read_text().splitlines()]

    return called


@pytest.fixture(scope="module")
def dags() -> Iterator[dict[str, DAG]]:
    """The DAGs of the file, as Airflow would load it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, module in airflow_stand_in.modules().items():
            patch.setitem(sys.modules, name, module)
        patch.setattr(DAG, "entered", [])
        runpy.run_path(str(SCHEDULE / "fraud_detect_dag.py"))
        yield {dag.dag_id: dag for dag in DAG.entered}


TASKS = [
    ("fraud_detect_nightly", "labels"),
    ("fraud_detect_nightly", "infer"),
    ("fraud_detect_nightly", "monitor"),
    ("fraud_detect_weekly", "train"),
]


def test_these_are_all_tasks(dags: dict[str, DAG]) -> None:
    assert [(name, task) for name, dag in dags.items() for task in dag.tasks] == TASKS
    nightly, weekly = dags.values()
    assert [it.task_id for it in nightly.tasks["monitor"].after] == ["infer"]
    assert (nightly.catchup, weekly.catchup) == (True, False)
    for dag in dags.values():
        assert dag.max_active_runs == 1
        assert dag.start_date.tzinfo is not None
    assert {task: it.retries for dag in dags.values() for task, it in dag.tasks.items()} == {
        "labels": 2, "infer": 2, "monitor": 0, "train": 2
    }  # fmt: skip


@pytest.mark.parametrize("try_number", [1, 2, 3])
@pytest.mark.parametrize(("dag", "task"), TASKS)
def test_every_task_of_the_dags_is_a_command(
    dags: dict[str, DAG], dag: str, task: str, try_number: int, shell: Shell, home: Path
) -> None:
    home.mkdir()
    (arguments,) = shell(_command(dags, dag, task, try_number, home))
    parsed(arguments, home)


def _command(dags: dict[str, DAG], dag: str, task: str, try_number: int, home: Path) -> str:
    it = dags[dag].tasks[task]
    assert it.cwd == CHECKOUT
    days = 7 if dag.endswith("weekly") else 1
    line = rendered(
        it.bash_command, start=NIGHT, end=NIGHT + dt.timedelta(days=days), try_number=try_number
    )
    return line.replace(it.env["FRAUD_HOME"] + "/", f"{home}/")


def test_a_night_scores_the_day_before_and_a_retry_goes_on(
    dags: dict[str, DAG], shell: Shell, home: Path
) -> None:
    resumed = []
    for try_number in (1, 2, 3):
        line = _command(dags, "fraud_detect_nightly", "infer", try_number, home)
        options = parsed(shell(line)[0], home)
        assert isinstance(options, InferOptions)
        assert (options.since, options.until) == _day(2026, 3, 1)
        resumed.append(options.resume)
    assert resumed == [False, True, False]


def _day(*date: int) -> tuple[dt.datetime, dt.datetime]:
    start = dt.datetime(*date, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]
    return start, start + dt.timedelta(days=1)


def test_a_week_trains_on_days_whose_labels_are_known(
    dags: dict[str, DAG], shell: Shell, home: Path
) -> None:
    line = _command(dags, "fraud_detect_weekly", "train", 1, home)
    home.mkdir()
    options = parsed(shell(line)[0], home)
    assert isinstance(options, TrainOptions)
    assert options.promote
    data = options.data
    assert data.train_start is not None
    tested = data.train_start + dt.timedelta(
        days=data.train_days + data.delay_days + data.test_days
    )
    assert tested + dt.timedelta(days=data.delay_days) == dt.date(2026, 3, 8)


def _jobs() -> list[str]:
    """The commands of the crontab, as cron gives them to the shell."""
    lines = [line for line in CRONTAB.splitlines() if re.match(r"[\d*]", line)]
    for line in lines:
        assert "%" not in line.replace("\\%", ""), "cron takes % for a new line"
    return [line.split(maxsplit=5)[5].replace("\\%", "%") for line in lines]


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("line", _jobs(), ids=lambda line: line.split("//batch:")[1].split()[0])
def test_every_line_of_the_crontab_is_a_command(
    line: str, code: int, shell: Shell, home: Path
) -> None:
    home.mkdir()
    calls = shell(line.replace("/srv/fraud/", f"{home}/"), code=code)
    found = [parsed(arguments, home) for arguments in calls]
    assert len(found) == (2 if code and not line.endswith(("labels", "--fail-on-alert")) else 1)
    for at, options in enumerate(found):
        if isinstance(options, InferOptions):
            today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            assert options.resume == (at == 1)
            assert options.since is not None
            assert options.until is not None
            assert options.until - options.since == dt.timedelta(days=1)
            assert today - options.until <= dt.timedelta(days=1)  # midnight may pass meanwhile
        if line.endswith("labels"):
            assert isinstance(options, LabelOptions)


def test_the_readme_shows_the_crontab() -> None:
    shown = [line for line in README.splitlines() if re.match(r"\d+ \d+ \* \* ", line)]
    assert shown
    assert set(shown) <= set(CRONTAB.splitlines())


def _shown() -> list[str]:
    """The command lines in the README, without the crontab's and what is said beside them."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = []
    for line in lines:
        found = re.match(r"(\./bazelw run //batch:|spark-submit ).*", line)
        if found and not any(target in line for target in ELSEWHERE):
            command, submitted, options = line.partition("environment/bin/infer.py")
            if submitted:
                commands.append(f"./bazelw run //batch:infer -- {options}")
            else:
                commands.append(re.split(r" {3,}(?!-)", command)[0])
    return commands


@pytest.mark.parametrize("line", _shown())
def test_every_command_of_the_readme_is_one(line: str, folder: Path, home: Path) -> None:
    arguments = shlex.split(line)[1:]
    if arguments[-1] == "--help":
        with pytest.raises(SystemExit) as ended:
            parsed(arguments, home)
        assert ended.value.code == 0
    else:
        parsed(arguments, home)


def test_the_readme_shows_commands() -> None:
    targets = {line.split()[2] for line in _shown()}
    assert {"//batch:train", "//batch:infer", "//batch:backfill"} <= targets


def test_a_wrong_command_would_be_noticed(home: Path) -> None:
    with pytest.raises(SystemExit):
        parsed(["run", "//batch:infer", "--", "--input", "a", "--output", "b", "--sinc", "x"], home)
    with pytest.raises(AssertionError):
        parsed(["run", "//batch:nothing"], home)
    assert os.access(SCHEDULE / "crontab", os.R_OK)
