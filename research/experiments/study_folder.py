"""The folder of an experiment: what its `config.toml`, `README.md` and `report.json` say."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.study import Study

CONFIG, README, REPORT = "config.toml", "README.md", "report.json"
HEADINGS = ("## Question", "## Answer", "## Next")
STATUSES = ("open", "answered")
OWNER = re.compile(r"@[\w-]+(/[\w.-]+)?")
_KEYS = {"owner": str, "question": str, "status": str, "seed": int, "parameters": dict}


class StudyError(Exception):
    """An experiment's folder is not as it should be; the message says what to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """What `config.toml` says."""

    name: str
    """The folder's."""
    owner: str
    """As CODEOWNERS writes it."""
    question: str
    status: str
    """One of :data:`STATUSES`."""
    seed: int
    parameters: Mapping[str, Any]
    small: Mapping[str, Any]
    """What a test takes in place of some of the parameters."""

    def with_parameters(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters, some of them changed.

        Raises:
            StudyError: there is no such parameter, or its value is of another kind.
        """
        for key, value in changed.items():
            if key not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise StudyError(f"{self.name} has no parameter {key!r}; it has: {known}")
            was = self.parameters[key]
            if not _same_kind(was, value):
                raise StudyError(
                    f"parameter {key} of {self.name} is {_kind(was)}, as {was!r}; got {value!r}"
                )
        return {**self.parameters, **changed}


def read_config(folder: Path) -> StudyConfig:
    """What the `config.toml` of an experiment's folder says.

    Raises:
        StudyError: there is none, or it is not as it should be.
    """
    path = folder / CONFIG
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise StudyError(f"{path}: is not TOML: {error}") from error
    for key, kind in _KEYS.items():
        if type(said.get(key)) is not kind:
            raise StudyError(f"{path}: {key} must be {_KIND_NAMES[kind]}, got {said.get(key)!r}")
    if unknown := sorted(set(said) - {*_KEYS, "small"}):
        raise StudyError(f"{path}: unknown keys {unknown}; what varies goes into [parameters]")
    if not OWNER.fullmatch(said["owner"]):
        raise StudyError(f"{path}: owner must be as in CODEOWNERS, got {said['owner']!r}")
    if said["status"] not in STATUSES:
        raise StudyError(f"{path}: status must be one of {STATUSES}, got {said['status']!r}")
    if not said["question"].strip():
        raise StudyError(f"{path}: question is empty: what shall be known after it ran?")
    config = StudyConfig(name=folder.name, **{"small": {}, **said})
    try:
        config.with_parameters(config.small)
    except StudyError as error:
        raise StudyError(f"{path}: [small]: {error}") from error
    return config


def write_report(study: Study, *, commit: str, seconds: float) -> str:
    """The text of `report.json`."""
    report = {
        "experiment": study.name,
        "commit": commit,
        "seed": study.seed,
        "parameters": dict(study.parameters),
        "metrics": [
            {"name": it.name, "value": it.value, "unit": it.unit} for it in study.metrics.values()
        ],
        "by_day": [
            {"name": it.name, "day": it.day.isoformat(), "value": it.value}
            for it in study.by_day.values()
        ],
        "seconds": round(seconds, 1),
    }
    return json.dumps(report, indent=2) + "\n"


def problems(folder: Path, owners: Sequence[str], tried: Study) -> Iterator[str]:
    """What is wrong with an experiment's folder, a line of text each.

    Args:
        folder: of the experiment.
        owners: whom CODEOWNERS names.
        tried: a run on the small parameters.

    Raises:
        StudyError: its `config.toml` is not as it should be.
    """
    config = read_config(folder)
    if config.owner not in owners:
        yield f"{CONFIG}: CODEOWNERS names no {config.owner}; it names {', '.join(owners)}"
    yield from _problems_of_readme(folder / README)
    if not tried.metrics:
        yield "the run measured nothing: call study.log(name, value)"
    path = folder / REPORT
    if path.exists():
        yield from _problems_of_report(path, config, tried)
    elif config.status == "answered":
        yield f"{REPORT} is not there, but the status is answered: run the experiment"


def _problems_of_readme(path: Path) -> Iterator[str]:
    if not path.exists():
        yield f"{README} is not there"
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    headings = [line for line in lines if line.startswith("## ")]
    if headings != list(HEADINGS):
        yield f"{README}: the headings must be {', '.join(HEADINGS)}, got {headings}"


def _problems_of_report(path: Path, config: StudyConfig, tried: Study) -> Iterator[str]:
    again = "run the experiment again, as a whole"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        names = {row["name"] for row in report["metrics"]}
        of_days = {row["name"] for row in report["by_day"]}
        experiment, parameters, seed = (report[it] for it in ("experiment", "parameters", "seed"))
    except (ValueError, KeyError, TypeError) as error:
        yield f"{REPORT}: is none ({type(error).__name__}: {error}): {again}"
        return
    if experiment != config.name:
        yield f"{REPORT}: is of the experiment {experiment!r}: {again}"
    if (parameters, seed) != (config.parameters, config.seed):
        yield f"{REPORT}: is of other parameters or another seed than {CONFIG}'s: {again}"
    for what, reported, measured in (
        ("metrics", names, set(tried.metrics)),
        ("metrics by day", of_days, {name for name, _ in tried.by_day}),
    ):
        if reported != measured:
            yield (
                f"{REPORT}: its {what} {sorted(reported)} are not those that the code logs now,"
                f" {sorted(measured)}: {again}"
            )


_KIND_NAMES: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def _kind(value: Any) -> str:
    return _KIND_NAMES.get(type(value), type(value).__name__)


def _same_kind(was: Any, value: Any) -> bool:
    if type(was) is float:
        return type(value) in (int, float)
    return type(was) is type(value)
