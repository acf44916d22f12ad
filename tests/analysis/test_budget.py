"""Budgets in words, and arms with fewer steps than the others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_support import CLASSIC, OPTIMISERS, STREAM, Draw, an_experiment, assert_legible, fill, panels_of, publish
from rich.console import Console

from analysis import budget, readme, report, tables
from analysis.budget import Budget
from experiments.expand import labelled_runs
from experiments.spec import Arm, Experiment, Preset, Row
from experiments.store import Store

SLOW = Arm("SAC", "sac")


def arms(**changes: list[int] | str) -> pd.DataFrame:
    frame = {"panel": "Hopper-v4", "env_id": "Hopper-v4", "algorithm": ["Stream AC", "PPO", "SAC"], "seeds": [8, 8, 8]}
    return pd.DataFrame({**frame, "steps": 500_000, **changes})


@pytest.mark.parametrize(
    ("changes", "by_arm", "said"),
    [
        ({}, True, "500k of 20M steps, 8 of 30 seeds"),
        ({"steps": [500_000, 500_000, 200_000]}, True, "500k of 20M steps, 8 of 30 seeds (SAC: 200k steps)"),
        ({"steps": [500_000, 500_000, 200_000]}, False, "500k of 20M steps, 8 of 30 seeds (SAC: 200k steps)"),
        (
            {"steps": [500_000, 100_000, 200_000], "seeds": [8, 2, 8]},
            True,
            "500k of 20M steps, 8 of 30 seeds (PPO 2; PPO: 100k steps; SAC: 200k steps)",
        ),
        ({"seeds": [8, 2, 1]}, False, "500k of 20M steps, 1 to 8 of 30 seeds"),
    ],
)
def test_budget_names_the_arms_that_had_less(changes: dict[str, list[int]], by_arm: bool, said: str) -> None:
    assert budget.stated(arms(**changes), Budget(20_000_000, 30), by_arm) == said


@pytest.mark.parametrize(("names", "said"), [(("Ant-v4", "Hopper-v4"), "Ant-v4, Hopper-v4"), (("A, P", "A, V"), "A, P; A, V")])
def test_panels_of_one_budget_share_a_sentence(names: tuple[str, str], said: str) -> None:
    summary = pd.concat([arms(panel=name) for name in names] + [arms(panel="PongNoFrameskip-v4", seeds=[1, 1, 1])])
    assert budget.sentences(summary, {}) == [f"{said}: 500k steps, 8 seeds.", "Pong: 500k steps, 1 seed."]


@pytest.mark.parametrize("figure", ["learning_curves", "stream_barrier"])
def test_arm_with_fewer_steps_ends_early_and_figure_and_tables_say_its_budget(drawn: Draw, tmp_path: Path, figure: str) -> None:
    row = Row("Hopper-v4", (CLASSIC, SLOW, STREAM), 500_000, 2, 50_000, fewer_steps={"SAC": 200_000})
    experiment, store = an_experiment((row,), figure), Store(tmp_path / "runs")
    fill(store, experiment)
    page, numbers = drawn(experiment, store)
    assert numbers[numbers["part"] == "curve"].groupby("algorithm")["step"].max().to_dict() == {
        **{"Classic AC": 500_000, "SAC": 200_000, "Stream AC": 500_000}
    }
    assert_legible(page)
    assert any("(SAC: 200k steps)" in text.get_text() for text in page.texts)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    ends = built.summary.set_index("algorithm")
    assert ends.loc["SAC", ["final_step", "steps", "seeds"]].tolist() == [200_000, 200_000, 2]
    # The last bin of each arm is that of its own budget.
    assert built.comparison[built.comparison["algorithm"] == "SAC"]["step"].tolist() == [100_000, 200_000]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(tables.render(built.comparison, built.summary, built.manifest, 100))
    assert "(SAC: 200k steps)" in console.export_text()


def test_metrics_of_an_arm_with_fewer_steps_have_bins_of_its_own_budget(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", OPTIMISERS[:2], 10_000, 1, 1_000, fewer_steps={"SGD, 1e-3": 4_000})
    experiment, store = an_experiment((row,), "overshooting", kind="metrics"), Store(tmp_path / "runs")
    for _, _, run in labelled_runs(experiment.preset("quick")):
        step = np.arange(1_000, run.steps + 1, 1_000)
        publish(store, run, {"metrics": {"step": step, "trace_norm": step / 1_000.0}})
    page, numbers = drawn(experiment, store)
    assert numbers.groupby("algorithm")["step"].max().to_dict() == {"ObGD": 10_000, "SGD, 1e-3": 4_000}
    assert any("(SGD, 1e-3: 4k steps)" in text.get_text() for text in page.texts)
    assert len(panels_of(page)) == 1


def test_readme_says_the_budget_of_an_arm_with_fewer_steps(tmp_path: Path) -> None:
    row = Row("Hopper-v4", (STREAM, SLOW), 500_000, 2, 50_000, fewer_steps={"SAC": 200_000})
    experiment = Experiment("own", "Own", "Stream-X, Fig. 7", {"laptop": Preset("", (row,))}, "learning_curves")
    store = Store(tmp_path / "runs")
    for _, _, run in labelled_runs(experiment.preset("laptop")):
        episodes = {"step": np.array([run.steps]), "episodic_return": np.array([1.0]), "length": np.ones(1, np.int32)}
        publish(store, run, {"episodes": episodes})
    report.build(experiment, "laptop", store, tmp_path / "results")
    assert "500k of 20M steps, 2 of 30 seeds (SAC: 200k steps)." in readme.experiments_section(tmp_path / "results")
