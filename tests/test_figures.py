"""Figures on synthetic stores: panels, axes, colours, marks, and no text over another or off the page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from analysis import plot, prediction, published, readme, report
from analysis.figures import learning_curves
from experiments import expand
from experiments.expand import labelled_runs, runs_of
from experiments.spec import Arm, Experiment, Kind, Preset, Row, Run
from experiments.store import Store

STREAM_Q, CLASSIC_Q, DQN1 = Arm("Stream Q(0.8)", "stream_q"), Arm("Classic Q(0.8)", "classic_q"), Arm("DQN1", "dqn1")
STREAM_AC = Arm("Stream AC(0.8)", "stream_ac")
ABLATION = tuple(
    Arm(label, f"a{i}")
    for i, label in enumerate(
        ("Stream AC(0.8)", "no ObGD", "no obs/reward norm", "no LayerNorm", "no SparseInit", "Classic AC(0.8)")
    )
)
TASKS = tuple(pd.read_csv(published.PAPER / "stream_x_curves.csv").query("figure == 'Fig14'")["env"].unique())
GAMES = tuple(pd.read_csv(published.PAPER / "stream_x_curves.csv").query("figure == 'Fig12'")["env"].unique())

Draw = Callable[[Experiment, Store], tuple[Figure, pd.DataFrame]]


@pytest.fixture(autouse=True)
def plain_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs without the registry, which would import the learners."""

    def resolve(row: Row, arm: Arm, seed: int) -> Run:
        return Run(arm.algorithm, (("label", arm.label),), row.env_id, (), row.steps, seed)

    monkeypatch.setattr(expand, "resolve", resolve)


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Report an experiment and return its figure, laid out as it is saved, and the numbers drawn."""
    figures: list[Figure] = []

    def save(figure: Figure, stem: Path) -> list[Path]:
        FigureCanvasAgg(figure).draw()
        figures.append(figure)
        return []

    def draw(experiment: Experiment, store: Store) -> tuple[Figure, pd.DataFrame]:
        built = report.build(experiment, "quick", store, tmp_path / "results")
        return figures[-1], built.numbers

    monkeypatch.setattr(plot, "save", save)
    return draw


def an_experiment(rows: tuple[Row, ...], figure: str = "learning_curves", kind: Kind = "returns") -> Experiment:
    return Experiment("own", "Own", "Stream-X, Fig. 7", {"quick": Preset("", rows)}, figure, kind=kind)


def publish(store: Store, run: Run, tables: dict[str, dict[str, np.ndarray]], diverged_at: int | None = None) -> None:
    status = "finished" if diverged_at is None else "diverged"
    store.publish(run, tables, {"status": status, "steps": diverged_at or run.steps, "diverged_at": diverged_at}, {})


def fill(store: Store, experiment: Experiment, diverging: dict[tuple[str, str], int] | None = None, scale: float = 1.0) -> None:
    """Publish runs that end an episode every hundredth of their steps, with returns that grow, or end early."""
    for row, arm, run in labelled_runs(experiment.preset("quick")):
        diverged_at = (diverging or {}).get((row.env_id, arm.label)) if run.seed == 0 else None
        step = np.arange(1, 101) * (run.steps // 100)
        step = step[step < (diverged_at or run.steps + 1)]
        returns = scale * (100.0 * step / run.steps + 10 * run.seed + 7 * len(arm.label))
        episodes = {"step": step, "episodic_return": returns, "length": np.ones(len(step), np.int32)}
        publish(store, run, {"episodes": episodes}, diverged_at)


def panels_of(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.axison]


def titled(figure: Figure, title: str) -> Axes:
    (axes,) = (axes for axes in figure.axes if axes.get_title() == title)
    return axes


def texts(figure: Figure) -> Iterator[Text]:
    """Every text that is on the page, without ticks beyond the limits of their axis."""
    containers: list[Any] = [figure, *figure.subfigs]
    for container in containers:
        yield from container.texts
        for legend in container.legends:
            yield from legend.get_texts()
    for axes in panels_of(figure):
        yield from (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
        yield from (text for legend in axes.findobj(Legend) for text in legend.get_texts())
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-9 * (high - low)
            yield from (tick.label1 for tick in axis.get_major_ticks() if low - slack <= tick.get_loc() <= high + slack)
            yield axis.get_offset_text()


def assert_legible(figure: Figure) -> None:
    """No two texts overlap, and none leaves the page."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    page = figure.bbox
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts(figure) if t.get_visible() and t.get_text().strip()]
    assert len(boxes) > 5
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.width and box.y1 <= page.height
        assert inside, f"{text!r} leaves the page"
    for (one, a), (other, b) in combinations(boxes, 2):
        across, down = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 1 or down <= 1, f"{one!r} over {other!r}"


