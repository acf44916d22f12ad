"""Runs of an earlier report that the store does not hold: a preset trained in several places."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from analysis_support import (
    CLASSIC,
    OPTIMISERS,
    STREAM,
    STREAM_AC,
    an_experiment_of_metrics,
    barrier,
    publish_episodes,
    publish_metrics,
)
from pandas.testing import assert_frame_equal
from typer.testing import CliRunner

from analysis import report
from analysis.compare import app as compare_command
from experiments import catalog
from experiments.errors import UserError
from experiments.expand import labelled_runs
from experiments.spec import Arm, Experiment, Preset, Row, Run
from experiments.store import Store


def returns_experiment(seeds: int = 4, width: int = 50_000) -> Experiment:
    return barrier(("Hopper-v4", "Ant-v4"), (CLASSIC, STREAM), steps=200_000, width=width, seeds=seeds)


def train(store: Store, experiment: Experiment, seeds: tuple[int, ...], diverging: tuple[str, int] | None = None) -> None:
    """Publish runs of these seeds with random returns of their own; one arm's run of one seed diverges at 130k steps."""
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        if run.seed not in seeds:
            continue
        rng = np.random.default_rng([run.seed, len(arm.label), len(run.env_id)])
        lost = 130_000 if (arm.label, run.seed) == diverging else None
        step = np.cumsum(rng.integers(400, 1_600, 400))
        step = step[step <= (lost or run.steps)]
        publish_episodes(store, run, step, rng.normal(50 * run.seed, 30, len(step)), lost)


def built(experiment: Experiment, store: Path, results: Path) -> report.Report:
    return report.build(experiment, "quick", Store(store), results)


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


@pytest.mark.parametrize("diverging", [None, ("Stream AC", 1)])
def test_report_of_two_stores_in_turn_is_that_of_one_store_with_all(tmp_path: Path, diverging: tuple[str, int] | None) -> None:
    experiment = returns_experiment()
    for name, seeds in (("a", (0, 1)), ("b", (2, 3)), ("all", (0, 1, 2, 3))):
        train(Store(tmp_path / name), experiment, seeds, diverging)
    first = built(experiment, tmp_path / "a", tmp_path / "results")
    assert len(first.manifest["missing"]) == 8
    merged = built(experiment, tmp_path / "b", tmp_path / "results")
    whole = built(experiment, tmp_path / "all", tmp_path / "whole")
    assert merged.summary["seeds"].tolist() == [4, 4, 4, 4]
    for one, other in ((merged.numbers, whole.numbers), (merged.summary, whole.summary), (merged.comparison, whole.comparison)):
        assert_frame_equal(one, other, check_exact=True)
    for file in ("curves.parquet", "summary.csv", "compare.csv", "figures/barrier.csv", "figures/barrier.png"):
        assert (merged.folder / file).read_bytes() == (whole.folder / file).read_bytes(), file
    assert merged.manifest["kept"] == first.manifest["runs"]
    assert merged.manifest["runs"] == whole.manifest["runs"]
    assert merged.manifest["code"] == whole.manifest["code"] == [{"commit": "c0ffee", "dirty": False, "runs": 16}]
    # And again: what was kept is kept on.
    (tmp_path / "c").mkdir()
    again = built(experiment, tmp_path / "c", tmp_path / "results")
    assert again.manifest["kept"] == whole.manifest["runs"]
    assert (again.folder / "curves.parquet").read_bytes() == (whole.folder / "curves.parquet").read_bytes()


def test_kept_runs_keep_what_made_them(tmp_path: Path) -> None:
    experiment = returns_experiment(seeds=2)
    for name, seed, commit in (("a", 0, "first"), ("b", 1, "second")):
        store = Store(tmp_path / name)
        train(store, experiment, (seed,))
        for run_id in store.finished():
            path = store.finished_path / run_id / "provenance.json"
            text = path.read_text().replace("c0ffee", commit).replace("a processor", f"processor {name}")
            run = next(run for _, _, run in labelled_runs(experiment.preset("quick")) if run.run_id == run_id)
            result, _, tables = store.load(run_id)
            store.discard(run_id)
            columns = {name: table.to_pydict() for name, table in tables.items()}
            arrays = {name: {key: np.asarray(value) for key, value in table.items()} for name, table in columns.items()}
            store.publish(run, arrays, result, json.loads(text))
    built(experiment, tmp_path / "a", tmp_path / "results")
    manifest = built(experiment, tmp_path / "b", tmp_path / "results").manifest
    assert [(code["commit"], code["runs"]) for code in manifest["code"]] == [("first", 4), ("second", 4)]
    assert manifest["mixed_code"]
    assert [machine["processor"] for machine in manifest["machines"]] == ["processor a", "processor b"]
    by_commit = {origin["code"][0]["commit"]: origin for origin in manifest["origins"]}
    assert sorted(by_commit["first"]["runs"]) == sorted(manifest["kept"])
    assert by_commit["first"]["machines"] == [{"processor": "processor a", "cores": 4}]


