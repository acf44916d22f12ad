"""AVG Fig. 1 on synthetic stores: the figure, the comparison and the table."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_support import assert_legible, publish, titled
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from typer.testing import CliRunner

from analysis import compare as comparing
from analysis import plot, readme, report, tables
from analysis.published import avg
from experiments.expand import labelled_runs, runs_of
from experiments.spec import Arm, Experiment, Preset, Row
from experiments.store import Store

LABELS = ("SAC, 1", "SAC, 100", "SAC, 100k", "TD3, 1", "TD3, 100k", "PPO, 1", "PPO, 2048", "Stream AC")


TASKS = ("HalfCheetah-v4", "Hopper-v4")


def avg_value(env_id: str, label: str) -> float | None:
    return avg.values().get((env_id, label))


def an_experiment(steps: int, tasks: tuple[str, ...] = TASKS, labels: tuple[str, ...] = LABELS) -> Experiment:
    arms = tuple(Arm(label, f"a{i}") for i, label in enumerate(labels))
    rows = tuple(Row(env_id, arms, steps=steps, seeds=2, bin_width=10_000) for env_id in tasks)
    paper = tuple(Row(env_id, arms, steps=10_000_000, seeds=30, bin_width=10_000) for env_id in tasks)
    presets = {"laptop": Preset("", rows), "paper": Preset("", paper)}
    return Experiment("buffers", "Buffers", "AVG (arXiv:2411.15370), Fig. 1", presets, "replay_buffer")


def built(experiment: Experiment, folder: Path, diverging: str = "") -> report.Report:
    """Report runs of two seeds that end with what is published times the share of 10M steps that they took, +- 2."""
    store = Store(folder / "runs")
    for row, arm, run in labelled_runs(experiment.preset("laptop")):
        mean = (avg_value(row.env_id, arm.label) or 3000.0) * run.steps / 10_000_000
        # Before the last 10k steps a return that no figure may show.
        step = np.array([run.steps - 10_000, run.steps - 5_000, run.steps])
        returns = np.array([-500.0, mean - 1, mean + 1]) + (4 * run.seed - 2)
        episodes = {"step": step, "episodic_return": returns, "length": np.ones(3, np.int32)}
        lost = run.steps - 2_000 if arm.label == diverging and run.seed == 0 else None
        kept = {name: column[step <= (lost or run.steps)] for name, column in episodes.items()}
        publish(store, run, {"episodes": kept}, lost)
    return report.build(experiment, "laptop", store, folder / "results")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    made: list[Figure] = []

    def save(figure: Figure, stem: Path) -> list[Path]:
        FigureCanvasAgg(figure).draw()
        made.append(figure)
        return []

    monkeypatch.setattr(plot, "save", save)
    return made


@pytest.mark.parametrize("tasks", [TASKS[:1], TASKS, ("Ant-v4", "HalfCheetah-v4", "Hopper-v4", "Humanoid-v4")])
def test_every_size_is_a_point_at_its_mean(
    tmp_path: Path, figures: list[Figure], monkeypatch: pytest.MonkeyPatch, tasks: tuple[str, ...]
) -> None:
    numbers = built(an_experiment(5_000_000, tasks), tmp_path).numbers
    (figure,) = figures
    assert_legible(figure)
    for task in tasks:
        axes = titled(figure, task)
        assert axes.get_xscale() == "log"
        ours = numbers[(numbers["part"] == "ours") & (numbers["env_id"] == task)].set_index("algorithm")
        assert list(ours.index) == list(LABELS)
        assert ours["buffer_size"].tolist() == [1, 100, 100_000, 1, 100_000, 1, 2048, 1]
        for label in LABELS:
            mean = (avg_value(task, label) or 3000.0) / 2
            assert ours.loc[label, "value"] == pytest.approx(mean)
            assert ours.loc[label, "ci90"] == pytest.approx(6.3138 * 2, rel=1e-3)  # t(0.95, 1) * s / sqrt(2), s = sqrt(8)
        # Near its size, a point of ours at every mean.
        points = np.concatenate([np.column_stack(line.get_data()) for line in axes.get_lines() if len(line.get_xdata()) < 8])
        for size, value in zip(ours["buffer_size"], ours["value"], strict=True):
            near = np.abs(points[:, 0] / size - 1) < 0.3
            assert np.isclose(points[near, 1], value).any()
        theirs = numbers[(numbers["part"] == "published") & (numbers["env_id"] == task)]
        assert len(theirs) == 21  # 7 SAC, 7 TD3, 5 PPO, AVG, IAC


@pytest.mark.parametrize(("steps", "apart"), [(500_000, True), (9_000_000, False)])
def test_published_values_far_above_ours_have_a_panel_of_their_own(
    tmp_path: Path, figures: list[Figure], *, steps: int, apart: bool
) -> None:
    ours = built(an_experiment(steps, TASKS[:1]), tmp_path).summary["final_mean"]
    (figure,) = figures
    assert_legible(figure)
    axes = titled(figure, TASKS[0])
    others = [other for other in figure.axes if other is not axes and other.axison]
    assert len(others) == (1 if apart else 0)
    assert [other.get_ylabel() for other in others] == ["published,\n10M steps"] * len(others)
    published_values = pd.Series([value for (env_id, _), value in avg.values().items() if env_id == TASKS[0]])
    for shown, values in [(axes, ours), *((other, published_values) for other in others)]:
        assert shown.get_ylim()[0] <= min(values.min(), 0) < max(values.max(), 0) <= shown.get_ylim()[1]
        # Not pressed into a small part of the panel, and no axis at the right.
        assert np.ptp(shown.get_ylim()) < 3 * np.ptp([*values, 0]) or not apart
        assert shown.yaxis.get_label_position() == "left"


def test_budget_and_divergence_are_told_below(tmp_path: Path, figures: list[Figure], monkeypatch: pytest.MonkeyPatch) -> None:
    built(an_experiment(50_000), tmp_path, diverging="SAC, 100")
    said = " ".join(text.get_text() for text in figures[0].texts)
    assert "50k of 10M steps, 2 of 30 seeds." in said
    assert "last 10k of 10M steps, 30 seeds" in said
    assert "A buffer larger than the number of steps holds the whole run." in said
    assert "SAC, 100 on HalfCheetah-v4 1 of 2" in said
    labels = [text.get_text() for legend in figures[0].legends for text in legend.get_texts()]
    assert {"SAC", "TD3", "PPO", "Stream AC", "AVG, published", "IAC, published", "a run diverged"} <= set(labels)


def test_a_task_that_the_paper_does_not_show_and_arms_without_a_run(
    tmp_path: Path, figures: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = an_experiment(50_000, ("Walker2d-v4",), LABELS[:3])
    numbers = built(experiment, tmp_path).numbers
    assert set(numbers["part"]) == {"ours"}
    assert not any("Published" in text.get_text() for text in figures[0].texts)
    (run,) = (run for run in runs_of(experiment, "laptop") if run.algorithm == "a1" and run.seed == 0)
    store = Store(tmp_path / "one")
    publish(store, run, {"episodes": {name: np.array([50_000]) for name in ("step", "episodic_return", "length")}})
    ours = report.build(experiment, "laptop", store, tmp_path / "elsewhere").numbers.set_index("algorithm")
    assert ours["value"].notna().tolist() == [False, True, False]
    assert any("50k of 10M steps, 1 of 30 seeds (SAC, 1: 0; SAC, 100k: 0)." in text.get_text() for text in figures[-1].texts)
    assert_legible(figures[-1])


def test_a_short_run_is_beside_the_published_value_without_a_verdict(
    tmp_path: Path, figures: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = built(an_experiment(50_000), tmp_path)
    rows = made.comparison.set_index(["env_id", "algorithm"])
    assert rows.loc[("Hopper-v4", "TD3, 100k"), ["step", "published_end", "published_end_steps", "verdict"]].tolist() == [
        *(50_000, 2547, 10_000_000, "begins at 10M")
    ]
    assert rows.loc[("Hopper-v4", "TD3, 100k"), "ours"] == pytest.approx(2547 * 0.005)
    assert rows["published"].drop("Stream AC", level=1).isna().all()
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(tables.render(made.comparison, made.summary, made.manifest, 80))
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "50k of 10M steps, 2 of 30 seeds" in text
    assert any(line.split()[:2] == ["SAC,", "100k"] and line.split()[-1] == "12054" for line in text.splitlines())


def test_a_run_of_the_published_length_has_a_verdict(
    tmp_path: Path, figures: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = built(an_experiment(10_000_000, TASKS[:1], LABELS[:-1]), tmp_path)
    last = made.comparison[made.comparison["step"] == 10_000_000].set_index("algorithm")
    assert set(last["published_paper"] + " " + last["published_figure"]) == {"AVG Fig1"}
    assert last["published"].tolist() == last["published_end"].tolist()
    assert set(last["verdict"]) == {"inside"}
    assert last.loc["PPO, 1", "published"] == -733


def test_compare_command_prints_the_published_values(
    tmp_path: Path, figures: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    built(an_experiment(50_000), tmp_path)
    result = CliRunner().invoke(comparing.app, ["buffers", "--results", str(tmp_path / "results")])
    assert result.exit_code == 0, result.output
    assert "14232" not in result.output  # no arm of that size
    assert "12054" in result.output
    assert "at 10M: AVG, Fig1, whatever our budget: the last 10k steps" in result.output


def test_readme_has_many_arms_down_with_the_published_values_at_their_budget(
    tmp_path: Path, figures: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = (*LABELS, "SAC, 10")
    built(an_experiment(50_000, labels=labels), tmp_path)
    text = readme.experiments_section(tmp_path / "results")
    assert "**Buffers** (AVG, Fig. 1), preset `laptop`. 50k of 10M steps, 2 of 30 seeds." in text
    assert "| return, 90 % interval (published) | HalfCheetah-v4 | Hopper-v4 |" in text
    assert "| SAC, 1 | 13 ± 12.6 (2,593 at 10M) | 1.36 ± 12.6 (271 at 10M) |" in text