# Learning curves


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
    (line,) = panels_of(figure)[0].lines
    assert line.get_xydata().tolist() == [[500, 12], [1000, 22]]


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
    assert dashed.get_linestyle() == "--" or not dashed.get_linestyle().startswith("-")


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
        assert {line.get_xdata()[-1] for line in curves} == {200_000_000}
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
    assert [text.get_text() for text in qbert.texts] == ["DQN@200M: 13.1k \N{UPWARDS ARROW}"]
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
    assert keys == ["Stream Q(0.8)", "ours", "90 % t interval", "published", "DQN@5M, from the literature"]
    assert panels_of(figure)[0].get_xlabel() == "environment steps"


def test_diverged_run_is_marked_in_panel_legend_and_small_print(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", ABLATION[:4], steps=200_000, seeds=2, bin_width=20_000)
    experiment, store = an_experiment((row,)), Store(tmp_path / "runs")
    fill(store, experiment, {("Hopper-v4", "no LayerNorm"): 90_000})
    figure, numbers = drawn(experiment, store)
    (cross,) = [line for line in panels_of(figure)[0].lines if line.get_marker() == "x"]
    assert cross.get_xdata().tolist() == [80_000]
    assert cross.get_color() == plot.COLOURS["no LayerNorm"]
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


# Colours and text


def luminance(colour: str) -> float:
    return float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))


def test_a_method_has_one_colour_and_its_second_arm_a_lighter_shade() -> None:
    figure_8 = plot.colours([["Stream AC(0.8)", "Stream AC(0)", "Classic AC(0.8)", "Classic AC(0)"]])
    assert figure_8["Stream AC(0.8)"] == plot.COLOURS["Stream AC"]
    assert figure_8["Classic AC(0.8)"] == plot.COLOURS["Classic AC"]
    assert luminance(figure_8["Stream AC(0)"]) > luminance(figure_8["Stream AC(0.8)"]) + 0.15
    assert luminance(figure_8["Classic AC(0)"]) > luminance(figure_8["Classic AC(0.8)"]) + 0.15
    # Alike in different panels, as in Fig. 2, but never in one.
    figure_2 = plot.colours([["Stream AC", "PPO1"], ["Stream Q", "DQN1"]])
    assert figure_2["Stream Q"] == figure_2["Stream AC"]
    assert figure_2["DQN1"] == figure_2["PPO1"]
    together = plot.colours([["Stream Q(0.8)", "Stream SARSA(0.8)", "mine", "mine, faster", "yours"]])
    assert len(set(together.values())) == 5


def test_ablated_arms_are_told_apart_in_grey() -> None:
    colours = plot.colours([[arm.label for arm in ABLATION]])
    levels = sorted(luminance(colour) for colour in colours.values())
    assert np.diff(levels).min() > 0.04


@pytest.mark.parametrize("width", [1.5, 4.0])
def test_wrapped_lines_fit_and_keep_every_word(width: float) -> None:
    text = "Hopper-v4, Walker2d-v4, dm_control/dog-stand-v0: 20M of 20M steps, 30 of 30 seeds (PPO 2, SAC1 2)."
    lines = plot.wrap(text, width, 6.5)
    assert " ".join(lines) == text
    assert len(lines) > 1
    assert all(plot.text_inches(line, 6.5) <= width + 0.02 for line in lines)


