"""Our returns beside the published ones."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_support import PAPER_STREAM, STREAM, barrier, fill_as_published, publish_episodes
from rich.console import Console
from typer.testing import CliRunner

from analysis import budget, report, tables
from analysis import compare as comparing
from analysis.published import numbers_for
from experiments import catalog
from experiments.expand import labelled_runs
from experiments.spec import Arm, Experiment, Preset, Row
from experiments.store import Store


def test_comparison_end_to_end(tmp_path: Path) -> None:
    experiment, store = barrier(), Store(tmp_path / "runs")
    fill_as_published(store, experiment)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    rows = built.comparison.set_index(["algorithm", "step"])
    stream = rows.loc["Stream AC"]
    assert stream.index.tolist() == [100_000, 200_000, 500_000]
    assert stream["ours"].tolist() == pytest.approx(list(PAPER_STREAM.values()))
    assert stream["published"].tolist() == pytest.approx(list(PAPER_STREAM.values()))
    assert stream["ratio"].tolist() == pytest.approx([1.0] * 3)
    assert stream["verdict"].tolist() == ["inside"] * 3
    assert stream["difference"].tolist() == pytest.approx([0.0] * 3, abs=1e-6)
    # three seeds 10 apart: s = 10, t(0.95, 2) = 2.92
    assert stream["ci90"].tolist() == pytest.approx([2.91999 * 10 / math.sqrt(3)] * 3, rel=1e-5)
    assert stream["published_end"].isna().tolist() == [True, True, False]
    end = [f"published_end{part}" for part in ("", "_paper", "_figure", "_steps")]
    assert stream[end].iloc[-1].tolist() == [2173, "Stream-X", "Fig2", 20_000_000]
    # SAC on Hopper is published in bins of 500k only: nothing before, and ours pooled to that bin.
    assert rows.loc["SAC", "verdict"].tolist()[:2] == ["begins at 500k"] * 2
    assert rows.loc[("SAC", 500_000), ["bin_width", "published_bin_width", "published_figure"]].tolist() == [
        500_000,
        500_000,
        "Fig14",
    ]
    assert (rows["paper_steps"] == 20_000_000).all()
    assert (rows["paper_seeds"] == 30).all()


def test_atari_is_compared_at_the_same_frames_in_bins_as_wide(tmp_path: Path) -> None:
    arm = Arm("Stream Q(0.8)", "stream_q")
    row = Row("PongNoFrameskip-v4", (arm,), steps=5_000_000, seeds=2, bin_width=250_000)
    paper = Row("PongNoFrameskip-v4", (arm,), steps=50_000_000, seeds=10, bin_width=1_250_000)
    experiment = Experiment(
        "pong",
        "Pong",
        "Stream-X, Figs. 6 and 12",
        {"laptop": Preset("", (row,)), "paper": Preset("", (paper,))},
        "learning_curves",
    )
    store = Store(tmp_path / "runs")
    for _, _, run in labelled_runs(experiment.preset("laptop")):
        step = np.arange(1000, run.steps + 1, 1000)
        # What is published up to 3.75M steps; after it a line that has the published mean over the last 1.25M.
        (curve,) = (c for c in numbers_for(experiment.source).curves_of(run.env_id, "Stream Q") if c.figure == "Fig12")
        returns = np.array([curve.values[(s - 1) // 1_250_000] for s in step])
        last = step > 3_750_000
        returns[last] += np.linspace(-5, 5, last.sum())
        publish_episodes(store, run, step, returns)
    built = report.build(experiment, "laptop", store, tmp_path / "results")
    rows = built.comparison.set_index("step")
    # 5M, 10M and 20M frames.
    assert rows.index.tolist() == [1_250_000, 2_500_000, 5_000_000]
    assert rows["ours"].tolist() == pytest.approx(rows["published"].tolist())
    assert rows["bin_width"].tolist() == rows["published_bin_width"].tolist() == [1_250_000] * 3
    assert rows.loc[5_000_000, "published"] == pytest.approx(10.5, abs=0.05)
    assert (rows["paper_steps"] == 50_000_000).all()
    assert budget.stated(built.summary, budget.Budget(50_000_000, 10)) == (
        "5M of 50M steps (20M of 200M frames), 2 of 10 seeds"
    )


def test_rows_that_differ_from_the_published_protocol_have_no_verdict(tmp_path: Path) -> None:
    experiment, store = barrier(), Store(tmp_path / "runs")
    (row,) = experiment.preset("quick").rows
    installed = replace(row, environment={}, panel="installed contacts")
    otherwise = replace(row, panel="another protocol", differs="rewards are clipped")
    changed = replace(experiment, presets={**experiment.presets, "quick": Preset("", (row, installed, otherwise))})
    fill_as_published(store, changed)
    built = report.build(changed, "quick", store, tmp_path / "results")
    stream = built.comparison.query("algorithm == 'Stream AC' and step == 500_000").set_index("panel")
    assert stream["verdict"].to_dict() == {
        "Hopper-v4": "inside",
        "installed contacts": "not comparable (simulator)",
        "another protocol": "not comparable (protocol)",
    }
    assert stream["difference"].tolist() == pytest.approx([0.0] * 3, abs=1e-6)


def test_strict_fails_where_the_last_mean_is_outside_and_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, store = barrier(arms=(STREAM,)), Store(tmp_path / "runs")
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    fill_as_published(store, experiment)
    report.build(experiment, "quick", store, tmp_path / "results")
    words = ["barrier", "--results", str(tmp_path / "results"), "--strict"]
    found = CliRunner().invoke(comparing.app, words)
    assert found.exit_code == 0, found.output
    table = tmp_path / "results" / "barrier" / "quick" / "curves.parquet"
    curves = pd.read_parquet(table)
    curves.loc[(curves["algorithm"] == "Stream AC") & (curves["step"] == 500_000), "mean_return"] -= 400.0
    curves.to_parquet(table)
    found = CliRunner().invoke(comparing.app, words)
    assert found.exit_code == 1
    assert "Outside: Stream AC on Hopper-v4 in quick, below by 400." in found.output


def test_compare_command_needs_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, store = barrier(), Store(tmp_path / "runs")
    fill_as_published(store, experiment)
    report.build(experiment, "quick", store, tmp_path / "results")
    built = report.build(experiment, "quick", store, tmp_path / "results", seeds=2)
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    result = CliRunner().invoke(comparing.app, ["barrier", "--results", str(tmp_path / "results")])
    assert result.exit_code == 0, result.output
    assert "500k of 20M steps, 2 to 3 of 30 seeds" in result.output
    assert "1264" in result.output
    assert "inside" in result.output
    assert "2173" in result.output
    assert "seeds=2" not in result.output
    asked = CliRunner().invoke(
        comparing.app, ["barrier", "--results", str(tmp_path / "results"), "--preset", built.folder.name]
    )
    assert asked.exit_code == 0
    assert "2 of 30 seeds" in asked.output
    absent = CliRunner().invoke(comparing.app, ["barrier", "--results", str(tmp_path / "results"), "--preset", "laptop"])
    assert absent.exit_code == 2


def test_printed_comparison_fits_eighty_columns(tmp_path: Path) -> None:

    experiment, store = (
        barrier(("Hopper-v4", "HumanoidStandup-v4", "dm_control/cheetah-run-v0")),
        Store(tmp_path / "runs"),
    )
    fill_as_published(store, experiment)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(tables.render(built.comparison, built.summary, built.manifest, 80))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= 80
    # Every row is one line, from its step to its verdict.
    for row in built.comparison.itertuples():
        step, ours = f" {row.step // 1000}k ", f" {tables.number(row.ours)} "
        assert any(step in line and ours in line and row.verdict in line for line in lines), row
