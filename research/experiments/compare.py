"""`./bazelw run //research:compare`: our model and the field's, on the same rows and features."""

from __future__ import annotations

import importlib
import itertools
import json
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console

from batch_proc.errors import SHOWN
from batch_proc.fold import Days, Fold, make_folds
from batch_proc.history import History
from batch_proc.inputs import read_history
from batch_proc.lineage import commit
from batch_proc.measures import write_whole
from batch_proc.progress import Stage, Stages
from data_connector.command import fraud_home, run
from experiments import protocol
from experiments.compare_options import CompareOptions, parse_compare_options
from experiments.contenders import Contender, Settings, with_last_payments
from experiments.picture import FoldScores, draw
from experiments.settings import read_settings
from experiments.table import METRICS, Line, as_results, as_table, measure
from experiments.tracking import Tracker
from experiments.trainings import KeptTrainings, Train, Training, train
from experiments.trials import search
from fraud_ml.default_specs import SIMULATOR_DESIGNED
from fraud_ml.oracle import oracle_scores
from fraud_ml.scenario import Scenario
from fraud_ml.simulator import simulate
from tools.bench.harness import to_json

_COLUMNS = 140  # of the table, where no terminal says how many there are


def tune(
    contenders: Sequence[Contender],
    folds: Sequence[Fold],
    n_features: int,
    trials: int,
    stages: Stages,
) -> dict[str, Settings]:
    """The settings that a search finds on ``folds``, by contender.

    Args:
        contenders: whose settings.
        folds: for validation.
        n_features: of the folds' columns; the others are the longest sequence's.
        trials: for each.
        stages: to tell how far it is.
    """
    found: dict[str, Settings] = {}
    for contender in contenders:
        name = contender.name
        with stages.stage(f"search {name}", f"search settings of {name}") as stage:
            its_folds = _folds_for(contender, folds, range(n_features), n_features)
            for trial in search(contender, its_folds, trials=trials):
                stage.advance(trial.number, trials)
                stage.say(f"trial {trial.number}, AP {trial.best:.4f}")
                found[name] = trial.settings
    return found


def compete(
    contender: Contender,
    settings: Settings,
    folds: Sequence[Fold],
    seeds: int,
    features: str,
    train: Train = train,
) -> tuple[Line, FoldScores]:
    """What a contender reaches on the test rows, and its scores of them."""
    if contender.package is not None:
        importlib.import_module(contender.package)  # not training
    trainings = [
        [
            train(contender, settings, fold, seed, timed=fold is folds[0] and seed == 0)
            for seed in range(seeds)
        ]
        for fold in folds
    ]
    scores = [[training.scores for training in by_seed] for by_seed in trainings]
    line = Line(
        model=contender.name,
        features=features,
        n_features=folds[0].test.features.shape[1] - 2 * contender.last_payments,
        reached=_reached(folds, scores),
        seconds=statistics.median(it.seconds for by_seed in trainings for it in by_seed),
        scoring=trainings[0][0].scoring,
    )
    return line, scores


def _folds_for(
    contender: Contender, folds: Sequence[Fold], features: Iterable[int], n_features: int
) -> list[Fold]:
    """The folds with what it reads: ``features`` of the ``n_features``, and its sequence."""
    sequence = range(n_features, n_features + 2 * contender.last_payments)
    return [fold.with_features([*features, *sequence]) for fold in folds]


def _reached(folds: Sequence[Fold], scores: FoldScores) -> npt.NDArray[np.float64]:
    return np.array(
        [
            [measure(fold, score) for score in by_seed]
            for fold, by_seed in zip(folds, scores, strict=True)
        ]
    )


def consult_oracle(history: History, folds: Sequence[Fold]) -> tuple[Line, FoldScores] | None:
    """What who knows the simulator reaches on the test rows of the default simulation.

    None where ``history`` is none: a simulator before this one has written it.
    """
    scenario = Scenario()
    simulation = simulate(scenario)
    if not simulation.transactions["amount"].equals(history.transactions["amount"]):
        return None
    known = oracle_scores(simulation, scenario)
    scores = [[known[fold.test.number]] for fold in folds]
    line = Line(
        model="oracle",
        features="the truth",
        n_features=0,
        reached=_reached(folds, scores),
        seconds=0,
    )
    return line, scores


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
    folds: Sequence[Fold]
    """To test on, with all features."""
    scores: Mapping[str, FoldScores]
    """On all features, by contender, and the oracle's."""

    @property
    def all_lines(self) -> list[Line]:
        """The contenders', and the oracle's where there is one."""
        return [*self.lines, *([self.oracle] if self.oracle else [])]