# Fig. 2 with Atari


def test_bars_of_atari_stand_beside_the_published_dqn(drawn: Draw, tmp_path: Path) -> None:
    control = tuple(Arm(label, label) for label in ("Classic AC", "PPO1", "SAC1", "Stream AC", "PPO", "SAC"))
    atari = (CLASSIC_Q, DQN1, STREAM_Q)
    rows = tuple(
        Row(env_id, control, steps=1_000_000, seeds=2, bin_width=500_000)
        for env_id in ("Hopper-v4", "Walker2d-v4", "dm_control/dog-stand-v0", "dm_control/cheetah-run-v0")
    )
    rows += tuple(
        Row(f"{game}NoFrameskip-v4", atari, steps=1_250_000, seeds=2, bin_width=1_250_000) for game in ("Breakout", "Enduro")
    )
    experiment, store = an_experiment(rows, "stream_barrier"), Store(tmp_path / "runs")
    fill(store, experiment)
    figure, numbers = drawn(experiment, store)
    hollow = numbers[numbers["part"] == "published bar"].set_index("env_id")
    assert hollow["value"].to_dict() == {"BreakoutNoFrameskip-v4": 385, "EnduroNoFrameskip-v4": 729}
    assert set(hollow["algorithm"]) == {"DQN"}
    breakout = titled(figure, "Breakout")
    assert [tick.get_text() for tick in breakout.get_xticklabels()] == ["Classic Q(0.8)", "DQN1", "Stream Q(0.8)", "DQN"]
    # Drawn to scale where there is room, else cut off and marked.
    assert "385" in [text.get_text() for text in breakout.texts]
    enduro = titled(figure, "Enduro")
    assert "729 \N{UPWARDS ARROW}" in [text.get_text() for text in enduro.texts]
    assert enduro.get_ylim()[1] < 729
    assert [tick.get_text() for tick in titled(figure, "Hopper-v4").get_xticklabels()] == [arm.label for arm in control]
    assert any("not run here" in text.get_text() for text in figure.texts)


# Predictions


def publish_prediction(store: Store, run: Run, channels: bool, error: float) -> np.ndarray:
    cumulants = 0.5 + 0.4 * np.sin(np.arange(run.steps) / 50)
    returns = prediction.returns(cumulants, 0.99)
    table = {"step": np.arange(1, run.steps + 1), "prediction": returns + error, "cumulant": cumulants}
    if channels:
        table |= {f"obs_{i}": cumulants * (i + 1) for i in range(7)}
    publish(store, run, {"metrics": table})
    return returns


@pytest.mark.parametrize(
    ("steps", "windows"), [(3_000, ["(a) steps 0 to 3k"]), (68_000, ["(a) steps 0 to 5k", "(b) steps 63k to 68k"])]
)
def test_predictions_are_drawn_over_the_return_in_the_papers_windows(
    drawn: Draw, tmp_path: Path, steps: int, windows: list[str]
) -> None:
    arms = (Arm("Stream TD(0.8)", "stream_td"), Arm("Classic TD(0.8)", "classic_td"))
    row = Row("ETTm2", arms, steps=steps, seeds=2, bin_width=1000)
    experiment, store = an_experiment((row,), "prediction", kind="metrics"), Store(tmp_path / "runs")
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        error = (1.0 if arm is arms[0] else 5.0) * (1 + run.seed)
        returns = publish_prediction(store, run, channels=False, error=error)
    figure, numbers = drawn(experiment, store)
    assert [axes.get_title() for axes in panels_of(figure)][1:] == windows
    assert_legible(figure)
    values = numbers.set_index(["part", "algorithm", "step"])
    at = 1_500
    assert values.loc[("return", "True return", at), "value"] == pytest.approx(returns[at - 1])
    # Two runs, 1 and 2 off: mean 1.5, t(0.95, 1) = 6.3138.
    stream = values.loc[("prediction", "Stream TD(0.8)", at)]
    assert stream["value"] - returns[at - 1] == pytest.approx(1.5)
    assert stream["ci90"] == pytest.approx(6.3138 / 2, rel=1e-4)
    # What the end of the run cuts off is not drawn.
    assert numbers.loc[(numbers["part"] == "return") & (numbers["step"] > steps - 687), "value"].isna().all()
    assert numbers.loc[(numbers["part"] == "return") & (numbers["step"] < steps - 700), "value"].notna().all()


