"""What runs recorded about themselves, in bins."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_support import STREAM, an_experiment_of_metrics, publish_episodes, publish_metrics
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis import compare as comparing
from analysis import metrics, report
from experiments import catalog
from experiments.errors import UserError
from experiments.expand import labelled_runs, runs_of
from experiments.spec import Arm, Row
from experiments.store import Store


@given(
    st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(1, 60),
)
def test_bins_of_metrics_agree_with_the_rule_written_out(values: list[float], width: int, every: int) -> None:
    step = np.arange(1, len(values) + 1) * every
    steps = int(step[-1])
    for highest in (False, True):
        found = metrics.bin_values(step, np.array(values), width, steps, highest)
        assert len(found) == steps // width
        for i, value in enumerate(found):
            inside = [v for s, v in zip(step, values, strict=True) if i * width < s <= (i + 1) * width and not math.isnan(v)]
            expected = (max(inside) if highest else np.mean(inside)) if inside else math.nan
            assert value == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_an_infinite_metric_makes_its_bin_infinite_and_no_other() -> None:
    found = metrics.bin_values(np.array([5, 10, 15, 20]), np.array([1.0, math.inf, 2.0, 4.0]), 10, 20)
    assert found.tolist() == [math.inf, 3.0]


def test_report_of_metrics_needs_no_episodes_and_says_that_nothing_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = (Arm("ObGD", "stream_ac"), Arm("SGD, 1e-3", "sgd"))
    experiment = an_experiment_of_metrics("overshooting", Row("Hopper-v4", arms, steps=4000, seeds=2, bin_width=2000))
    store = Store(tmp_path / "runs")
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        if arm.label == "SGD, 1e-3" and run.seed == 1:
            publish_metrics(store, run, {}, diverged_at=7)  # before it told anything
            continue
        step = np.array([1000, 2000, 3000, 4000])
        norm = np.array([1.0, 3.0, 10.0, 20.0]) + 2 * run.seed
        publish_metrics(store, run, {"step": step, "trace_norm": norm, "trace_norm_max": 2 * norm})
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    folders = ["--results", str(tmp_path / "results")]
    result = CliRunner().invoke(report.app, ["own", "--store", str(tmp_path / "runs"), *folders])
    assert result.exit_code == 0, result.output
    assert "no published numbers to compare with" in result.output
    assert "SGD, 1e-3: 1 of 2 runs diverged" in result.output
    folder = tmp_path / "results/own/quick"
    assert not (folder / "compare.csv").exists()
    curves = pd.read_parquet(folder / "curves.parquet")
    own = curves[(curves["algorithm"] == "ObGD") & (curves["seed"] == 0)]
    assert own[["metric", "step", "value"]].values.tolist() == [
        ["trace_norm", 2000, 2.0],
        ["trace_norm", 4000, 15.0],
        ["trace_norm_max", 2000, 6.0],
        ["trace_norm_max", 4000, 40.0],
    ]
    summary = pd.read_csv(folder / "summary.csv").set_index(["algorithm", "metric"])
    assert summary.loc[("ObGD", "trace_norm"), ["final_mean", "n", "seeds"]].tolist() == [16.0, 2, 2]
    assert summary.loc[("SGD, 1e-3", "trace_norm"), ["n", "seeds", "diverged"]].tolist() == [1, 2, 1]
    assert json.loads((folder / "manifest.json").read_text())["kind"] == "metrics"
    compared = CliRunner().invoke(comparing.app, ["own", *folders])
    assert compared.exit_code == 2
    assert "no published numbers" in compared.output


def test_finished_run_without_metrics_is_named(tmp_path: Path) -> None:
    row = Row("Hopper-v4", (STREAM,), steps=100, seeds=1, bin_width=10)
    experiment, store = an_experiment_of_metrics("overshooting", row), Store(tmp_path)
    publish_episodes(store, runs_of(experiment, "quick")[0], [10], [1.0])
    with pytest.raises(UserError, match=r"stream_ac-Hopper.* holds no metrics"):
        report.build(experiment, "quick", store, tmp_path / "results")
