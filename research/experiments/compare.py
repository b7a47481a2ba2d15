"""`./bazelw run //research:compare`: our model and the field's, on the same rows and features."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt
from rich.console import Console

from batch_proc.errors import SHOWN
from batch_proc.fold import Days, Fold, make_folds
from batch_proc.history import History
from batch_proc.inputs import read_history
from batch_proc.lineage import commit
from batch_proc.measures import write_whole
from batch_proc.progress import Stages
from data_connector.command import fraud_home, run
from experiments import protocol
from experiments.compare_options import CompareOptions, parse_compare_options
from experiments.contenders import CONTENDERS, Contender, Settings
from experiments.picture import draw
from experiments.table import METRICS, Line, as_results, as_table, measure
from experiments.tracking import Tracker
from experiments.trials import search
from fraud_ml.feature_spec import SIMULATOR_DESIGNED
from fraud_ml.oracle import oracle_scores
from fraud_ml.simulator import SimulatorConfig, simulate
from tools.bench.harness import to_json

N_SEEDS = 3
Scores = npt.NDArray[np.floating]


def read_settings() -> dict[str, Settings]:
    """The settings that a search found on the handbook's validation folds, by contender."""
    text = resources.files("experiments").joinpath("settings.json").read_text(encoding="utf-8")
    settings: dict[str, Settings] = json.loads(text)
    return settings


def tune(folds: Sequence[Fold], trials: int, stages: Stages) -> dict[str, Settings]:
    """The settings that a search finds on ``folds``, by contender."""
    found: dict[str, Settings] = {}
    for contender in CONTENDERS:
        name = contender.name
        with stages.stage(f"search {name}", f"search settings of {name}") as stage:
            for trial in search(contender, folds, trials=trials):
                stage.advance(trial.number, trials)
                stage.say(f"trial {trial.number}, AP {trial.best:.4f}")
                found[name] = trial.settings
    return found


def compete(
    contender: Contender, settings: Settings, folds: Sequence[Fold], seeds: int, features: str
) -> tuple[Line, Scores]:
    """What a contender reaches on the test rows; and its scores of the first fold and seed."""
    reached, seconds, scores = [], [], []
    for fold in folds:
        for seed in range(seeds):
            started = time.monotonic()
            score = contender.fit(fold.train, settings, seed)
            seconds.append(time.monotonic() - started)
            scores.append(score(fold.test.features))
            reached.append(measure(fold, scores[-1]))
    line = Line(
        model=contender.name,
        features=features,
        n_features=folds[0].test.features.shape[1],
        reached=np.array(reached),
        seconds=statistics.median(seconds),
    )
    return line, scores[0]


def consult_oracle(folds: Sequence[Fold]) -> tuple[Line, Scores]:
    """What who knows the simulator reaches on the test rows of the default simulation."""
    config = SimulatorConfig()
    known = oracle_scores(simulate(config), config)
    reached = np.array([measure(fold, known[fold.test.number]) for fold in folds])
    line = Line(model="oracle", features="the truth", n_features=0, reached=reached, seconds=0)
    return line, known[folds[0].test.number]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What came out."""

    tests: Sequence[Days]
    lines: Sequence[Line]
    """Ours first; a line for each model and set of features."""
    oracle: Line | None
    """None where the transactions are not of our simulator."""
    settings: Mapping[str, Settings]
    """By contender."""
    fold: Fold
    """The first of the test folds."""
    scores: Mapping[str, Scores]
    """On its test rows, by contender."""


def compare(options: CompareOptions, history: History, stages: Stages) -> Comparison:
    """Searches settings where asked to, and tests all contenders on the test folds."""
    spec = options.data.spec
    tests = protocol.test_days(options.data, history)[: 1 if options.quick else None]
    validations = protocol.validation_days(tests) if options.trials else []
    with stages.stage("features", "compute features") as stage:
        folds = make_folds(history, [*tests, *validations], spec)
        stage.say(f"{len(spec.names)} of {history.transactions.num_rows:,} transactions")
    folds, validation = folds[: len(tests)], folds[len(tests) :]
    settings: Mapping[str, Settings] = read_settings()
    if options.trials:
        settings = tune(validation, options.trials, stages)
    sets = {"all": folds}
    if not options.quick and SIMULATOR_DESIGNED & set(spec.names):
        kept = [at for at, name in enumerate(spec.names) if name not in SIMULATOR_DESIGNED]
        sets["not simulator-designed"] = [fold.with_features(kept) for fold in folds]
    lines: list[Line] = []
    scores: dict[str, Scores] = {}
    for features, its_folds in sets.items():
        for contender in CONTENDERS:
            name = contender.name
            with stages.stage(f"{name}, {features}", f"{name} on {features} features") as stage:
                seeds = 1 if options.quick else N_SEEDS
                line, score = compete(contender, settings[name], its_folds, seeds, features)
                stage.say(f"AP {line.mean('ap'):.3f}")
            lines.append(line)
            scores.setdefault(name, score)
    oracle = None
    if options.data.source is None:
        with stages.stage("oracle", "score with the simulator's truth") as stage:
            oracle, scores["oracle"] = consult_oracle(folds)
            stage.say(f"AP {oracle.mean('ap'):.3f}")
    return Comparison(
        tests=tests, lines=lines, oracle=oracle, settings=settings, fold=folds[0], scores=scores
    )


def keep(found: Comparison, options: CompareOptions, tracker: Tracker) -> None:
    """Keeps each line as a run of its own, with the settings that it was trained with."""
    for line in found.lines:
        parameters = {
            "model": line.model,
            "features": line.features,
            "source": options.data.source or "simulated",
            "first_train_day": found.tests[0].train_start,
            **found.settings[line.model],
        }
        with tracker.run("compare", parameters, commit=commit()) as tracked:
            for metric in METRICS:
                tracked.log(metric, line.mean(metric))
            tracked.log("train_seconds", line.seconds)


def main() -> None:
    """Compares as the command line says."""
    options = parse_compare_options()
    home = fraud_home()
    stages = Stages()
    found = compare(options, read_history(options.data, home, stages), stages)
    with stages.stage("keep", "keep the runs"):
        keep(found, options, Tracker(home))
    stages.stop()
    starts = ", ".join(str(days.train_start) for days in found.tests)
    title = f"trained from {starts}; mean over folds and seeds (deviation)"
    lines = [*found.lines, *([found.oracle] if found.oracle else [])]
    Console().print(as_table(lines, title))
    picture = options.picture_path or home / "reports" / "compare.svg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(
        picture,
        found.fold.test.is_fraud,
        found.scores,
        f"trained from {found.tests[0].train_start}",
    )
    sys.stdout.write(f"picture: {picture}\n")
    if options.json_path:
        write_whole(options.json_path, to_json(as_results(found.lines, found.oracle)))
    if options.settings_path:
        write_whole(options.settings_path, f"{json.dumps(found.settings, indent=2)}\n")


if __name__ == "__main__":
    sys.exit(run(main, shown=SHOWN))
