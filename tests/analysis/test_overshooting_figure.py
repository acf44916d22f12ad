"""The figure of overshooting on synthetic stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from analysis_support import OPTIMISERS, Draw, an_experiment, assert_legible, panels_of, publish, titled

from experiments.expand import labelled_runs, runs_of
from experiments.spec import Experiment, Row
from experiments.store import Store


def publish_overshooting(store: Store, experiment: Experiment, columns: dict[str, float], seeds_diverge: bool) -> None:
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        sgd = arm.label.startswith("SGD")
        diverged_at = 6500 if sgd and seeds_diverge else None
        step = np.arange(1000, (diverged_at or run.steps) + 1, 1000)
        scale = {"ObGD": 1.0, "SGD, 1e-3": 1e4, "Adam, 3e-4": 10.0, "Adam, 1e-7": 1e-3}[arm.label]
        table: dict[str, np.ndarray] = {"step": step}
        for name, value in columns.items():
            table[name] = np.full(len(step), value if name in ("overshoot", "bound_active") else value * scale) + 0.0
            if name == "overshoot":
                table[name] += step / 1e6
            table[f"{name}_max"] = 2 * table[name]
        if sgd:
            table.pop("bound_active", None)
            table["effective_step_size"][-2:] = np.inf
        publish(store, run, {"metrics": table}, diverged_at)


@pytest.mark.parametrize(
    "envs", [("Hopper-v4",), pytest.param(("Hopper-v4", "HalfCheetah-v4", "MinAtar/Breakout-v1"), marks=pytest.mark.slow)]
)
def test_overshooting_has_a_panel_per_metric_and_environment(drawn: Draw, tmp_path: Path, envs: tuple[str, ...]) -> None:
    rows = tuple(Row(env_id, OPTIMISERS, steps=10_000, seeds=2, bin_width=1000) for env_id in envs)
    experiment, store = an_experiment(rows, "overshooting", kind="metrics"), Store(tmp_path / "runs")
    columns = {"trace_norm": 5.0, "overshoot": 0.4, "effective_step_size": 0.1, "bound_active": 1.0, "my own": 2.0}
    publish_overshooting(store, experiment, columns, seeds_diverge=True)
    figure, numbers = drawn(experiment, store)
    panels = panels_of(figure)
    titles = ["effective step size", "share that overshoots", "L1 norm of the trace", "my own"]
    assert [axes.get_title() for axes in panels][:4] == titles
    assert len(panels) == 4 * len(envs)
    # What is one number everywhere has no panel.
    assert any(
        t.get_text() == "share that is bounded: 1 in every bin of every run (ObGD, Adam, 3e-4, Adam, 1e-7)."
        for t in figure.texts
    )
    assert_legible(figure)
    assert titled(figure, "effective step size").get_yscale() == "log"
    assert titled(figure, "share that overshoots").get_yscale() == "linear"
    assert titled(figure, "share that overshoots").get_ylim()[1] >= 1
    # Infinite bins are marked at the top, the run that diverged with a cross, and nobody pretends the maximum is a metric.
    marked = [
        line.get_xdata().tolist()
        for line in titled(figure, "effective step size").lines
        if line.get_marker() == "^" and set(line.get_ydata()) == {0.97}
    ]
    assert [x for x in marked if x] == [[4500, 5500]]
    assert [line for line in titled(figure, "L1 norm of the trace").lines if line.get_marker() == "x"]
    assert "overshoot_max" not in set(numbers["metric"])
    assert {(r.algorithm, r.metric) for r in numbers.itertuples() if r.algorithm == "SGD, 1e-3"} == {
        ("SGD, 1e-3", name) for name in columns if name != "bound_active"
    }


def test_overshooting_of_either_sign_over_orders_of_magnitude(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", OPTIMISERS, steps=10_000, seeds=1, bin_width=1000)
    experiment, store = an_experiment((row,), "overshooting", kind="metrics"), Store(tmp_path / "runs")
    for value, run in zip((10.0, -1e5, 1e5, 1e-5), runs_of(experiment, "quick"), strict=True):
        publish(store, run, {"metrics": {"step": np.array([1000, 10_000]), "effective_step_size": np.full(2, value)}})
    figure, _ = drawn(experiment, store)
    (axes,) = panels_of(figure)
    low, high = axes.get_ylim()
    assert low < -1e5
    assert high > 1e5
    # Small values are told from large ones.
    levels = axes.transData.transform([(0, 10.0), (0, 1e5), (0, 0.0)])[:, 1]
    assert levels[0] - levels[2] > 0.1 * (levels[1] - levels[2])
    assert_legible(figure)


def test_mean_on_a_logarithmic_axis_is_that_of_the_values_and_not_of_their_logarithms(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", OPTIMISERS[:1], steps=2_000, seeds=2, bin_width=1000)
    experiment, store = an_experiment((row,), "overshooting", kind="metrics"), Store(tmp_path / "runs")
    for value, run in zip((1.0, 99.0), runs_of(experiment, "quick"), strict=True):
        publish(store, run, {"metrics": {"step": np.array([1000, 2000]), "trace_norm": np.array([value, 1000 * value])}})
    figure, _ = drawn(experiment, store)
    (axes,) = panels_of(figure)
    assert axes.get_yscale() == "log"
    assert [line.get_ydata().tolist() for line in axes.lines if len(line.get_ydata())][-1] == pytest.approx([50.0, 50_000.0])


def test_overshooting_without_any_metric_is_still_a_figure(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", OPTIMISERS[:1], steps=10_000, seeds=1, bin_width=1000)
    experiment, store = an_experiment((row,), "overshooting", kind="metrics"), Store(tmp_path / "runs")
    publish(store, runs_of(experiment, "quick")[0], {}, diverged_at=3)
    figure, numbers = drawn(experiment, store)
    assert numbers.empty
    assert any("ObGD on Hopper-v4 1 of 1" in text.get_text() for text in figure.texts)