def test_stream_shows_its_channels_where_a_run_recorded_them(drawn: Draw, tmp_path: Path) -> None:
    arms = (Arm("Classic TD(0.8)", "classic_td"), Arm("Stream TD(0.8)", "stream_td"))
    row = Row("ETTm2", arms, steps=68_000, seeds=1, bin_width=1000)
    experiment, store = an_experiment((row,), "prediction", kind="metrics"), Store(tmp_path / "runs")
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        publish_prediction(store, run, channels=arm is arms[1], error=0.0)
    figure, numbers = drawn(experiment, store)
    stream = numbers[numbers["part"] == "stream"]
    assert list(dict.fromkeys(stream["algorithm"])) == ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    assert (stream["step"].min() > 66_000, stream["step"].max()) == (True, 68_000)
    assert titled(figure, "ETTm2").get_xlim() == (66_000, 68_000)
    assert_legible(figure)


# Overshooting

OPTIMISERS = (Arm("ObGD", "obgd"), Arm("SGD, 1e-3", "sgd"), Arm("Adam, 3e-4", "adam"), Arm("Adam, 1e-7", "adam"))


def publish_overshooting(store: Store, experiment: Experiment, columns: dict[str, float], seeds_diverge: bool) -> None:
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        sgd = arm.label.startswith("SGD")
        diverged_at = 6500 if sgd and seeds_diverge else None
        step = np.arange(1000, (diverged_at or run.steps) + 1, 1000)
        scale = {"ObGD": 1.0, "SGD, 1e-3": 1e4, "Adam, 3e-4": 10.0, "Adam, 1e-7": 1e-3}[arm.label]
        table: dict[str, np.ndarray] = {"step": step}
        for name, value in columns.items():
            table[name] = np.full(len(step), value if name in ("overshoot", "bound_active") else value * scale) + 0.0
            table[f"{name}_max"] = 2 * table[name]
        if sgd:
            table.pop("bound_active", None)
            table["effective_step_size"][-2:] = np.inf
        publish(store, run, {"metrics": table}, diverged_at)


@pytest.mark.parametrize("envs", [("Hopper-v4",), ("Hopper-v4", "HalfCheetah-v4", "MinAtar/Breakout-v1")])
def test_overshooting_has_a_panel_per_metric_and_environment(drawn: Draw, tmp_path: Path, envs: tuple[str, ...]) -> None:
    rows = tuple(Row(env_id, OPTIMISERS, steps=10_000, seeds=2, bin_width=1000) for env_id in envs)
    experiment, store = an_experiment(rows, "overshooting", kind="metrics"), Store(tmp_path / "runs")
    columns = {"trace_norm": 5.0, "overshoot": 0.4, "effective_step_size": 0.1, "bound_active": 1.0, "my own": 2.0}
    publish_overshooting(store, experiment, columns, seeds_diverge=True)
    figure, numbers = drawn(experiment, store)
    panels = panels_of(figure)
    titles = ["effective step size", "share that overshoots", "L1 norm of the trace", "share that is bounded", "my own"]
    assert [axes.get_title() for axes in panels][:5] == titles
    assert len(panels) == 5 * len(envs)
    assert_legible(figure)
    assert titled(figure, "effective step size").get_yscale() == "log"
    assert titled(figure, "share that overshoots").get_yscale() == "linear"
    assert titled(figure, "share that overshoots").get_ylim()[1] >= 1
    # Infinite bins are marked at the top, the run that diverged with a cross, and nobody pretends the maximum is a metric.
    marked = [line.get_xdata().tolist() for line in titled(figure, "effective step size").lines if line.get_marker() == "^"]
    assert [x for x in marked if x] == [[5000, 6000]]
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


