"""Panels of learning curves on synthetic stores: axes, colours, marks, and no text over another or off the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from analysis_support import (
    ABLATION,
    CLASSIC_Q,
    DQN1,
    GAMES,
    STREAM_AC,
    STREAM_Q,
    TASKS,
    Draw,
    an_experiment,
    assert_legible,
    fill,
    panels_of,
    publish,
    titled,
)
from matplotlib.colors import to_rgb

from analysis.figures import learning_curves
from analysis.learner_style import STYLES
from experiments.expand import labelled_runs
from experiments.spec import Row
from experiments.store import Store


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 4), (6, 3), (8, 4), (16, 4), (26, 4)])
def test_panels_stand_in_the_order_of_the_rows(drawn: Draw, tmp_path: Path, count: int, columns: int) -> None:
    arms, seeds = (ABLATION, 2) if count <= 4 else (ABLATION[:2], 1)
    rows = tuple(Row(env_id, arms, steps=200_000, seeds=seeds, bin_width=50_000) for env_id in TASKS[:count])
    experiment, store = an_experiment(rows), Store(tmp_path / "runs")
    fill(store, experiment, {(TASKS[0], "no LayerNorm"): 120_000}, scale=1000.0)  # returns that take room beside the axis
    figure, numbers = drawn(experiment, store)
    panels = panels_of(figure)
    assert [axes.get_title() for axes in panels] == list(TASKS[:count])
    assert learning_curves.columns_for(count) == columns
    places = [(round(axes.get_position().y0, 2), round(axes.get_position().x0, 2)) for axes in panels]
    assert len({x for _, x in places}) == columns
    assert places == sorted(places, key=lambda place: (-place[0], place[1]))
    assert_legible(figure)
    assert set(numbers["env_id"]) == set(TASKS[:count])


def test_learning_curve_is_the_mean_of_its_bins_with_its_band(drawn: Draw, tmp_path: Path) -> None:
    row = Row("MyOwn-v0", (STREAM_AC,), steps=1000, seeds=2, bin_width=500)
    experiment, store = an_experiment((row,)), Store(tmp_path / "runs")
    for _, _, run in labelled_runs(experiment.preset("quick")):
        returns = np.array([10.0, 20.0]) + 4 * run.seed
        episodes = {"step": np.array([300, 900]), "episodic_return": returns, "length": np.ones(2, np.int32)}
        publish(store, run, {"episodes": episodes})
    figure, numbers = drawn(experiment, store)
    assert numbers["part"].tolist() == ["curve", "curve"]
    assert numbers["value"].tolist() == [12.0, 22.0]
    # Two runs 4 apart: s = sqrt(8), t(0.95, 1) = 6.3138.
    assert numbers["ci90"].tolist() == pytest.approx([6.3138 * np.sqrt(8) / np.sqrt(2)] * 2, rel=1e-4)
    *single, line = panels_of(figure)[0].lines
    # At the centres of the bins; two runs are too few for a band, and are drawn themselves.
    assert line.get_xydata().tolist() == [[250, 12], [750, 22]]
    assert [run.get_xydata().tolist() for run in single] == [[[250, 10], [750, 20]], [[250, 14], [750, 24]]]
    assert not panels_of(figure)[0].collections


def test_band_of_five_seeds_is_their_90_percent_t_interval(drawn: Draw, tmp_path: Path) -> None:
    row = Row("MyOwn-v0", (STREAM_AC,), steps=1000, seeds=5, bin_width=500)
    experiment, store = an_experiment((row,)), Store(tmp_path / "runs")
    for _, _, run in labelled_runs(experiment.preset("quick")):
        returns = np.array([10.0, 20.0]) + run.seed
        episodes = {"step": np.array([300, 900]), "episodic_return": returns, "length": np.ones(2, np.int32)}
        publish(store, run, {"episodes": episodes})
    figure, numbers = drawn(experiment, store)
    (axes,) = panels_of(figure)
    (line,) = axes.lines
    (band,) = axes.collections
    corners = band.get_paths()[0].vertices
    half = 2.1318 * np.sqrt(2.5) / np.sqrt(5)  # t(0.95, 4), s of 0 to 4
    assert numbers["ci90"].tolist() == pytest.approx([half] * 2, rel=1e-4)
    assert line.get_ydata().tolist() == [12, 22]
    for x, mean in ((250, 12), (750, 22)):
        ends = corners[corners[:, 0] == x][:, 1]
        assert (ends.min(), ends.max()) == pytest.approx((mean - half, mean + half), rel=1e-4)


def test_published_curve_is_drawn_behind_ours_in_a_lighter_shade(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", (STREAM_AC,), steps=200_000, seeds=1, bin_width=50_000)
    experiment, store = an_experiment((row,)), Store(tmp_path / "runs")
    fill(store, experiment)
    figure, numbers = drawn(experiment, store)
    theirs = numbers[numbers["part"] == "published curve"]
    assert theirs["step"].tolist() == [50_000, 100_000, 150_000, 200_000]
    assert theirs["value"].tolist()[1::2] == [418.973, 736.075]
    ours, dashed = panels_of(figure)[0].lines[0], panels_of(figure)[0].lines[-1]
    assert sum(to_rgb(dashed.get_color())) > sum(to_rgb(ours.get_color()))
    assert dashed.get_linestyle() != "-"
    assert dashed.get_marker() == ours.get_marker() == STYLES["Stream AC"].marker
    assert (dashed.get_markerfacecolor(), ours.get_markerfacecolor()) == ("white", STYLES["Stream AC"].colour)
    assert dashed.get_xdata()[0] == ours.get_xdata()[0] == 25_000


def test_published_bins_much_wider_than_ours_are_drawn_as_wide_as_they_are(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", (STREAM_AC,), steps=120_000, seeds=1, bin_width=10_000)
    experiment, store = an_experiment((row,)), Store(tmp_path / "runs")
    fill(store, experiment)
    figure, numbers = drawn(experiment, store)
    assert numbers.loc[numbers["part"] == "published curve", "step"].tolist() == [50_000, 100_000]
    stairs = next(line for line in panels_of(figure)[0].lines if line.get_drawstyle() == "steps-pre")
    assert stairs.get_xdata().tolist() == [0, 50_000, 100_000]
    assert stairs.get_ydata().tolist()[1:] == [pytest.approx(231.5, abs=20), 418.973]
    # Nothing at all where no whole published bin lies within our budget.
    short = an_experiment((Row("Hopper-v4", (STREAM_AC,), steps=40_000, seeds=1, bin_width=10_000),))
    fill(store, short)
    assert "published curve" not in set(drawn(short, store)[1]["part"])


def test_atari_has_frames_on_its_axis_and_steps_in_its_numbers(drawn: Draw, tmp_path: Path) -> None:
    rows = tuple(
        Row(f"{game}NoFrameskip-v4", (STREAM_Q, CLASSIC_Q, DQN1), steps=50_000_000, seeds=1, bin_width=1_250_000)
        for game in GAMES
    )
    experiment, store = an_experiment(rows), Store(tmp_path / "runs")
    fill(store, experiment)
    figure, numbers = drawn(experiment, store)
    panels = panels_of(figure)
    assert [axes.get_title() for axes in panels] == list(GAMES)
    for axes in panels:
        assert axes.get_xlim() == (0, 200_000_000)
        # Three arms and what is published of them; the reference line has two points.
        curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
        assert len(curves) == (5 if axes.get_title() == "Bowling" else 6)
        assert {line.get_xdata()[-1] for line in curves} == {197_500_000}
    assert {axes.get_xlabel() for axes in panels[-4:]} == {"frames"}
    assert numbers["step"].max() == 50_000_000
    assert_legible(figure)
    printed = " ".join(text.get_text() for text in figure.texts)
    assert "(200M of 200M frames)" in printed
    reference = numbers[numbers["part"] == "reference"].set_index("env_id")["value"]
    assert reference["QbertNoFrameskip-v4"] == pytest.approx(13117.3, abs=0.1)
    # Stream Q of Fig. 12 reaches 4851 on Qbert: the line is within the panel.
    assert titled(figure, "Qbert").get_ylim()[1] > 13117


def test_reference_far_above_the_curves_is_named_instead_of_drawn(drawn: Draw, tmp_path: Path) -> None:
    row = Row("PongNoFrameskip-v4", (STREAM_Q,), steps=500_000, seeds=1, bin_width=50_000)
    far = Row("QbertNoFrameskip-v4", (STREAM_Q,), steps=500_000, seeds=1, bin_width=50_000)
    experiment, store = an_experiment((row, far)), Store(tmp_path / "runs")
    fill(store, experiment)
    figure, _ = drawn(experiment, store)
    pong, qbert = titled(figure, "Pong"), titled(figure, "Qbert")
    assert [text.get_text() for text in qbert.texts] == ["DQN after 200M frames: 13.1k \N{UPWARDS ARROW}"]
    assert not pong.texts
    assert [19.5, 19.5] in [list(line.get_ydata()) for line in pong.lines]
    assert qbert.get_ylim()[1] < 1000
    assert_legible(figure)


def test_minatar_has_its_reference_line_in_the_legend(drawn: Draw, tmp_path: Path) -> None:
    row = Row("MinAtar/Breakout-v1", (STREAM_Q,), steps=500_000, seeds=1, bin_width=125_000)
    experiment, store = an_experiment((row,)), Store(tmp_path / "runs")
    fill(store, experiment)
    figure, _ = drawn(experiment, store)
    keys = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert keys == ["Stream Q(0.8)", "ours", "published", "DQN after 5M frames, from the literature"]
    assert panels_of(figure)[0].get_xlabel() == "environment steps"


def test_diverged_run_is_marked_in_panel_legend_and_small_print(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", ABLATION[:4], steps=200_000, seeds=2, bin_width=20_000)
    experiment, store = an_experiment((row,)), Store(tmp_path / "runs")
    fill(store, experiment, {("Hopper-v4", "no LayerNorm"): 90_000})
    figure, numbers = drawn(experiment, store)
    (cross,) = [line for line in panels_of(figure)[0].lines if line.get_marker() == "x"]
    assert cross.get_xdata().tolist() == [70_000]
    assert cross.get_color() == STYLES["no LayerNorm"].colour
    assert "a run diverged" in [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "Runs diverged: no LayerNorm on Hopper-v4 1 of 2." in [text.get_text() for text in figure.texts]
    assert numbers.loc[numbers["algorithm"] == "no LayerNorm", "diverged"].max() == 1


def test_arm_without_a_run_still_shows_what_was_published(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", ABLATION, steps=200_000, seeds=1, bin_width=50_000, fewer_seeds={"no ObGD": 0})
    experiment, store = an_experiment((row,)), Store(tmp_path / "runs")
    fill(store, experiment)
    _, numbers = drawn(experiment, store)
    assert set(numbers.loc[numbers["algorithm"] == "no ObGD", "part"]) == {"published curve"}
    assert set(numbers.loc[numbers["algorithm"] == "no SparseInit", "part"]) == {"published curve", "curve"}
