"""The page of `./bazelw run //research:runs -- --ui`: kept runs, side by side and by day."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Runs")

with app.setup(hide_code=True):
    import marimo as mo
    import matplotlib.pyplot as plt

    from data_connector.command import fraud_home
    from experiments.tracking import Tracker

    plt.rcParams["date.converter"] = "concise"  # days side by side


@app.cell
def _():
    tracker = Tracker(fraud_home())
    again = mo.ui.refresh(options=["10s", "1m"], label="look again")
    return again, tracker


@app.cell
def _(again, tracker):
    again  # read, so that this cell runs again with it
    names = tracker.experiments()
    experiment = (
        mo.ui.dropdown(
            names, value=names[0] if names else None, label="experiment", allow_select_none=False
        )
        if names
        else None
    )
    mo.vstack(
        [
            mo.md("# Runs"),
            mo.hstack([experiment, again], justify="start", wrap=True)
            if names
            else mo.md("No run is kept yet: `./bazelw run //research/experiments/NAME`"),
        ]
    )
    return (experiment,)


@app.cell
def _(experiment, tracker):
    runs = tracker.runs(experiment.value) if experiment is not None else []
    rows = [
        {
            "run": it.id[:8],
            "started": f"{it.started:%Y-%m-%d %H:%M}",
            "ended": it.status.lower(),
            "commit": it.commit[:8],
            **it.metrics,
            **it.parameters,
        }
        for it in runs
    ]
    measured = {each for it in runs for each in it.metrics}
    table = mo.ui.table(
        rows,
        selection="multi",
        initial_selection=list(range(len(rows)))[:3],
        format_mapping=dict.fromkeys(measured, "{:.4g}"),
    )
    table if rows else None
    return runs, table


@app.cell
def _(runs, table, tracker):
    ids = {row["run"] for row in table.value}
    selected = [it for it in runs if it.id[:8] in ids]
    shown = []
    for name in sorted({each for it in selected for each in tracker.names_by_day(it.id)}):
        figure, axes = plt.subplots(figsize=(7, 2.5), layout="constrained")
        for kept in selected:
            by_day = tracker.by_day(kept.id, name)
            axes.plot(list(by_day), list(by_day.values()), marker=".", label=kept.id[:8])
        axes.set_title(name, loc="left")
        figure.legend(loc="outside right upper")
        shown.append(figure)
    mo.vstack(shown)
    return (selected,)


@app.cell
def _(selected, tracker):
    files = {it.id[:8]: tracker.files_of(it.id) for it in selected}
    mo.md("\n".join(f"- `{run}`: {path}" for run, each in files.items() for path in each)).style(
        {"overflow-wrap": "anywhere"}
    )  # a path is longer than a phone is wide
    return


if __name__ == "__main__":
    app.run()