def test_overshooting_without_any_metric_is_still_a_figure(drawn: Draw, tmp_path: Path) -> None:
    row = Row("Hopper-v4", OPTIMISERS[:1], steps=10_000, seeds=1, bin_width=1000)
    experiment, store = an_experiment((row,), "overshooting", kind="metrics"), Store(tmp_path / "runs")
    publish(store, runs_of(experiment, "quick")[0], {}, diverged_at=3)
    figure, numbers = drawn(experiment, store)
    assert numbers.empty
    assert any("ObGD on Hopper-v4 1 of 1" in text.get_text() for text in figure.texts)


# README


def test_readme_lists_checked_in_reports_with_budget_and_final_comparison(tmp_path: Path) -> None:
    results = tmp_path / "results"
    rows = tuple(Row(env_id, ABLATION[:2], steps=2_000_000, seeds=2, bin_width=50_000) for env_id in ("Ant-v4", "Hopper-v4"))
    presets = {name: Preset("", rows) for name in ("anchors", "quick")}
    presets["paper"] = Preset("", tuple(dataclasses.replace(row, seeds=30) for row in rows))
    ablation = Experiment("ablation", "What it is worth", "Stream-X (arXiv:2410.14606v2), Fig. 7", presets, "learning_curves")
    row = Row("Hopper-v4", OPTIMISERS[:1], steps=10_000, seeds=1, bin_width=1000)
    own = Experiment("far", "How far", "ours", {"laptop": Preset("", (row,))}, "overshooting", kind="metrics")
    store = Store(tmp_path / "runs")
    for run in runs_of(ablation, "anchors"):
        episodes = {
            "step": np.array([2_000_000]),
            "episodic_return": np.array([1000.0 + 4 * run.seed]),
            "length": np.ones(1, np.int32),
        }
        publish(store, run, {"episodes": episodes})
    publish(store, runs_of(own, "laptop")[0], {"metrics": {"step": np.array([10_000]), "trace_norm": np.array([3.0])}})
    report.build(ablation, "anchors", store, results)
    report.build(ablation, "quick", store, results)
    report.build(ablation, "anchors", store, results, seeds=1)
    report.build(own, "laptop", store, results)
    text = readme.filled("before\n<!-- experiments -->\nold\n<!-- end -->\nafter\n", results)
    assert text.startswith(
        "before\n<!-- experiments -->\n**What it is worth** (Fig. 7), preset `anchors`. 2M of 2M steps, 2 of 30 seeds."
    )
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    assert "](results/ablation/anchors/figures/ablation.png)" in text
    # Two runs 4 apart: s = 2.83, t(0.95, 1) = 6.31.
    assert "| Hopper-v4 | 1,002 ± 12.6 (1,786) | 1,002 ± 12.6 (22) |" in text
    assert text.count("**What it is worth**") == 1
    assert text.index("Fig. 7") < text.index("**How far** (ours), preset `laptop`")
    assert "| Hopper-v4, ObGD | 3 |" in text
    assert json.loads((results / "far/laptop/manifest.json").read_text())["rows"][0]["paper"] is None


def test_readme_without_a_marker_stays_as_it_is(tmp_path: Path) -> None:
    assert readme.filled("nothing to fill\n", tmp_path) == "nothing to fill\n"


def test_readme_section_is_empty_before_anything_is_checked_in(tmp_path: Path) -> None:
    text = "a\n<!-- experiments -->\n<!-- end -->\nb\n"
    assert readme.filled(text, tmp_path) == text
    assert readme.filled(text.replace("<!-- end", "old\n<!-- end"), tmp_path) == text
