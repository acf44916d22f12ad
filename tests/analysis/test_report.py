"""Reports on small synthetic stores."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_support import STREAM, barrier, fill_as_published, publish_episodes
from matplotlib.figure import Figure
from typer.testing import CliRunner

from analysis import compare as comparing
from analysis import figures, kinds, load, report
from analysis.commands import command
from experiments import catalog
from experiments.errors import UserError
from experiments.expand import labelled_runs, runs_of
from experiments.settings_text import Sweep, parse_seeds, parse_settings
from experiments.spec import Arm, Experiment, Value
from experiments.store import Store


def test_report_on_partly_missing_runs_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, store = barrier(), Store(tmp_path / "runs")
    fill_as_published(store, experiment, skip={"SAC": 2, "Stream AC": 1})
    runs = [run for _, arm, run in labelled_runs(experiment.preset("quick")) if arm.label == "SAC"]
    store.fail(runs[0].run_id, "Traceback\n  ...\nValueError: too hot")
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    arguments = ["barrier", "--store", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    result = CliRunner().invoke(report.app, arguments)
    assert result.exit_code == 0, result.output
    assert "3 of 8 runs are not finished" in result.output
    assert "1 failed" in result.output
    assert "not finished: Stream AC 1 of 3, SAC 2 of 2" in result.output
    manifest = json.loads((tmp_path / "results/barrier/quick/manifest.json").read_text())
    assert manifest["failed"] == {runs[0].run_id: "ValueError: too hot"}
    assert len(manifest["missing"]) == 2
    assert len(manifest["runs"]) == 5
    assert manifest["code"] == [{"commit": "c0ffee", "dirty": False, "runs": 5}]
    assert manifest["mixed_code"] is False
    assert manifest["date"] == "2026-01-03T00:00:00Z"
    summary = pd.read_csv(tmp_path / "results/barrier/quick/summary.csv").set_index("algorithm")
    assert summary.loc["Stream AC", ["seeds", "planned", "n"]].tolist() == [2, 3, 2]
    assert summary.loc["SAC", "seeds"] == 0
    assert math.isnan(summary.loc["SAC", "bar"])


def test_report_on_an_empty_store_exits_2_and_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "load_experiment", lambda name: barrier())
    arguments = ["barrier", "--store", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    result = CliRunner().invoke(report.app, arguments)
    assert result.exit_code == 2
    assert "no run of barrier / quick is finished" in result.output
    assert "experiments.run barrier --preset quick" in result.output
    assert list(tmp_path.iterdir()) == []


def test_report_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    experiment, store = barrier(), Store(tmp_path / "runs")
    fill_as_published(store, experiment)
    first = report.build(experiment, "quick", store, tmp_path / "a")
    second = report.build(experiment, "quick", store, tmp_path / "b")
    names = [path.relative_to(first.folder) for path in first.files]
    assert names == [path.relative_to(second.folder) for path in second.files]
    assert {path.suffix for path in names} == {".parquet", ".csv", ".json", ".pdf", ".png", ".svg"}
    for name in names:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name
    # Over an older report it leaves the same files and nothing besides.
    report.build(experiment, "quick", store, tmp_path / "a")
    assert sorted(path for path in (tmp_path / "a").rglob("*") if path.is_file()) == sorted(first.files)


def test_customised_reports_have_folders_of_their_own(tmp_path: Path) -> None:
    assert report.folder_name("quick", {}) == "quick"
    assert (
        report.folder_name("quick", {"steps": 20_000, "action_clip": "unit"}, 4) == "quick+action_clip=unit+steps=20000+seeds=4"
    )
    different: list[dict[str, Value]] = [{"a": "x/y"}, {"a": "x_y"}, {"a": "x+b=1"}, {"a": "x", "b": 1}]
    different += [{"a": 1}, {"a": "1"}, {"a": (1, 2)}, {"a": "y" * 300}]
    names = [report.folder_name("quick", settings) for settings in different]
    assert len(set(names)) == len(names)
    assert all("/" not in name and len(name) < 200 for name in names)


def test_damaged_run_is_named(tmp_path: Path) -> None:
    experiment, store = barrier(arms=(STREAM,)), Store(tmp_path)
    fill_as_published(store, experiment)
    run_id = runs_of(experiment, "quick")[0].run_id
    (store.finished_path / run_id / "episodes.arrow").write_bytes(b"broken")
    with pytest.raises(UserError, match=run_id):
        report.build(experiment, "quick", store, tmp_path / "results")


def test_experiment_whose_figure_does_not_exist_is_told(tmp_path: Path) -> None:
    experiment = Experiment("barrier", "t", "s", barrier().presets, figure="no_such_figure")
    with pytest.raises(UserError, match="no_such_figure"):
        figures.drawer(experiment)


def test_measurement_needs_no_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    base = barrier(arms=(STREAM,))
    experiment = Experiment("speed", "Speed", "ours", base.presets, figure="speed", kind="measurement")
    store = Store(tmp_path / "runs")
    run = runs_of(experiment, "quick")[0]
    store.publish(run, {"throughput": {"value": np.array([3.0])}}, {"status": "finished", "steps": 1, "diverged_at": None}, {})

    def draw(data: figures.FigureData) -> tuple[Figure, pd.DataFrame]:
        run_id = data.runs.loc[load.is_finished(data.runs), "run_id"].iloc[0]
        value = data.store.load(run_id)[2]["throughput"]["value"][0].as_py()
        return Figure(), pd.DataFrame({"algorithm": ["Stream AC"], "steps_per_second": [value]})

    monkeypatch.setattr(report, "drawer", lambda experiment: draw)
    monkeypatch.setattr(kinds, "tables_of", lambda experiment: lambda numbers: [(experiment.title, numbers)])
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    arguments = ["speed", "--store", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    result = CliRunner().invoke(report.app, arguments)
    assert result.exit_code == 0, result.output
    assert "steps_per_second" in result.output
    made = {path.name for path in (tmp_path / "results/speed/quick").rglob("*") if path.is_file()}
    assert made == {"manifest.json", "speed.pdf", "speed.png", "speed.svg", "speed.csv"}
    nothing = CliRunner().invoke(comparing.app, ["speed", "--results", str(tmp_path / "results")])
    assert nothing.exit_code == 2
    assert "no published numbers" in nothing.output


@pytest.mark.parametrize(
    ("envs", "arms", "seeds"), [(1, 1, 1), (2, 3, 1), (3, 2, 2), pytest.param(6, 6, 2, marks=pytest.mark.slow)]
)
def test_figure_draws_any_number_of_panels_and_bars(tmp_path: Path, envs: int, arms: int, seeds: int) -> None:
    names = ("Hopper-v4", "Ant-v4", "Walker2d-v4", "HalfCheetah-v4", "MyOwn-v0", "dm_control/dog-stand-v0")
    labels = ("Stream AC", "my own learner", "SAC", "PPO", "PPO1", "SAC1")
    chosen = tuple(Arm(label, f"a{i}") for i, label in enumerate(labels[:arms]))
    experiment, store = barrier(names[:envs], chosen, steps=1000, width=100, seeds=seeds), Store(tmp_path / "runs")
    rng = np.random.default_rng(0)
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        diverged_at = 450 if arm.label == "PPO" else None
        step = np.arange(10, (diverged_at or 1000) + 1, 10)
        publish_episodes(store, run, step, rng.normal(-50, 40, len(step)), diverged_at)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    bars = built.numbers[built.numbers["part"] == "bar"]
    assert len(bars) == envs * arms
    assert (bars.loc[bars["algorithm"] == "PPO", "value"] == 0).all()
    size = (built.folder / "figures/barrier.png").stat().st_size
    assert size > 10_000


def test_two_rows_of_one_environment_are_refused(tmp_path: Path) -> None:
    experiment = barrier(("Hopper-v4", "Hopper-v4"))
    with pytest.raises(UserError, match="Hopper-v4"):
        report.build(experiment, "quick", Store(tmp_path), tmp_path / "results")


def test_command_of_a_report_is_read_as_the_overrides_it_was_made_with() -> None:
    settings = {"kappa_policy": Sweep((1.0, 2.0)), "hidden": (64, 64), "optimizer": "adam"}
    words = shlex.split(command("run", "stream_barrier", "quick", settings, (3, 7), ["my_learner.py:Mine"], Path("elsewhere")))
    assert words[:6] == ["python", "-m", "experiments.run", "stream_barrier", "--preset", "quick"]
    assert parse_settings([words[i + 1] for i, word in enumerate(words) if word == "--set"]) == settings
    assert parse_seeds(words[words.index("--seeds") + 1]) == (3, 7)
    assert words[words.index("--learner") + 1] == "my_learner.py:Mine"
    assert words[words.index("--store") + 1] == "elsewhere"
    # As a manifest holds them, after JSON.
    assert command("run", "a", "b", json.loads('{"hidden": [64, 64]}'), json.loads("[3, 7]")) == command(
        "run", "a", "b", {"hidden": (64, 64)}, (3, 7)
    )