def test_store_that_holds_a_run_itself_replaces_the_kept_one(tmp_path: Path) -> None:
    experiment = returns_experiment(seeds=1)
    train(Store(tmp_path / "a"), experiment, (0,))
    old = built(experiment, tmp_path / "a", tmp_path / "results")
    for _, _, run in labelled_runs(experiment.preset("quick")):
        publish_episodes(Store(tmp_path / "b"), run, [200_000], [7.0])
    new = built(experiment, tmp_path / "b", tmp_path / "results")
    assert new.manifest["kept"] == []
    assert new.summary["final_mean"].tolist() == [7.0] * 4 != old.summary["final_mean"].tolist()


@pytest.mark.parametrize("change", ["steps", "bins", "hyperparameters"])
def test_folder_of_other_runs_or_other_bins_is_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    experiment = returns_experiment(seeds=2)
    train(Store(tmp_path / "a"), experiment, (0, 1))
    built(experiment, tmp_path / "a", tmp_path / "results")
    (preset,) = (experiment.presets["quick"],)

    def changed(row: Row) -> Row:
        if change == "hyperparameters":
            return dataclasses.replace(row, arms=tuple(dataclasses.replace(a, hyperparameters={"x": 1}) for a in row.arms))
        return dataclasses.replace(row, **({"steps": 150_000} if change == "steps" else {"bin_width": 40_000}))

    rows = tuple(changed(row) for row in preset.rows)
    other = dataclasses.replace(experiment, presets={**experiment.presets, "quick": Preset("", rows)})
    train(Store(tmp_path / "b"), other, (0,))
    monkeypatch.setattr(catalog, "load_experiment", lambda name: other)
    arguments = ["barrier", "--store", str(tmp_path / "b"), "--results", str(tmp_path / "results")]
    result = CliRunner().invoke(report.app, arguments)
    assert result.exit_code == 0, result.output
    manifest = manifest_of(tmp_path / "results/barrier/quick")
    assert manifest["kept"] == []
    assert len(manifest["runs"]) == 4
    left_out = 4 if change == "bins" else 8  # with other bins the runs of seed 0 are the same, and in the store
    assert f"{left_out} runs of the earlier report were left out" in result.output
    assert pd.read_csv(tmp_path / "results/barrier/quick/summary.csv")["seeds"].tolist() == [1] * 4


def test_report_from_before_panels_and_origins_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = returns_experiment()
    train(Store(tmp_path / "a"), experiment, (0, 1))
    train(Store(tmp_path / "b"), experiment, (2, 3))
    train(Store(tmp_path / "all"), experiment, (0, 1, 2, 3))
    folder = built(experiment, tmp_path / "a", tmp_path / "results").folder
    for file, read, write in (
        ("curves.parquet", pd.read_parquet, pd.DataFrame.to_parquet),
        ("summary.csv", pd.read_csv, pd.DataFrame.to_csv),
    ):
        write(read(folder / file).drop(columns="panel"), folder / file, index=False)
    old = manifest_of(folder)
    for name in ("kind", "origins", "kept", "diverged_at"):
        del old[name]
    for row in old["rows"]:
        for name in ("panel", "first_seed"):
            del row[name]
        for arm in row["arms"]:
            del arm["steps"]
    (folder / "manifest.json").write_text(json.dumps({**old, "measurement": False}))
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    told = CliRunner().invoke(compare_command, ["barrier", "--results", str(tmp_path / "results")])
    assert told.exit_code == 0, told.output
    assert "200k of 20M steps, 2 of 30 seeds" in told.output
    merged = built(experiment, tmp_path / "b", tmp_path / "results")
    whole = built(experiment, tmp_path / "all", tmp_path / "whole")
    assert_frame_equal(merged.summary, whole.summary, check_exact=True)
    assert merged.manifest["code"] == [{"commit": "c0ffee", "dirty": False, "runs": 16}]


