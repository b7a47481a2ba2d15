"""`./bazelw run //batch:train`: from transactions to a stored, tested model."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import torch
from rich.console import Console

from batch_proc.errors import SHOWN
from batch_proc.fold import CARDS_A_DAY, Days, Fold, Rows, make_fold, quality
from batch_proc.history import History
from batch_proc.inputs import choose_days, read_history
from batch_proc.lineage import commit, fingerprint, versions
from batch_proc.measures import Measure, print_table, to_json, write_whole
from batch_proc.progress import Stage, Stages
from batch_proc.train_options import TrainOptions, parse_train_options
from batch_proc.train_report import Training, train_page
from data_connector import ModelStore, StoredModel
from data_connector.command import fraud_home, run
from fraud_ml.artifact import Artifact, save_artifact
from fraud_ml.distribution import fit_reference
from fraud_ml.export import to_onnx
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.policy import CapacityPolicy, fit_capacity_policy
from fraud_ml.training import Epoch, TrainedModel, TrainingConfig, train_model

MODEL_NAME = "fraud"
DECLINE_PRECISION = 0.95  # of 20 payments that are declined unseen, one at most is honest


def train(
    options: TrainOptions, home: Path, stages: Stages
) -> tuple[StoredModel, list[Measure], Training]:
    """A model trained, tested and stored, the numbers of the run, and what to report on.

    Nothing is stored until the test is done, and then all of it at once.

    Raises:
        ConnectorError: the source cannot be read, or the model not be stored.
        DataError: what the source holds does not suffice.
    """
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
    with stages.stage("store", "store the model") as stage:
        lineage = _lineage(history, days)
        artifact = Artifact(
            net=model.net,
            spec=spec,
            seed=options.seed,
            metrics={measure.name: float(measure.value) for measure in reached},
            policy=policy,
            lineage=lineage,
            reference=fit_reference(fold.train.features, model.out_of_fold_scores, spec.names),
            onnx=to_onnx(model.net),
        )
        store = ModelStore(home / "models")
        stored = store.publish(MODEL_NAME, lambda folder: save_artifact(folder, artifact))
        stage.say(f"version {stored.version}")
    seconds = [Measure(f"{name}_seconds", taken, "s") for name, taken in stages.seconds.items()]
    measures = [*reached, *_of_policy(policy), *_counts(history, days, fold), *seconds]
    training = Training(
        history=history,
        fold=fold,
        spec=spec,
        net=model.net,
        score=score,
        policy=policy,
        lineage=lineage,
    )
    return stored, measures, training


def _train(rows: Rows, spec: FeatureSpec, options: TrainOptions, stage: Stage) -> TrainedModel:
    config = TrainingConfig(max_epochs=options.max_epochs)

    def on_epoch(epoch: Epoch) -> None:
        stage.advance(epoch.number, config.max_epochs)
        stage.say(f"epoch {epoch.number}, validation AP {epoch.validation_average_precision:.3f}")

    return train_model(
        rows.features,
        rows.is_fraud,
        customers=rows.customer,
        feature_names=spec.names,
        categories=spec.categories,
        training_config=config,
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
    stored, measures, training = train(options, home, stages)
    title = f"{stored.name} version {stored.version}"
    with stages.stage("report", "draw the report"):
        text = train_page(title, training, measures, stages.seconds)
    stages.stop()
    # Shown first: a file that cannot be written must not cost the numbers of a stored model.
    print_table(title, measures, Console())
    sys.stdout.write(f"model:  {stored.path}\n")
    report = home / "reports" / f"{stored.name}-{stored.version}.html"
    report.parent.mkdir(exist_ok=True)
    write_whole(report, text)
    sys.stdout.write(f"report: {report}\n")
    if options.json_path:
        write_whole(options.json_path, f"{to_json(measures)}\n")


if __name__ == "__main__":
    sys.exit(run(main, shown=SHOWN))
