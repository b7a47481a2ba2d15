"""`./bazelw run //batch:train`: from transactions to a stored, tested model."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from batch_proc.champion import Comparison, NewModel, compare_with_champion
from batch_proc.data_options import MODEL_NAME
from batch_proc.distributed_training import train_on
from batch_proc.errors import SHOWN
from batch_proc.fold import CARDS_A_DAY, Days, Fold, Rows, make_fold, quality
from batch_proc.history import History
from batch_proc.inputs import choose_days, read_history
from batch_proc.lineage import commit, fingerprint, versions
from batch_proc.measures import Measure, print_table, to_json, write_whole
from batch_proc.progress import Stage, Stages
from batch_proc.promotion import Outcome, register
from batch_proc.train_options import TrainOptions, parse_train_options
from batch_proc.train_report import Training, train_page
from data_connector import ModelStore, StoredModel
from data_connector.command import fraud_home, run
from fraud_ml.artifact import Artifact, save_artifact
from fraud_ml.distribution import fit_reference
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.policy import CapacityPolicy, fit_capacity_policy
from fraud_ml.training import Epoch, TrainedModel

DECLINE_PRECISION = 0.95  # of 20 payments that are declined unseen, one at most is honest


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What a run came to."""

    stored: StoredModel
    measures: list[Measure]
    """The numbers of the run."""
    verdict: str
    """Whether it is the champion, and why, for the user."""
    training: Training
    """What to report on."""


def train(options: TrainOptions, home: Path, stages: Stages) -> Trained:
    """A model trained, tested, compared with the champion, and stored.

    Nothing is stored until the test is done, and then all of it at once.

    Raises:
        ConnectorError: the source cannot be read, or the model not be stored.
        DataError: what the source holds does not suffice.
        WorkersError: several processes were to train, and one of them ended early.
    """
    store = ModelStore(home / "models")
    history = read_history(options.data, home, stages)
    days = choose_days(options.data, history)
    spec = options.data.spec
    with stages.stage("features", "compute features") as stage:
        fold = make_fold(history, days, spec)
        stage.say(f"{len(spec.names)} of {history.transactions.num_rows:,} transactions")
    with stages.stage("train", "train") as stage:
        model = _train(fold.train, spec, options, stage)
    with stages.stage("test", "test"), torch.inference_mode():
        score = model.net.score(torch.from_numpy(fold.test.features)).numpy()
        reached = quality(fold.test, score)
        policy = _fit_policy(model, fold.train)
    with stages.stage("compare", "compare with the champion") as stage:
        new = NewModel(history=history, days=days, rows=fold.test, spec=spec, score=score)
        outcome = compare_with_champion(store, MODEL_NAME, new)
        stage.say("none" if outcome is None else f"version {outcome.champion}")
    lineage = _lineage(history, days) | {"workers": str(options.workers.number)}
    with stages.stage("store", "store the model") as stage:
        artifact = Artifact(
            net=model.net,
            spec=spec,
            seed=options.seed,
            metrics={measure.name: float(measure.value) for measure in reached},
            policy=policy,
            lineage=lineage,
            reference=fit_reference(fold.train.features, model.out_of_fold_scores, spec.names),
        )
        stored = _publish(store, artifact)
        verdict = register(store, stored, outcome, promote=options.promote)
        stage.say(f"version {stored.version}")
    seconds = [Measure(f"{name}_seconds", taken, "s") for name, taken in stages.seconds.items()]
    numbers = [*reached, *_of_champion(outcome), *_of_policy(policy)]
    numbers += [*_counts(history, days, fold), *seconds]
    training = Training(history, fold, spec, model.net, score, policy, lineage)
    return Trained(stored=stored, measures=numbers, verdict=verdict, training=training)


def _publish(store: ModelStore, artifact: Artifact) -> StoredModel:
    """The artifact as the next version, whose metrics and lineage are read without its files."""
    return store.publish(
        MODEL_NAME,
        lambda folder: save_artifact(folder, artifact),
        metrics={**artifact.metrics, **artifact.lineage},
    )


