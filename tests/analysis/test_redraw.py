"""Figures drawn anew from what a report left are those of the report."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from analysis_support import STREAM, an_experiment, barrier, fill, fill_as_published
from typer.testing import CliRunner

from analysis import redraw, report
from experiments import catalog
from experiments.errors import UserError
from experiments.spec import Experiment, Row
from experiments.store import Store


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def made(experiment: Experiment, folder: Path, monkeypatch: pytest.MonkeyPatch) -> report.Report:
    built = report.build(experiment, "quick", Store(folder / "runs"), folder / "results")
    shutil.rmtree(folder / "runs")
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    return built


def test_a_figure_drawn_without_its_runs_is_the_same_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = barrier()
    fill_as_published(Store(tmp_path / "runs"), experiment)
    built = made(experiment, tmp_path, monkeypatch)
    before = contents(built.folder)
    for path in (built.folder / "figures").glob("*.*"):
        path.write_bytes(b"")
    result = CliRunner().invoke(redraw.app, ["barrier", "--results", str(tmp_path / "results")])
    assert result.exit_code == 0, result.output
    assert contents(built.folder) == before
    assert {f"figures/barrier.{suffix}" for suffix in ("csv", "pdf", "png", "svg")} <= set(before)


def test_a_diverged_run_is_still_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("Hopper-v4", (STREAM,), steps=200_000, seeds=2, bin_width=20_000)
    experiment = an_experiment((row,))
    fill(Store(tmp_path / "runs"), experiment, {("Hopper-v4", "Stream AC"): 90_000})
    built = made(experiment, tmp_path, monkeypatch)
    numbers = (built.folder / "figures/own.csv").read_text()
    redraw.redraw(built.folder)
    assert (built.folder / "figures/own.csv").read_text() == numbers
    runs = redraw.figure_data(built.manifest, experiment, built.summary.iloc[:0], built.summary).runs
    assert runs["status"].tolist() == ["diverged", "missing"]


def test_a_measurement_without_its_runs_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = an_experiment((Row("speed", (STREAM,), 1, 1, 1),), "throughput", kind="measurement")
    monkeypatch.setattr("analysis.redraw.from_numbers", lambda experiment: None)
    folder = tmp_path / "results/own/quick"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"experiment": "own", "kind": "measurement", "preset": "quick", "rows": []}')
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    with pytest.raises(UserError, match="needs the runs themselves"):
        redraw.redraw(folder)


def test_an_arm_is_emphasised_on_the_tasks_on_which_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = replace(STREAM, emphasised=False)
    rows = tuple(
        Row(env_id, (arm,), steps=200_000, seeds=1, bin_width=20_000)
        for env_id, arm in (("Hopper-v4", replace(STREAM, emphasised=True)), ("Ant-v4", plain))
    )
    experiment = an_experiment(rows)
    fill(Store(tmp_path / "runs"), experiment, {})
    built = made(experiment, tmp_path, monkeypatch)
    drawn = redraw.figure_data(built.manifest, experiment, built.summary.iloc[:0], built.summary).preset
    assert [arm.emphasised for row in drawn.rows for arm in row.arms] == [True, False]
