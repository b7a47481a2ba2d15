"""A tour of the five projects: from payments to a decision, served and in batch."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="A tour of fraud-detect")

with app.setup(hide_code=True):
    import datetime as dt
    import json
    import tempfile
    from contextlib import closing
    from pathlib import Path

    import marimo as mo
    import matplotlib.pyplot as plt
    import numpy as np
    import pyarrow as pa
    import torch

    from batch_proc.fold import Days, make_fold, quality
    from batch_proc.history import fetch_history, simulate_into
    from batch_proc.scoring import Scorer as BatchScorer
    from batch_proc.scoring import pack_model
    from data_connector import ModelStore, list_tables, open_journal
    from experiments.contenders import PEERS
    from fraud_detect.online_state import OnlineState
    from fraud_detect.scorer import Call, Scorer
    from fraud_detect.snapshots import Snapshots
    from fraud_ml import journal_entries
    from fraud_ml.artifact import Artifact, load_artifact, save_artifact
    from fraud_ml.default_specs import DEFAULT_SPEC
    from fraud_ml.features import compute_features, feature_matrix
    from fraud_ml.metrics import average_precision, precision_recall_curve
    from fraud_ml.policy import Decision, fit_capacity_policy
    from fraud_ml.reasons import Explainer
    from fraud_ml.scenario import Population, Scenario
    from fraud_ml.training import TrainingConfig, train_model


@app.cell(hide_code=True)
def _():
    mo.md("""
    # From payments to a decision

    One payment's way through the five projects: **connectors** read it, **ml** computes its
    features, trains and explains, **serving** scores it online, **batch** scores all of history,
    and **research**, this lab, tries what comes next. Everything here is small, simulated, and done
    in seconds; each section names the command that does it in full.

    A cell runs again when what it reads has changed, and the imports are the workspace's own files:
    edit one, and the cells that use it are marked as stale.
    """)
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Data

    Six weeks of payments, after the *Fraud Detection Handbook's* simulator. An investigator's word,
    the label, comes a week after the payment; no feature sees it before.
    """)
    return


@app.cell
def _():
    home = tempfile.TemporaryDirectory(prefix="fraud-tour-")
    folder = Path(home.name)
    source = f"sqlite:///{folder / 'transactions.db'}"
    simulate_into(
        folder / "transactions.db",
        Scenario(
            n_days=42, seed=1, population=Population(n_customers=300, n_terminals=600, radius=12)
        ),
    )
    list_tables(source)
    return folder, source


@app.cell
def _(source):
    history = fetch_history(
        source, table=None, names={}, spec=DEFAULT_SPEC, label_delay=dt.timedelta(days=7)
    )
    is_fraud = history.labels["is_fraud"].to_numpy()
    mo.vstack(
        [
            mo.md(f"{len(is_fraud):,} payments, {is_fraud.mean():.1%} of them frauds."),
            mo.ui.table(history.transactions.slice(0, 5).to_pylist(), selection=None),
        ]
    )
    return history, is_fraud


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Features

    What is known of a payment when it is made: of its customer and its terminal, over windows. One
    spec says what they are, to training, to the service and to Spark.
    """)
    return


@app.cell
def _(history):
    features = compute_features(history.transactions, history.labels, DEFAULT_SPEC)
    last = features.slice(features.num_rows - 1, 1).to_pylist()[0]
    mo.plain_text("\n".join(f"{name:32} {last[name]:.3f}" for name in DEFAULT_SPEC.names[:10]))
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Model

    Train on seven days, wait seven for their labels, test on the seven after that.
    In full: `./bazelw run //batch:train`.
    """)
    return


@app.cell
def _(history):
    days = Days.latest(history.last_day, train=7, delay=7, test=7)
    fold = make_fold(history, days, DEFAULT_SPEC)
    trained = train_model(
        fold.train.features,
        fold.train.is_fraud,
        customers=fold.train.customer,
        feature_names=DEFAULT_SPEC.names,
        categories=DEFAULT_SPEC.categories,
        training_config=TrainingConfig(max_epochs=5),
        seed=0,
    )
    with torch.inference_mode():
        score = trained.net.score(torch.from_numpy(fold.test.features)).numpy()
    reached = {it.name: float(it.value) for it in quality(fold.test, score)}
    mo.plain_text("\n".join(f"{name:6} {value:.3f}" for name, value in reached.items()))
    return fold, reached, score, trained


