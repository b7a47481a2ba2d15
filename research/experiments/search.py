"""`./bazelw run //research:search`: a model's best settings, as a config for `//batch:train`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from batch_proc.errors import SHOWN
from batch_proc.fold import Fold, make_folds
from batch_proc.inputs import read_history
from batch_proc.lineage import commit
from batch_proc.measures import write_whole
from batch_proc.progress import Stages
from batch_proc.train_config import TrainConfig
from data_connector.command import fraud_home, run
from experiments import protocol
from experiments.contenders import OURS, Contender, with_last_payments
from experiments.search_options import SearchOptions, parse_search_options
from experiments.search_processes import Budget, End, SearchError, resume
from experiments.tracking import Tracker
from experiments.trials import Found, found_by, name_of

_GOES_ON = "the same command goes on where it was"


@dataclass(frozen=True, kw_only=True, slots=True)
class Searched:
    """What came of a search."""

    found: Found
    interrupted: bool
    """Whether somebody ended it before its time."""


def read_folds(options: SearchOptions, home: Path, stages: Stages) -> list[Fold]:
    """The validation folds that the options name.

    Raises:
        ConnectorError: the source cannot be read.
        DataError: what it holds does not suffice.
    """
    history = read_history(options.data, home, stages)
    tests = protocol.test_days(options.data, history)
    validations = protocol.validation_days(tests)[: options.folds]
    with stages.stage("features", "compute features"):
        spec = with_last_payments(options.data.spec, options.contender.last_payments)
        return make_folds(history, validations, spec)


def search(options: SearchOptions, folds: list[Fold], home: Path, stages: Stages) -> Searched:
    """What is found once the budget is spent, or until Ctrl-C.

    Raises:
        SearchError: another process searches, or one of ours ended; or no trial was finished.
    """
    name = options.contender.name
    budget = Budget(trials=options.trials, seconds=options.minutes * 60, workers=options.workers)
    with stages.stage("search", f"search settings of {name}") as stage:

        def on_found(found: Found) -> None:
            if options.trials:
                stage.advance(min(found.number, options.trials), options.trials)
            stage.say(f"trial {found.number} ({found.pruned} given up), AP {found.best:.4f}")

        study, end = resume(options.contender, folds, home / "search.db", budget, on_found)
    interrupted = end is End.INTERRUPTED
    try:
        return Searched(found=found_by(study), interrupted=interrupted)
    except ValueError as error:
        when = "before it was interrupted" if interrupted else f"in --minutes {options.minutes:g}"
        raise SearchError(f"no trial was finished {when}; {_GOES_ON}") from error


def written(contender: Contender, found: Found, comment: str) -> str:
    """The file of the settings that a search found: TOML for ours, JSON for the others."""
    if contender is OURS:
        return TrainConfig.of(found.settings).to_toml(comment)
    return json.dumps({contender.name: found.settings}, indent=2) + "\n"


def as_table(contender: Contender, found: Found) -> Table:
    """The best settings, beside those that the search started from."""
    table = Table(
        title=f"{contender.name}: AP {found.best:.4f} after {found.number} trials,"
        f" {found.pruned} of them given up early",
        title_justify="left",
        title_style="bold",
    )
    for column in ("setting", "best", "start"):
        table.add_column(column, justify="left" if column == "setting" else "right")
    for key, value in found.settings.items():
        table.add_row(key, _shown(value), _shown(contender.start[key]))
    return table


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Searches as the command line says, and shows and writes what is best."""
    options = parse_search_options()
    home, contender = fraud_home(), options.contender
    stages = Stages()
    folds = read_folds(options, home, stages)
    parameters = {
        "model": contender.name,
        "source": options.data.source or "simulated",
        "folds": len(folds),
        "workers": options.workers,
        "study": name_of(contender, folds),
    }
    path = options.output or home / "search" / f"{contender.name}{_ending(contender)}"
    with Tracker(home).run("search", parameters, commit=commit()) as tracked:
        searched = search(options, folds, home, stages)
        found = searched.found
        stages.stop()
        comment = (
            f"Found by //research:search: AP {found.best:.4f} on {len(folds)} validation folds,\n"
            f"the best of {found.number} trials. Run {tracked.id[:8]}."
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, written(contender, found, comment))
        for key, value in found.settings.items():
            tracked.say(key, value)
        tracked.log("ap", found.best)
        tracked.log("trials", found.number)
        tracked.log("pruned", found.pruned)
        tracked.keep(path)
        if searched.interrupted:
            tracked.was_interrupted()
    Console().print(as_table(contender, found))
    sys.stdout.write(f"run:      {tracked.id[:8]}\nsettings: {path}\n")
    if contender is OURS:
        sys.stdout.write(f"train with them: ./bazelw run //batch:train -- --config {path}\n")
    if searched.interrupted:
        raise SearchError(f"interrupted: these are the best settings so far; {_GOES_ON}")


def _ending(contender: Contender) -> str:
    return ".toml" if contender is OURS else ".json"


if __name__ == "__main__":
    sys.exit(run(main, shown=(*SHOWN, SearchError)))
