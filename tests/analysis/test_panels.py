"""Several panels of one environment: two masks of one robot, say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from analysis_support import CLASSIC_Q, OPTIMISERS, STREAM_AC, Draw, an_experiment, assert_legible, fill, publish, titled
from typer.testing import CliRunner

from analysis import compare as comparing
from analysis import published, readme, report
from analysis.published import Curve, End, Numbers, Tables
from analysis.published.stream_x import STREAM_X
from experiments import catalog
from experiments.expand import labelled_runs
from experiments.spec import Experiment, Row
from experiments.store import Store

OTHER = dataclasses.replace(CLASSIC_Q, label="Other")


def masked(figure: str = "learning_curves") -> Experiment:
    rows = tuple(
        Row("Hopper-v4", (STREAM_AC, OTHER), 200_000, 2, 50_000, {"mask": mask}, panel=f"Hopper, {mask}") for mask in ("P", "V")
    )
    return an_experiment(rows, figure)


def fill_masked(store: Store, experiment: Experiment) -> None:
    """Publish runs that return 10 where positions are hidden and 20 where velocities are."""
    for row, _, run in labelled_runs(experiment.preset("quick")):
        level = 10.0 if row.panel == "Hopper, P" else 20.0
        episodes = {
            "step": np.arange(1, 5) * 50_000,
            "episodic_return": np.full(4, level) + run.seed,
            "length": np.ones(4, np.int32),
        }
        publish(store, run, {"episodes": episodes})


@pytest.mark.parametrize("figure", ["learning_curves", "stream_barrier"])
def test_two_masks_of_one_robot_are_two_panels(drawn: Draw, tmp_path: Path, figure: str) -> None:
    experiment, store = masked(figure), Store(tmp_path / "runs")
    fill_masked(store, experiment)
    page, numbers = drawn(experiment, store)
    assert_legible(page)
    for name, level in (("Hopper, P", 10.5), ("Hopper, V", 20.5)):
        assert titled(page, name)
        own = numbers[(numbers["panel"] == name) & (numbers["part"] == "curve")]
        assert set(own["value"]) == {level}
        assert set(own["env_id"]) == {"Hopper-v4"}


def test_panel_without_a_run_says_so(drawn: Draw, tmp_path: Path) -> None:
    experiment, store = masked(), Store(tmp_path / "runs")
    for row, _, run in labelled_runs(experiment.preset("quick")):
        if row.panel == "Hopper, P":
            none = {"step": np.empty(0, np.int64), "episodic_return": np.empty(0), "length": np.empty(0, np.int32)}
            publish(store, run, {"episodes": none}, diverged_at=1)  # it was run, though nothing came of it
    page, _ = drawn(experiment, store)
    assert [text.get_text() for text in titled(page, "Hopper, V").texts] == ["no run yet"]
    assert not titled(page, "Hopper, P").texts


def test_panel_with_nothing_in_it_has_no_heights(drawn: Draw, tmp_path: Path) -> None:
    rows = tuple(Row(env_id, (STREAM_AC,), 200_000, 2, 50_000) for env_id in ("Walker2d-v4", "Hopper-v4", "Swimmer-v4"))
    experiment, store = an_experiment(rows), Store(tmp_path / "runs")
    fill(store, an_experiment(rows[:1]))
    page, _ = drawn(experiment, store)
    assert len(titled(page, "Hopper-v4").get_yticks())  # of the published curve
    assert not len(titled(page, "Swimmer-v4").get_yticks())  # of which nothing is published


def test_replay_buffer_and_overshooting_have_panels_too(drawn: Draw, tmp_path: Path) -> None:
    experiment, store = masked("replay_buffer"), Store(tmp_path / "runs")
    fill_masked(store, experiment)
    ours = drawn(experiment, store)[1].query("part == 'ours'")
    assert ours.groupby("panel")["value"].unique().map(list).to_dict() == {"Hopper, P": [10.5], "Hopper, V": [20.5]}
    rows = tuple(Row("Hopper-v4", OPTIMISERS[:1], 10_000, 1, 1_000, {"mask": m}, panel=f"Hopper, {m}") for m in ("P", "V"))
    metrics, other = an_experiment(rows, "overshooting", kind="metrics"), Store(tmp_path / "other")
    for row, _, run in labelled_runs(metrics.preset("quick")):
        publish(
            other, run, {"metrics": {"step": np.array([10_000]), "trace_norm": np.array([float(row.panel == "Hopper, P")])}}
        )
    numbers = drawn(metrics, other)[1]
    last = numbers[numbers["step"] == 10_000].set_index("panel")["mean"]
    assert last.to_dict() == {"Hopper, P": 1.0, "Hopper, V": 0.0}


def test_tables_have_a_part_per_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, store = masked(), Store(tmp_path / "runs")
    fill_masked(store, experiment)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    assert built.summary["panel"].tolist() == ["Hopper, P"] * 2 + ["Hopper, V"] * 2
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    printed = CliRunner().invoke(comparing.app, ["own", "--results", str(tmp_path / "results")])
    assert printed.exit_code == 0, printed.output
    assert [line.split("  ")[0] for line in printed.output.splitlines() if line.startswith("Hopper")] == [
        *("Hopper, P", "Hopper, V")
    ]
    (tmp_path / "results/own/quick").rename(tmp_path / "results/own/laptop")
    section = readme.experiments_section(tmp_path / "results")
    assert "| Hopper, P | 10.5 ± 3.16 (736) |" in section
    assert "| Hopper, V | 20.5 ± 3.16 (736) |" in section


def test_numbers_are_those_of_the_panel_where_the_paper_has_it_and_of_the_environment_elsewhere() -> None:
    tables = Tables(
        {("Hopper-v4", "Own"): (Curve("Paper", "Fig1", 10, 10, (10,), (1.0,)),)},
        {("Hopper, P", "Own"): End(2.0, "Paper", "Fig2", 10)},
    )
    paper = dataclasses.replace(STREAM_X, name="Paper", figures=("Fig1", "Fig2"), read=lambda: tables)
    numbers = Numbers((paper,))
    assert numbers.place("Hopper, P", "Hopper-v4") == "Hopper, P"
    assert numbers.place("Hopper, V", "Hopper-v4") == "Hopper-v4"
    assert numbers.end(numbers.place("Hopper, P", "Hopper-v4"), "Own") == tables.ends["Hopper, P", "Own"]
    found = numbers.lookup(numbers.place("Hopper, V", "Hopper-v4"), "Own", 10, 10)
    assert found is not None
    assert (found.value, found.paper) == (1.0, "Paper")
    assert published.numbers_for("ours").papers == ()
