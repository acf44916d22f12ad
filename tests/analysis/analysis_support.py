"""What the tests of the analysis share: small experiments, synthetic runs in a store, and what is on the page of a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from analysis.published import FOLDER
from experiments.expand import labelled_runs
from experiments.spec import Arm, Experiment, Kind, Preset, Row, Run
from experiments.specs.simulator import as_published
from experiments.store import Store

STREAM, CLASSIC, SAC = Arm("Stream AC", "stream_ac", emphasised=True), Arm("Classic AC", "classic_ac"), Arm("SAC", "sac")
PAPER_STREAM = {100_000: 418.973, 200_000: 736.075, 500_000: 1263.557}


STREAM_Q, CLASSIC_Q, DQN1 = (
    Arm("Stream Q(0.8)", "stream_q", emphasised=True),
    Arm("Classic Q(0.8)", "classic_q"),
    Arm("DQN1", "dqn1"),
)
STREAM_AC = Arm("Stream AC(0.8)", "stream_ac", emphasised=True)
ABLATION = tuple(
    Arm(label, f"a{i}", emphasised=i == 0)
    for i, label in enumerate(
        ("Stream AC(0.8)", "no ObGD", "no obs/reward norm", "no LayerNorm", "no SparseInit", "Classic AC(0.8)")
    )
)
OPTIMISERS = (Arm("ObGD", "obgd"), Arm("SGD, 1e-3", "sgd"), Arm("Adam, 3e-4", "adam"), Arm("Adam, 1e-7", "small_adam"))
TASKS = tuple(pd.read_csv(FOLDER / "stream_x_curves.csv").query("figure == 'Fig14'")["env"].unique())
GAMES = tuple(pd.read_csv(FOLDER / "stream_x_curves.csv").query("figure == 'Fig12'")["env"].unique())
Draw = Callable[[Experiment, Store], tuple[Figure, pd.DataFrame]]


def barrier(
    envs: tuple[str, ...] = ("Hopper-v4",),
    arms: tuple[Arm, ...] = (CLASSIC, STREAM, SAC),
    steps: int = 500_000,
    width: int = 50_000,
    seeds: int = 3,
) -> Experiment:
    small = as_published(*(Row(env_id, arms, steps, seeds, width, fewer_seeds={"SAC": 2}) for env_id in envs))
    paper = as_published(*(Row(env_id, arms, 20_000_000, 30, 500_000) for env_id in envs))
    presets = {"quick": Preset("small", small), "paper": Preset("the protocol", paper)}
    return Experiment("barrier", "The stream barrier", "Stream-X, Fig. 2", presets, figure="stream_barrier")


def publish_episodes(
    store: Store, run: Run, step: list[int] | np.ndarray, returns: list[float] | np.ndarray, diverged_at: int | None = None
) -> None:
    step = np.asarray(step, np.int64)
    lengths = np.diff(step, prepend=0).astype(np.int32)
    result = {
        "status": "finished" if diverged_at is None else "diverged",
        "steps": diverged_at or run.steps,
        "diverged_at": diverged_at,
    }
    provenance = {
        "git": {"commit": "c0ffee", "dirty": False},
        "machine": {"processor": "a processor", "cores": 4},
        "python": "3.11",
        "packages": {"torch": "2.13.0"},
        "started": f"2026-01-0{1 + run.seed}T00:00:00Z",
        "finished": f"2026-01-0{1 + run.seed}T00:00:00Z",
    }
    table = {"step": step, "episodic_return": np.asarray(returns, np.float64), "length": lengths}
    store.publish(run, {"episodes": table}, result, provenance)


def fill_as_published(store: Store, experiment: Experiment, skip: Mapping[str, int] | None = None) -> None:
    """Publish runs that follow the published Stream AC on Hopper, spread by seed; `skip` leaves out an arm's last seeds."""
    skip = skip or {}
    preset = experiment.preset("quick")
    for row, arm, run in labelled_runs(preset):
        if run.seed >= len(row.seeds_of(arm)) - skip.get(arm.label, 0):
            continue
        step = np.arange(500, run.steps + 1, 500)
        ends = (step + row.bin_width - 1) // row.bin_width * row.bin_width
        level = (
            np.interp(ends, list(PAPER_STREAM), list(PAPER_STREAM.values()))
            if arm.label == "Stream AC"
            else np.full(len(step), 20.0)
        )
        publish_episodes(store, run, step, level + 10.0 * (run.seed - 1))


def an_experiment_of_metrics(figure: str, row: Row) -> Experiment:
    return Experiment("own", "Own", "ours", {"quick": Preset("small", (row,))}, figure, kind="metrics")


def publish_metrics(store: Store, run: Run, table: Mapping[str, np.ndarray], diverged_at: int | None = None) -> None:
    status = "finished" if diverged_at is None else "diverged"
    result = {"status": status, "steps": diverged_at or run.steps, "diverged_at": diverged_at}
    store.publish(run, {"metrics": table} if table else {}, result, {})


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