@app.cell
def _(fold, score):
    # Another contender of `./bazelw run //research:compare`, on the same rows.
    xgboost = next(it for it in PEERS if it.name == "xgboost")
    theirs = xgboost.fit(fold.train, xgboost.start, 0)(fold.test.features)
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for name, scored in (("ours", score), ("xgboost", theirs)):
        curve = precision_recall_curve(fold.test.is_fraud, scored)
        found = average_precision(fold.test.is_fraud, scored)
        axes.plot(curve.recall, curve.precision, label=f"{name}, AP {found:.2f}")
    axes.set(xlabel="recall", ylabel="precision")
    axes.legend()
    figure
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Reasons

    Why the payment with the highest score has it, in an investigator's words.
    """)
    return


@app.cell
def _(fold, history, score, trained):
    explainer = Explainer(trained.net, DEFAULT_SPEC)
    highest = int(np.argmax(score))
    transaction = history.transactions.slice(int(fold.test.number[highest]), 1).to_pylist()
    (reasons,) = explainer.explain(fold.test.features[highest : highest + 1], transaction)
    mo.md("\n".join([f"Score {score[highest]:.2f}:", *(f"- {it.text}" for it in reasons)]))
    return (reasons,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Decision

    Two thresholds, fitted on payments that the scoring part of the model never saw: as many cards
    under review as there is time for, and a decline only where 19 of 20 are frauds.
    """)
    return


@app.cell
def _():
    cards = mo.ui.slider(1, 30, value=5, label="cards that can be reviewed a day", show_value=True)
    cards
    return (cards,)


@app.cell
def _(cards, fold, score, trained):
    policy = fit_capacity_policy(
        fold.train.day,
        fold.train.customer,
        fold.train.is_fraud,
        trained.out_of_fold_scores,
        cards_a_day=cards.value,
        decline_precision=0.95,
    )
    decided = policy.decide(score.astype(np.float64), np.zeros(len(score)))
    counts = {it.name.lower(): int((decided == it).sum()) for it in Decision}
    mo.md(f"Of {len(score):,} payments of the test: {counts}.")
    return (policy,)


@app.cell
def _(folder, policy, reached, trained):
    artifact = Artifact(net=trained.net, spec=DEFAULT_SPEC, seed=0, metrics=reached, policy=policy)
    stored = ModelStore(folder / "models").publish(
        "fraud", lambda place: save_artifact(place, artifact), metrics=reached
    )
    mo.md(f"Stored as version {stored.version}: {sorted(it.name for it in stored.path.iterdir())}")
    return (stored,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Served

    The service's own scorer, in this process: it reads requests, counts each payment for those
    after it, and answers. Behind TorchServe: `./bazelw run //serving:serve`.
    """)
    return


@app.cell
def _(folder, history, stored):
    features_at = f"sqlite:///{folder / f'features-{stored.version}.db'}"
    at = history.transactions.column_names.index("timestamp")
    times = history.transactions["timestamp"].cast(pa.int64())  # microseconds, as callers send them
    requests = history.transactions.set_column(at, "timestamp", times)
    one = requests.slice(requests.num_rows - 1, 1).to_pylist()[0] | {"transaction_id": "one more"}
    served = []
    with (
        open_journal(features_at) as journal,
        closing(Snapshots(features_at, DEFAULT_SPEC)) as snapshots,
    ):
        state = OnlineState(journal, snapshots)
        scorer = Scorer(load_artifact(stored.path), state, name="fraud", version=stored.version)
        for start in range(0, requests.num_rows, 1_000):
            body = json.dumps({"transactions": requests.slice(start, 1_000).to_pylist()}).encode()
            (answer,) = scorer.answer([Call(body)])
            served += [it["score"] for it in json.loads(answer.body)["transactions"]]
            # The investigators' word, which counts from its own time on.
            said = history.labels.slice(start, 1_000)
            entry = journal_entries.Labels(
                said["transaction_id"].to_pylist(),
                said["is_fraud"].to_pylist(),
                said["labelled_at"].cast(pa.int64()).to_pylist(),
            )
            journal.append(journal_entries.encode(entry), after=journal.last())
        body = json.dumps({"transactions": [one], "reasons": True}).encode()
        (answer,) = scorer.answer([Call(body)])
    mo.json(json.loads(answer.body))
    return (served,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Batch

    What a Spark worker does with its part of history, called here on all of it, for Spark takes
    longer to start than this takes to run. On Spark, from a file or a database to scores by day:

    ```
    ./bazelw run //batch:infer -- --input payments.parquet --output scores
    ```

    Whatever engine computed the features, the scores are the same.
    """)
    return


@app.cell
def _(history, served, stored):
    worker = BatchScorer(pack_model(load_artifact(stored.path)))
    at_once = feature_matrix(
        compute_features(history.transactions, history.labels, DEFAULT_SPEC, arrival_order=True)
    )
    in_batch = worker.score(at_once)
    difference = float(np.abs(in_batch - np.array(served)).max())
    mo.md(
        f"{len(in_batch):,} payments, served and in batch: they differ by {difference:.1e} at most."
    )
    return (difference,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Next

    - `./bazelw run //research:compare`: the model against the field, on the same rows.
    - `./bazelw run //research:search -- --minutes 30`: better settings, and a config to train with.
    - `./bazelw run //research:new_experiment -- NAME`: a question, its code, its answer.
    - `./bazelw run //research:runs`: what was tried, side by side.
    """)
    return


if __name__ == "__main__":
    app.run()