def test_two_panels_of_one_environment_and_seeds_that_begin_late_are_kept_apart(tmp_path: Path) -> None:
    masks = tuple(
        Row("Hopper-v4", (STREAM_AC,), 2_000, 2, 1_000, {"mask": mask}, first_seed=5, panel=f"Hopper, {mask}") for mask in "PV"
    )
    experiment = Experiment("own", "Own", "ours", {"quick": Preset("", masks)}, "learning_curves")
    for row, _, run in labelled_runs(experiment.preset("quick")):
        store = Store(tmp_path / ("a" if run.seed == 5 else "b"))
        publish_episodes(store, run, [500, 1_500], [run.seed, run.seed + (100 if row.panel == "Hopper, V" else 0)])
    built(experiment, tmp_path / "a", tmp_path / "results")
    merged = built(experiment, tmp_path / "b", tmp_path / "results")
    assert merged.summary.set_index("panel")["final_mean"].to_dict() == {"Hopper, P": 5.5, "Hopper, V": 105.5}
    assert set(merged.summary["env_id"]) == {"Hopper-v4"}


def test_arm_with_fewer_steps_is_kept_by_its_own_budget(tmp_path: Path) -> None:
    row = Row("Hopper-v4", (CLASSIC, STREAM), 200_000, 2, 50_000, fewer_steps={"Classic AC": 100_000})
    experiment = Experiment("own", "Own", "ours", {"quick": Preset("", (row,))}, "learning_curves")
    train(Store(tmp_path / "a"), experiment, (0,))
    train(Store(tmp_path / "b"), experiment, (1,))
    built(experiment, tmp_path / "a", tmp_path / "results")
    merged = built(experiment, tmp_path / "b", tmp_path / "results")
    assert merged.summary[["algorithm", "steps", "seeds"]].values.tolist() == [
        ["Classic AC", 100_000, 2],
        ["Stream AC", 200_000, 2],
    ]
    assert len(merged.manifest["kept"]) == 2


def metrics_table(run: Run) -> dict[str, np.ndarray]:
    step = np.array([1_000, 2_000, 3_000, 4_000])
    norm = np.random.default_rng([run.seed, len(run.algorithm)]).normal(5, 1, 4)
    return {"step": step, "trace_norm": norm, "trace_norm_max": 2 * norm}


def test_metrics_of_two_stores_are_those_of_one(tmp_path: Path) -> None:
    row = Row("Hopper-v4", OPTIMISERS[:2], steps=4_000, seeds=4, bin_width=2_000)
    experiment = an_experiment_of_metrics("overshooting", row)
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        # One run of the first store tells nothing, since it diverged at once.
        silent = arm.label == "SGD, 1e-3" and run.seed == 1
        for name in ("a" if run.seed < 2 else "b", "all"):
            publish_metrics(Store(tmp_path / name), run, {} if silent else metrics_table(run), 7 if silent else None)
    built(experiment, tmp_path / "a", tmp_path / "results")
    merged = built(experiment, tmp_path / "b", tmp_path / "results")
    whole = built(experiment, tmp_path / "all", tmp_path / "whole")
    assert_frame_equal(merged.numbers, whole.numbers, check_exact=True)
    assert_frame_equal(merged.summary, whole.summary, check_exact=True)
    assert merged.manifest["diverged_at"] == whole.manifest["diverged_at"] == {merged.manifest["diverged"][0]: 7}


def test_figure_that_needs_every_step_does_not_overwrite_runs_that_are_in_no_store(tmp_path: Path) -> None:
    arms = (Arm("Stream TD(0.8)", "stream_td"),)
    row = Row("ETTm2", arms, steps=3_000, seeds=2, bin_width=1_000)
    experiment = an_experiment_of_metrics("prediction", row)
    for _, _, run in labelled_runs(experiment.preset("quick")):
        table = {"step": np.arange(1, 3_001), "cumulant": np.ones(3_000), "prediction": np.full(3_000, 9.0)}
        for name in (("a", "b")[run.seed], "all"):
            publish_metrics(Store(tmp_path / name), run, table)
    folder = built(experiment, tmp_path / "a", tmp_path / "results").folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="needs every step of them; train them in this store too"):
        built(experiment, tmp_path / "b", tmp_path / "results")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert len(built(experiment, tmp_path / "all", tmp_path / "results").manifest["runs"]) == 2


def test_earlier_report_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    experiment = returns_experiment(seeds=2)
    train(Store(tmp_path / "a"), experiment, (0,))
    train(Store(tmp_path / "b"), experiment, (1,))
    folder = built(experiment, tmp_path / "a", tmp_path / "results").folder
    (folder / "curves.parquet").write_bytes(b"broken")
    with pytest.raises(UserError, match="runs that only it holds would be lost; restore or remove"):
        built(experiment, tmp_path / "b", tmp_path / "results")
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="its runs would be lost; restore or remove"):
        built(experiment, tmp_path / "b", tmp_path / "results")