def _train(rows: Rows, spec: FeatureSpec, options: TrainOptions, stage: Stage) -> TrainedModel:
    config = options.config

    def on_epoch(epoch: Epoch) -> None:
        stage.advance(epoch.number, config.training.max_epochs)
        stage.say(f"epoch {epoch.number}, validation AP {epoch.validation_average_precision:.3f}")

    return train_on(
        options.workers,
        rows.features,
        rows.is_fraud,
        customers=rows.customer,
        feature_names=spec.names,
        categories=spec.categories,
        model_config=config.model,
        training_config=config.training,
        seed=options.seed,
        on_epoch=on_epoch,
        checkpoint=options.checkpoint,
    )


def _fit_policy(model: TrainedModel, rows: Rows) -> CapacityPolicy:
    """Thresholds from the scores of groups that never saw the customer."""
    return fit_capacity_policy(
        rows.day,
        rows.customer,
        rows.is_fraud,
        model.out_of_fold_scores,
        cards_a_day=CARDS_A_DAY,
        decline_precision=DECLINE_PRECISION,
    )


def _lineage(history: History, days: Days) -> dict[str, str]:
    return {
        "data_fingerprint": fingerprint((history.transactions, history.labels)),
        "commit": commit(),
        "train_days": _span(days.train_start, days.train),
        "test_days": _span(days.test_start, days.test),
        **versions(),
    }


def _of_champion(outcome: Outcome) -> list[Measure]:
    if not isinstance(outcome, Comparison):
        return []
    return [
        Measure("champion_ap", outcome.champion_ap, "", f"of version {outcome.champion}"),
        Measure("ap_difference", outcome.difference.estimate, "", "to the champion's"),
        Measure("ap_difference_low", outcome.difference.low, "", "95 % interval, from"),
        Measure("ap_difference_high", outcome.difference.high, "", "to"),
    ]


def _of_policy(policy: CapacityPolicy) -> list[Measure]:
    reviewed = f"score above which a payment is reviewed: {CARDS_A_DAY} cards a day"
    declined = f"and declined: {DECLINE_PRECISION:.0%} of them frauds"
    return [
        Measure("review_above", policy.review_above, "", reviewed),
        Measure("decline_above", policy.decline_above, "", declined),
    ]


def _counts(history: History, days: Days, fold: Fold) -> list[Measure]:
    trained, tested = _span(days.train_start, days.train), _span(days.test_start, days.test)
    return [
        Measure("rows", history.transactions.num_rows, "transactions", "fetched"),
        Measure("train_rows", len(fold.train), "transactions", trained),
        Measure("train_frauds", int(fold.train.is_fraud.sum()), "transactions", "among them"),
        Measure("test_rows", len(fold.test), "transactions", tested),
        Measure("test_frauds", int(fold.test.is_fraud.sum()), "transactions", "among them"),
    ]


def _span(start: dt.date, days: int) -> str:
    return f"{start} to {start + dt.timedelta(days=days - 1)}"


def main() -> None:
    """Trains as the command line says, and shows the numbers."""
    options = parse_train_options()
    home = fraud_home()
    stages = Stages()
    trained = train(options, home, stages)
    stored, measures = trained.stored, trained.measures
    title = f"{stored.name} version {stored.version}"
    with stages.stage("report", "draw the report"):
        text = train_page(title, trained.training, measures, stages.seconds, trained.verdict)
    stages.stop()
    # Shown first: a file that cannot be written must not cost the numbers of a stored model.
    print_table(title, measures, Console())
    sys.stdout.write(f"{trained.verdict}\nmodel:  {stored.path}\n")
    report = home / "reports" / f"{stored.name}-{stored.version}.html"
    report.parent.mkdir(exist_ok=True)
    write_whole(report, text)
    sys.stdout.write(f"report: {report}\n")
    if options.json_path:
        write_whole(options.json_path, f"{to_json(measures)}\n")


if __name__ == "__main__":
    sys.exit(run(main, shown=SHOWN))