def _watched(trained: Train, stage: Stage, of: int) -> Train:
    """``trained``, which tells how many ``of`` all have ended."""
    ended = itertools.count(1)

    def watched(
        contender: Contender, settings: Settings, fold: Fold, seed: int, *, timed: bool
    ) -> Training:
        done = trained(contender, settings, fold, seed, timed=timed)
        stage.advance(next(ended), of)
        return done

    return watched


def compare(options: CompareOptions, history: History, stages: Stages) -> Comparison:
    """Searches settings where asked to, and tests the contenders on the test folds."""
    trained = KeptTrainings(options.resume, commit=commit()).train if options.resume else train
    spec = options.data.spec
    tests = protocol.test_days(options.data, history)[: 1 if options.quick else None]
    validations = protocol.validation_days(tests) if options.trials else []
    longest = max(contender.last_payments for contender in options.contenders)
    with stages.stage("features", "compute features") as stage:
        folds = make_folds(history, [*tests, *validations], with_last_payments(spec, longest))
        stage.say(f"{len(spec.names)} of {history.transactions.num_rows:,} transactions")
    folds, validation = folds[: len(tests)], folds[len(tests) :]
    settings: Mapping[str, Settings] = read_settings()
    if options.trials:
        n_features = len(spec.names)
        settings = tune(options.contenders, validation, n_features, options.trials, stages)
    if options.quick:
        settings = {it.name: {**settings[it.name], **(it.quick or {})} for it in options.contenders}
    sets = {"all": list(range(len(spec.names)))}
    if not options.quick and SIMULATOR_DESIGNED & set(spec.names):
        kept = [at for at, name in enumerate(spec.names) if name not in SIMULATOR_DESIGNED]
        sets["not simulator-designed"] = kept
    lines: list[Line] = []
    scores: dict[str, FoldScores] = {}
    for features, columns in sets.items():
        for contender in options.contenders:
            name = contender.name
            its_folds = _folds_for(contender, folds, columns, len(spec.names))
            with stages.stage(f"{name}, {features}", f"{name} on {features} features") as stage:
                watched = _watched(trained, stage, len(its_folds) * options.seeds)
                line, score = compete(
                    contender, settings[name], its_folds, options.seeds, features, watched
                )
                stage.say(f"AP {line.mean('ap'):.3f}")
            lines.append(line)
            scores.setdefault(name, score)
    oracle = None
    if options.data.source is None:
        with stages.stage("oracle", "score with the simulator's truth") as stage:
            consulted = consult_oracle(history, folds)
            if consulted is None:
                stage.say("none: transactions.db is of another simulator; delete it to have one")
            else:
                oracle, scores["oracle"] = consulted
                stage.say(f"AP {oracle.mean('ap'):.3f}")
    return Comparison(
        tests=tests, lines=lines, oracle=oracle, settings=settings, folds=folds, scores=scores
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
            if line.scoring is not None:
                tracked.log("score_one_us", line.scoring.one)
                tracked.log("score_row_us", line.scoring.row)


def main() -> None:
    """Compares as the command line says."""
    options = parse_compare_options()
    home = fraud_home()
    stages = Stages()
    found = compare(options, read_history(options.data, home, stages), stages)
    with stages.stage("keep", "keep the runs"):
        keep(found, options, Tracker(home))
    stages.stop()
    title = "trained from " + ", ".join(str(days.train_start) for days in found.tests)
    if options.quick:
        title += "; quick: one fold, fewer trees, so no verdict"
    console = Console() if sys.stdout.isatty() else Console(width=_COLUMNS)
    console.print(as_table(found.all_lines, title))
    picture = options.picture_path or home / "reports" / "compare.svg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    pictured = [line for line in found.all_lines if line.features in ("all", "the truth")]
    draw(picture, found.folds, pictured, found.scores, title)
    sys.stdout.write(f"picture: {picture}\n")
    if options.json_path:
        write_whole(options.json_path, to_json(as_results(found.lines, found.oracle)))
    if options.settings_path:
        write_whole(options.settings_path, f"{json.dumps(found.settings, indent=2)}\n")


if __name__ == "__main__":
    sys.exit(run(main, shown=SHOWN))
