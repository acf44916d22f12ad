"""Binning, intervals, published numbers, comparison and reports, on small synthetic stores."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from analysis import budget, figures, load, metrics, prediction, published, report, statistics, tables
from analysis import compare as comparing
from analysis import curves as binning
from analysis.statistics import Mean
from experiments import catalog, expand
from experiments.errors import UserError
from experiments.expand import labelled_runs, runs_of
from experiments.spec import Arm, Experiment, Preset, Row, Run, Value
from experiments.store import Store

STREAM, CLASSIC, SAC = Arm("Stream AC", "stream_ac"), Arm("Classic AC", "classic_ac"), Arm("SAC", "sac")
PAPER_STREAM = {100_000: 418.973, 200_000: 736.075, 500_000: 1263.557}


@pytest.fixture(autouse=True)
def plain_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs without the registry, which would import the learners."""

    def resolve(row: Row, arm: Arm, seed: int) -> Run:
        hyperparameters = tuple(sorted(arm.hyperparameters.items()))
        return Run(arm.algorithm, hyperparameters, row.env_id, tuple(sorted(row.environment.items())), row.steps, seed)

    monkeypatch.setattr(expand, "resolve", resolve)


def an_experiment(
    envs: tuple[str, ...] = ("Hopper-v4",),
    arms: tuple[Arm, ...] = (CLASSIC, STREAM, SAC),
    steps: int = 500_000,
    width: int = 50_000,
    seeds: int = 3,
) -> Experiment:
    small = tuple(Row(env_id, arms, steps, seeds, width, fewer_seeds={"SAC": 2}) for env_id in envs)
    paper = tuple(Row(env_id, arms, 20_000_000, 30, 500_000) for env_id in envs)
    presets = {"quick": Preset("small", small), "paper": Preset("the protocol", paper)}
    return Experiment("barrier", "The stream barrier", "Fig. 2", presets, figure="stream_barrier")


def publish(
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


def fill(store: Store, experiment: Experiment, skip: Mapping[str, int] | None = None) -> None:
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
        publish(store, run, step, level + 10.0 * (run.seed - 1))


# Binning


def test_episode_that_ends_on_the_edge_belongs_to_the_bin_it_closes() -> None:
    means, episodes = binning.bin_returns(np.array([1, 10, 11, 20]), np.array([1.0, 3.0, 5.0, 9.0]), width=10, steps=20)
    assert means.tolist() == [2.0, 7.0]
    assert episodes.tolist() == [2, 2]


def test_bin_without_an_episode_is_nan_and_so_is_a_run_without_any() -> None:
    means, episodes = binning.bin_returns(np.array([5, 25]), np.array([1.0, 2.0]), width=10, steps=30)
    assert means[0] == 1.0
    assert math.isnan(means[1])
    assert means[2] == 2.0
    assert episodes.tolist() == [1, 0, 1]
    empty, _ = binning.bin_returns(np.array([], np.int64), np.array([]), width=10, steps=30)
    assert np.isnan(empty).all()
    assert len(empty) == 3


def test_steps_beyond_the_last_whole_bin_are_in_no_bin() -> None:
    means, episodes = binning.bin_returns(np.array([10, 25]), np.array([1.0, 2.0]), width=10, steps=25)
    assert len(means) == 2
    assert episodes.tolist() == [1, 0]


def test_return_that_is_not_finite_does_not_poison_its_bin() -> None:
    means, episodes = binning.bin_returns(np.array([3, 6, 9]), np.array([1.0, math.nan, math.inf]), width=10, steps=10)
    assert means.tolist() == [1.0]
    assert episodes.tolist() == [1]


@given(
    st.lists(st.tuples(st.integers(1, 400), st.floats(-1e6, 1e6)), max_size=60),
    st.integers(1, 60),
    st.integers(1, 400),
)
def test_bins_agree_with_the_rule_written_out(episodes: list[tuple[int, float]], width: int, steps: int) -> None:
    step, returns = np.array([s for s, _ in episodes], np.int64), np.array([r for _, r in episodes], np.float64)
    means, counts = binning.bin_returns(step, returns, width, steps)
    assert len(means) == steps // width
    for i, (mean, count) in enumerate(zip(means, counts, strict=True)):
        inside = [r for s, r in episodes if i * width < s <= (i + 1) * width]
        assert count == len(inside)
        assert math.isnan(mean) if not inside else mean == pytest.approx(np.mean(inside), abs=1e-6)


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(-1e3, 1e3)), max_size=60), st.integers(2, 5))
def test_pooled_bins_are_those_of_wider_binning(episodes: list[tuple[int, float]], factor: int) -> None:
    step, returns = np.array([s for s, _ in episodes], np.int64), np.array([r for _, r in episodes], np.float64)
    runs = pd.DataFrame({"env_id": ["e"], "algorithm": ["a"], "seed": [0], "run_id": ["r"], "steps": [300], "bin_width": [10]})
    narrow = binning.tabulate(runs, {"r": binning.bin_returns(step, returns, 10, 300)})
    wide, counts = binning.bin_returns(step, returns, 10 * factor, 300)
    pooled = binning.pool(narrow, 10 * factor)
    assert pooled["step"].tolist() == binning.edges(10 * factor, 300).tolist()
    assert pooled["episodes"].tolist() == counts.tolist()
    np.testing.assert_allclose(pooled["mean_return"], wide, atol=1e-9)


# Statistics


def test_t_intervals_agree_with_scipy_and_with_hand_computed_values() -> None:
    values = np.array([1.0, 2.0, 4.0, 7.0])
    mean = statistics.mean_over_runs(values)
    for level, half in ((0.90, mean.ci90), (0.95, mean.ci95)):
        low, high = stats.t.interval(level, 3, loc=values.mean(), scale=stats.sem(values))
        assert half == pytest.approx((high - low) / 2)
    # s = sqrt(7), n = 4, t(0.95, 3) = 2.3534
    assert mean.mean == 3.5
    assert mean.n == 4
    assert mean.ci90 == pytest.approx(2.3534 * math.sqrt(7) / 2, rel=1e-4)


def test_thirty_runs_have_the_half_width_of_the_sheet() -> None:
    values = np.arange(30.0)
    assert statistics.mean_over_runs(values).ci90 == pytest.approx(1.699 * values.std(ddof=1) / math.sqrt(30), rel=1e-3)


def test_runs_without_the_bin_do_not_count_and_one_run_has_no_interval() -> None:
    mean = statistics.mean_over_runs(np.array([math.nan, 5.0]))
    assert (mean.mean, mean.n) == (5.0, 1)
    assert math.isnan(mean.ci90)
    assert math.isnan(mean.ci95)
    assert math.isnan(statistics.mean_over_runs(np.array([math.nan])).mean)


def test_mean_curves_agree_with_means_of_their_bins() -> None:
    frame = pd.DataFrame(
        {
            "env_id": "e",
            "algorithm": "a",
            "seed": [0, 1, 2, 0, 1, 2],
            "step": [10, 10, 10, 20, 20, 20],
            "mean_return": [1.0, 2.0, 4.0, math.nan, 3.0, math.nan],
            "episodes": 1,
        }
    )
    first, second = statistics.mean_curves(frame).itertuples(index=False)
    expected = statistics.mean_over_runs(np.array([1.0, 2.0, 4.0]))
    assert (first.mean, first.ci90, first.ci95, first.n) == pytest.approx((expected.mean, expected.ci90, expected.ci95, 3))
    assert (second.mean, second.n) == (3.0, 1)
    assert math.isnan(second.ci90)


def test_one_diverged_run_makes_the_bar_zero_but_not_the_mean(tmp_path: Path) -> None:
    experiment = an_experiment(arms=(STREAM,), steps=20, width=10)
    store = Store(tmp_path)
    for _, _, run in labelled_runs(experiment.preset("quick")):
        diverged_at = 12 if run.seed == 2 else None
        publish(store, run, [5, 12 if diverged_at else 15], [1.0, 100.0 + run.seed], diverged_at)
    loaded = load.load(experiment.preset("quick"), store)
    assert set(loaded.episodes["status"]) == {"finished", "diverged"}
    built = report.build(experiment, "quick", store, tmp_path / "results")
    (bar,) = built.summary.itertuples()
    assert (bar.bar, bar.diverged, bar.seeds, bar.n) == (0.0, 1, 3, 3)
    assert bar.final_mean == pytest.approx(101.0)
    assert built.manifest["diverged"] == [built.runs["run_id"].iloc[2]]


# Published numbers


@pytest.mark.parametrize(
    ("env_id", "value"), [("HalfCheetah-v4", 1983), ("Hopper-v4", 1264), ("Walker2d-v4", 947), ("Ant-v4", 1861)]
)
def test_published_stream_ac_at_500k_steps_in_50k_bins(env_id: str, value: int) -> None:
    found = published.lookup(env_id, "Stream AC", 500_000, 50_000)
    assert found is not None
    assert (round(found.value), found.figure, found.bin_width) == (value, "Fig7", 50_000)


def test_published_value_comes_from_bins_as_wide_as_ours_or_else_from_the_finest() -> None:
    same = published.lookup("Ant-v4", "Stream AC", 2_000_000, 500_000)
    finest = published.lookup("Ant-v4", "Stream AC", 2_000_000, 20_000)
    assert same is not None
    assert (same.figure, round(same.value)) == ("Fig14", 3659)
    assert finest is not None
    assert (finest.figure, round(finest.value), finest.ci90) == (
        "Fig7",
        3719,
        pytest.approx(120, abs=0.5),
    )
    assert published.lookup("Ant-v4", "Stream AC", 130_000, 10_000) is None
    assert published.lookup("Ant-v4", "somebody's own", 500_000, 50_000) is None


def test_published_bars_and_ends_of_curves() -> None:
    hopper = ("Classic AC", "PPO1", "SAC1", "Stream AC", "PPO", "SAC")
    assert [published.bar("Hopper-v4", label) for label in hopper] == [0, 449, 276, 2173, 2041, 2304]
    dog = [published.bar("dm_control/dog-stand-v0", label) for label in hopper]
    assert dog == [0, 205, 0, 757, 239, 0]
    assert published.bar("EnduroNoFrameskip-v4", "Stream Q") == 1156
    assert published.bar("EnduroNoFrameskip-v4", "DQN") == 729
    assert published.bar("Ant-v4", "SAC") is None
    assert published.ends_at("dm_control/dog-stand-v0", "SAC1") == 13_000_000


def test_bars_are_the_ends_of_the_longest_curves_but_for_the_two_known_exceptions() -> None:
    bars = pd.read_csv(published.PAPER / "stream_x_fig2_bars.csv")
    for bar in bars[bars["value"] > 0].itertuples():
        env_id = published.our_name(bar.env)
        last = published.ends_at(env_id, bar.algorithm)
        end = published.lookup(env_id, bar.algorithm, last, 500_000) if last else None
        if end is not None and (bar.env, bar.algorithm) not in [("Hopper-v4", "PPO"), ("Breakout", "DQN1")]:
            assert int(end.value) == bar.value, bar


def test_every_published_curve_is_found_by_our_names_in_our_units() -> None:
    points = pd.read_csv(published.PAPER / "stream_x_curves.csv")
    groups = list(points.groupby(["figure", "env", "algorithm"], sort=False))
    assert len(groups) == 372
    for (figure, env, algorithm), group in groups:
        frames = 4 if figure in ("Fig6", "Fig11", "Fig12") else 1
        env_id = f"{env}NoFrameskip-v4" if frames == 4 else env
        for label in {algorithm, algorithm.removesuffix("(0.8)")}:
            (curve,) = [curve for curve in published.curves_of(env_id, label) if curve.figure == figure]
            assert [frames * step for step in curve.steps] == group["x_steps_or_frames"].tolist()
            assert list(curve.values) == group["mean_return_digitised"].tolist()
        # Bins start at 0, so that bins ending at one step are the same steps pooled.
        assert curve.steps[0] == curve.bin_width
    assert published.curves_of("Pong", "Stream Q") == ()


@pytest.mark.parametrize(
    ("env_id", "label", "step", "value"),
    [
        ("PongNoFrameskip-v4", "Stream Q(0.8)", 5_000_000, 10.5),
        ("PongNoFrameskip-v4", "Stream Q(0.8)", 12_500_000, 18.2),
        ("PongNoFrameskip-v4", "Stream SARSA(0.8)", 50_000_000, 19.6),
        ("AlienNoFrameskip-v4", "Classic SARSA(0.8)", 50_000_000, 743),
        ("QbertNoFrameskip-v4", "DQN1", 50_000_000, 67.3),
        ("MinAtar/Seaquest-v1", "Stream Q(0.8)", 5_000_000, 17.9),
        ("MinAtar/Breakout-v1", "Stream SARSA(0.8)", 500_000, 5.74),
        ("MinAtar/Breakout-v1", "DQN1", 2_000_000, 4.63),
        ("Humanoid-v4", "PPO", 500_000, 548),
        ("dm_control/hopper-hop-v0", "Stream AC(0.8)", 10_000_000, 26.0),
        ("Ant-v4", "Stream AC(0)", 2_000_000, 2581),
        ("Ant-v4", "Classic AC(0)", 2_000_000, 220),
        ("Hopper-v4", "no LayerNorm", 100_000, 190),
        ("HalfCheetah-v4", "no ObGD", 2_000_000, -97.4),
        ("HalfCheetah-v4", "no obs/reward norm", 2_000_000, 1.58),
        ("Walker2d-v4", "no SparseInit", 2_000_000, 1163),
    ],
)
def test_published_values_are_those_of_the_figures(env_id: str, label: str, step: int, value: float) -> None:
    found = published.lookup(env_id, label, step, 50_000)
    assert found is not None
    assert found.value == pytest.approx(value, rel=0.005)


@pytest.mark.parametrize(
    ("env_id", "reference"),
    [
        ("MinAtar/SpaceInvaders-v1", ("DQN@5M", 43.46)),
        ("MsPacmanNoFrameskip-v4", ("DQN@200M", pytest.approx(3085.6, abs=0.01))),
        ("BowlingNoFrameskip-v4", ("DQN@200M", 50.4)),
        ("Hopper-v4", None),
        ("MinAtar/Freeway-v1", None),
    ],
)
def test_reference_lines_of_the_literature(env_id: str, reference: tuple[str, float] | None) -> None:
    assert published.reference(env_id) == reference


def test_every_arm_of_the_papers_protocol_has_its_published_curve() -> None:
    absent = set()
    for name in catalog.experiment_names():
        experiment = catalog.load_experiment(name)
        if "2410.14606" not in experiment.source or experiment.kind != "returns" or "paper" not in experiment.presets:
            continue
        for row in experiment.presets["paper"].rows:
            absent |= {(row.env_id, arm.label) for arm in row.arms if not published.curves_of(row.env_id, arm.label)}
            if experiment.figure == "stream_barrier":
                assert all(published.bar(row.env_id, arm.label) is not None for arm in row.arms)
    bowling = {("BowlingNoFrameskip-v4", label) for label in ("Classic Q(0.8)", "Classic SARSA(0.8)")}
    dm_control = {("dm_control/dog-stand-v0", "Classic AC"), ("dm_control/cheetah-run-v0", "Classic AC")}
    literature = {(f"{game}NoFrameskip-v4", "DQN") for game in ("Breakout", "Enduro")}
    assert absent <= bowling | dm_control | literature
    assert bowling <= absent


def test_errors_of_published_predictions() -> None:
    assert published.prediction_error("ETTm2", "Stream TD(0.8)", 63_000, 68_000) == (0.51, 0.70)
    assert published.prediction_error("ETTm2", "Classic TD", 0, 1_000) == (6.8, 9.5)
    assert published.prediction_error("ETTm2", "Stream TD", 0, 5_000) is None
    assert published.prediction_error("ETTm2-generated", "Stream TD", 0, 1_000) is None


# Verdicts


@pytest.mark.parametrize(
    ("ours", "ci90", "paper", "scale", "verdict"),
    [
        (1200.0, 50.0, 1264.0, 3600.0, "within 25 %"),
        (600.0, 50.0, 1264.0, 3600.0, "below"),
        (600.0, 900.0, 1264.0, 3600.0, "below, in CI"),
        (1700.0, 50.0, 1264.0, 3600.0, "above"),
        (2.0, 0.1, 20.0, 2000.0, "both near zero"),
        (-170.0, 5.0, -182.0, 3607.0, "within 25 %"),
        (-400.0, 5.0, -182.0, 3607.0, "below"),
        (-100.0, 5.0, -182.0, 400.0, "above"),
        (-5.0, 1.0, 3.0, 3000.0, "both near zero"),
        (500.0, math.nan, 20.0, 2000.0, "above"),
        (0.0, 0.0, 0.0, 0.0, "within 25 %"),
    ],
)
def test_verdict(ours: float, ci90: float, paper: float, scale: float, verdict: str) -> None:
    assert comparing.verdict(Mean(ours, ci90, math.nan, 3), paper, scale) == verdict


# Reports and comparison


def test_comparison_end_to_end(tmp_path: Path) -> None:
    experiment, store = an_experiment(), Store(tmp_path / "runs")
    fill(store, experiment)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    rows = built.comparison.set_index(["algorithm", "step"])
    stream = rows.loc["Stream AC"]
    assert stream.index.tolist() == [100_000, 200_000, 500_000]
    assert stream["ours"].tolist() == pytest.approx(list(PAPER_STREAM.values()))
    assert stream["published"].tolist() == pytest.approx(list(PAPER_STREAM.values()))
    assert stream["ratio"].tolist() == pytest.approx([1.0] * 3)
    assert stream["verdict"].tolist() == ["within 25 %"] * 3
    # three seeds 10 apart: s = 10, t(0.95, 2) = 2.92
    assert stream["ci90"].tolist() == pytest.approx([2.91999 * 10 / math.sqrt(3)] * 3, rel=1e-5)
    assert stream["fig2_bar"].isna().tolist() == [True, True, False]
    assert stream["fig2_bar"].iloc[-1] == 2173
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
        "pong", "Pong", "Figs. 6 and 12", {"laptop": Preset("", (row,)), "paper": Preset("", (paper,))}, "learning_curves"
    )
    store = Store(tmp_path / "runs")
    for _, _, run in labelled_runs(experiment.preset("laptop")):
        step = np.arange(1000, run.steps + 1, 1000)
        # What is published up to 3.75M steps; after it a line that has the published mean over the last 1.25M.
        (curve,) = (c for c in published.curves_of(run.env_id, "Stream Q") if c.figure == "Fig12")
        returns = np.array([curve.values[(s - 1) // 1_250_000] for s in step])
        last = step > 3_750_000
        returns[last] += np.linspace(-5, 5, last.sum())
        publish(store, run, step, returns)
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


def test_compare_command_needs_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, store = an_experiment(), Store(tmp_path / "runs")
    fill(store, experiment)
    report.build(experiment, "quick", store, tmp_path / "results")
    built = report.build(experiment, "quick", store, tmp_path / "results", seeds=2)
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    result = CliRunner().invoke(comparing.app, ["barrier", "--results", str(tmp_path / "results")])
    assert result.exit_code == 0, result.output
    assert "500k of 20M steps, 2 to 3 of 30 seeds" in result.output
    assert "1264" in result.output
    assert "within 25 %" in result.output
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
    from rich.console import Console

    experiment, store = (
        an_experiment(("Hopper-v4", "HumanoidStandup-v4", "dm_control/cheetah-run-v0")),
        Store(tmp_path / "runs"),
    )
    fill(store, experiment)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(tables.render(built.comparison, built.summary, built.manifest, 80))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, lines)) <= 80
    # Every row is one line, from its step to its verdict.
    for row in built.comparison.itertuples():
        step, ours = f" {row.step // 1000}k ", f" {tables.number(row.ours)} "
        assert any(step in line and ours in line and row.verdict in line for line in lines), row


def test_report_on_partly_missing_runs_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, store = an_experiment(), Store(tmp_path / "runs")
    fill(store, experiment, skip={"SAC": 2, "Stream AC": 1})
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
    monkeypatch.setattr(catalog, "load_experiment", lambda name: an_experiment())
    arguments = ["barrier", "--store", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    result = CliRunner().invoke(report.app, arguments)
    assert result.exit_code == 2
    assert "no run of barrier / quick is finished" in result.output
    assert "experiments.run barrier --preset quick" in result.output
    assert list(tmp_path.iterdir()) == []


def test_report_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    experiment, store = an_experiment(("Hopper-v4", "Walker2d-v4")), Store(tmp_path / "runs")
    fill(store, experiment)
    first = report.build(experiment, "quick", store, tmp_path / "a")
    second = report.build(experiment, "quick", store, tmp_path / "b")
    names = [path.relative_to(first.folder) for path in first.files]
    assert names == [path.relative_to(second.folder) for path in second.files]
    assert {path.suffix for path in names} == {".parquet", ".csv", ".json", ".png", ".svg"}
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


def test_episodes_frame_has_every_episode_of_every_run(tmp_path: Path) -> None:
    experiment, store = an_experiment(arms=(STREAM, Arm("the same again", "stream_ac")), steps=30, width=10), Store(tmp_path)
    for run in dict.fromkeys(run for _, _, run in labelled_runs(experiment.preset("quick"))):
        if run.seed:
            publish(store, run, [10, 30], [1.0, run.seed])
    loaded = load.load(experiment.preset("quick"), store)
    columns = ["env_id", "algorithm", "run_id", "seed", "step", "episodic_return", "length", "status"]
    assert loaded.episodes.columns.tolist() == columns
    assert len(loaded.episodes) == 8
    assert loaded.episodes["length"].tolist() == [10, 20] * 4
    assert loaded.episodes.groupby("algorithm", observed=True)["episodic_return"].sum().tolist() == [5.0, 5.0]
    assert len(loaded.missing) == 1
    assert "-s0-" in loaded.missing[0]


def test_damaged_run_is_named(tmp_path: Path) -> None:
    experiment, store = an_experiment(arms=(STREAM,)), Store(tmp_path)
    fill(store, experiment)
    run_id = runs_of(experiment, "quick")[0].run_id
    (store.finished_path / run_id / "episodes.arrow").write_bytes(b"broken")
    with pytest.raises(UserError, match=run_id):
        report.build(experiment, "quick", store, tmp_path / "results")


def test_experiment_whose_figure_does_not_exist_is_told(tmp_path: Path) -> None:
    experiment = Experiment("barrier", "t", "s", an_experiment().presets, figure="no_such_figure")
    with pytest.raises(UserError, match="no_such_figure"):
        figures.drawer(experiment)


def test_measurement_needs_no_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    base = an_experiment(arms=(STREAM,))
    experiment = Experiment("speed", "Speed", "ours", base.presets, figure="speed", kind="measurement")
    store = Store(tmp_path / "runs")
    run = runs_of(experiment, "quick")[0]
    store.publish(run, {"throughput": {"value": np.array([3.0])}}, {"status": "finished", "steps": 1, "diverged_at": None}, {})

    def draw(data: figures.FigureData) -> tuple[Figure, pd.DataFrame]:
        run_id = data.runs.loc[load.is_finished(data.runs), "run_id"].iloc[0]
        value = data.store.load(run_id)[2]["throughput"]["value"][0].as_py()
        return Figure(), pd.DataFrame({"algorithm": ["Stream AC"], "steps_per_second": [value]})

    monkeypatch.setattr(report, "drawer", lambda experiment: draw)
    monkeypatch.setattr(report, "tables_of", lambda experiment: lambda numbers: [(experiment.title, numbers)])
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    arguments = ["speed", "--store", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
    result = CliRunner().invoke(report.app, arguments)
    assert result.exit_code == 0, result.output
    assert "steps_per_second" in result.output
    made = {path.name for path in (tmp_path / "results/speed/quick").rglob("*") if path.is_file()}
    assert made == {"manifest.json", "speed.png", "speed.svg", "speed.csv"}
    nothing = CliRunner().invoke(comparing.app, ["speed", "--results", str(tmp_path / "results")])
    assert nothing.exit_code == 2
    assert "no published numbers" in nothing.output


@pytest.mark.parametrize(("envs", "arms", "seeds"), [(1, 1, 1), (2, 3, 1), (3, 2, 2), (6, 6, 2)])
def test_figure_draws_any_number_of_panels_and_bars(tmp_path: Path, envs: int, arms: int, seeds: int) -> None:
    names = ("Hopper-v4", "Ant-v4", "Walker2d-v4", "HalfCheetah-v4", "MyOwn-v0", "dm_control/dog-stand-v0")
    labels = ("Stream AC", "my own learner", "SAC", "PPO", "PPO1", "SAC1")
    chosen = tuple(Arm(label, f"a{i}") for i, label in enumerate(labels[:arms]))
    experiment, store = an_experiment(names[:envs], chosen, steps=1000, width=100, seeds=seeds), Store(tmp_path / "runs")
    rng = np.random.default_rng(0)
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        diverged_at = 450 if arm.label == "PPO" else None
        step = np.arange(10, (diverged_at or 1000) + 1, 10)
        publish(store, run, step, rng.normal(-50, 40, len(step)), diverged_at)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    bars = built.numbers[built.numbers["part"] == "bar"]
    assert len(bars) == envs * arms
    assert (bars.loc[bars["algorithm"] == "PPO", "value"] == 0).all()
    size = (built.folder / "figures/barrier.png").stat().st_size
    assert size > 10_000


def test_two_rows_of_one_environment_are_refused(tmp_path: Path) -> None:
    experiment = an_experiment(("Hopper-v4", "Hopper-v4"))
    with pytest.raises(UserError, match="Hopper-v4"):
        report.build(experiment, "quick", Store(tmp_path), tmp_path / "results")


# What runs recorded about themselves

TD = (Arm("Stream TD(0.8)", "stream_td"), Arm("Classic TD(0.8)", "classic_td"))


def an_experiment_of_metrics(figure: str, row: Row) -> Experiment:
    return Experiment("own", "Own", "ours", {"quick": Preset("small", (row,))}, figure, kind="metrics")


def publish_metrics(store: Store, run: Run, table: Mapping[str, np.ndarray], diverged_at: int | None = None) -> None:
    status = "finished" if diverged_at is None else "diverged"
    result = {"status": status, "steps": diverged_at or run.steps, "diverged_at": diverged_at}
    store.publish(run, {"metrics": table} if table else {}, result, {})


@given(
    st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(1, 60),
)
def test_bins_of_metrics_agree_with_the_rule_written_out(values: list[float], width: int, every: int) -> None:
    step = np.arange(1, len(values) + 1) * every
    steps = int(step[-1])
    for highest in (False, True):
        found = metrics.bin_values(step, np.array(values), width, steps, highest)
        assert len(found) == steps // width
        for i, value in enumerate(found):
            inside = [v for s, v in zip(step, values, strict=True) if i * width < s <= (i + 1) * width and not math.isnan(v)]
            expected = (max(inside) if highest else np.mean(inside)) if inside else math.nan
            assert value == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_an_infinite_metric_makes_its_bin_infinite_and_no_other() -> None:
    found = metrics.bin_values(np.array([5, 10, 15, 20]), np.array([1.0, math.inf, 2.0, 4.0]), 10, 20)
    assert found.tolist() == [math.inf, 3.0]


def test_report_of_metrics_needs_no_episodes_and_says_that_nothing_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = (Arm("ObGD", "stream_ac"), Arm("SGD, 1e-3", "sgd"))
    experiment = an_experiment_of_metrics("overshooting", Row("Hopper-v4", arms, steps=4000, seeds=2, bin_width=2000))
    store = Store(tmp_path / "runs")
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        if arm.label == "SGD, 1e-3" and run.seed == 1:
            publish_metrics(store, run, {}, diverged_at=7)  # before it told anything
            continue
        step = np.array([1000, 2000, 3000, 4000])
        norm = np.array([1.0, 3.0, 10.0, 20.0]) + 2 * run.seed
        publish_metrics(store, run, {"step": step, "trace_norm": norm, "trace_norm_max": 2 * norm})
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    folders = ["--results", str(tmp_path / "results")]
    result = CliRunner().invoke(report.app, ["own", "--store", str(tmp_path / "runs"), *folders])
    assert result.exit_code == 0, result.output
    assert "no published numbers to compare with" in result.output
    assert "SGD, 1e-3: 1 of 2 runs diverged" in result.output
    folder = tmp_path / "results/own/quick"
    assert not (folder / "compare.csv").exists()
    curves = pd.read_parquet(folder / "curves.parquet")
    own = curves[(curves["algorithm"] == "ObGD") & (curves["seed"] == 0)]
    assert own[["metric", "step", "value"]].values.tolist() == [
        ["trace_norm", 2000, 2.0],
        ["trace_norm", 4000, 15.0],
        ["trace_norm_max", 2000, 6.0],
        ["trace_norm_max", 4000, 40.0],
    ]
    summary = pd.read_csv(folder / "summary.csv").set_index(["algorithm", "metric"])
    assert summary.loc[("ObGD", "trace_norm"), ["final_mean", "n", "seeds"]].tolist() == [16.0, 2, 2]
    assert summary.loc[("SGD, 1e-3", "trace_norm"), ["n", "seeds", "diverged"]].tolist() == [1, 2, 1]
    assert json.loads((folder / "manifest.json").read_text())["returns"] is False
    compared = CliRunner().invoke(comparing.app, ["own", *folders])
    assert compared.exit_code == 2
    assert "no published numbers" in compared.output


def test_finished_run_without_metrics_is_named(tmp_path: Path) -> None:
    row = Row("Hopper-v4", (STREAM,), steps=100, seeds=1, bin_width=10)
    experiment, store = an_experiment_of_metrics("overshooting", row), Store(tmp_path)
    publish(store, runs_of(experiment, "quick")[0], [10], [1.0])
    with pytest.raises(UserError, match=r"stream_ac-Hopper.* holds no metrics"):
        report.build(experiment, "quick", store, tmp_path / "results")


# Predictions


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=50), st.floats(0, 0.999))
def test_return_is_the_discounted_sum_of_what_is_left(cumulants: list[float], gamma: float) -> None:
    found = prediction.returns(np.array(cumulants), gamma)
    for k, value in enumerate(found):
        expected = sum(c * gamma**i for i, c in enumerate(cumulants[k:]))
        assert value == pytest.approx(expected, abs=1e-8)


def test_return_is_known_where_at_most_a_thousandth_of_its_weight_is_beyond_the_end() -> None:
    known = prediction.is_known(1000, 0.99)
    # 0.99 ** 688 < 0.001 < 0.99 ** 687: step 313 has 688 rewards to come, itself included.
    assert known[:313].all()
    assert not known[313:].any()


def ramp(steps: int) -> np.ndarray:
    return 0.5 + 0.4 * np.sin(np.arange(steps + 2000) / 100)


def publish_predictions(store: Store, run: Run, error: float = 0.0, until: int | None = None, exact: bool = True) -> None:
    """Publish a run that predicts the return from the state before each step exactly, but for a constant error."""
    cumulants = ramp(run.steps)
    full = prediction.returns(cumulants, 0.99)
    n = until or run.steps
    table = {"step": np.arange(1, n + 1), "cumulant": cumulants[:n], "prediction": full[1 : n + 1] + error}
    if exact:
        table["prediction_before"] = full[:n] + error
    publish_metrics(store, run, table, until)


def test_both_pairings_of_a_prediction_with_the_return(tmp_path: Path) -> None:
    row = Row("ETTm2", TD[:1], steps=6000, seeds=2, bin_width=1000)
    experiment, store = an_experiment_of_metrics("prediction", row), Store(tmp_path)
    for _, _, run in labelled_runs(experiment.preset("quick")):
        publish_predictions(store, run, error=3.0 if run.seed else -1.0)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    found = built.comparison.set_index(["after_step", "to_step", "error"])
    full = prediction.returns(ramp(6000), 0.99)
    shift = full[1001:2001] - full[1000:2000]
    mae = found.loc[(1000, 2000, "MAE")]
    # The mean prediction is off by (3 - 1) / 2 = 1, each run by 3 or 1.
    assert mae["exact"] == pytest.approx(1.0, abs=1e-6)
    assert mae["ours"] == pytest.approx(np.abs(1.0 + shift).mean(), abs=1e-6)
    assert mae["per_run"] == pytest.approx((np.abs(3 + shift).mean() + np.abs(-1 + shift).mean()) / 2, abs=1e-6)
    assert found.loc[(1000, 2000, "RMSE"), "ours"] == pytest.approx(np.sqrt(((1.0 + shift) ** 2).mean()), abs=1e-6)
    assert mae["published"] == 5.0
    assert mae["ratio"] == pytest.approx(mae["ours"] / 5.0)
    # The last window leaves out the steps whose return the end of the run cuts off: their errors would be up to 50.
    assert found.loc[(1000, 6000, "RMSE"), "exact"] == pytest.approx(1.0, abs=0.1)
    curves = pd.read_parquet(built.folder / "curves.parquet")
    bins = curves[curves["seed"] == 1].pivot(index="step", columns="metric", values="value")
    assert bins.index.tolist() == [1000, 2000, 3000, 4000, 5000, 6000]
    assert bins["exact_absolute_error"].tolist()[:5] == pytest.approx([3.0] * 5, abs=0.002)
    assert bins["exact_squared_error"].tolist()[:5] == pytest.approx([9.0] * 5, abs=0.01)
    assert bins.loc[2000, "squared_error"] == pytest.approx(((3 + shift) ** 2).mean(), abs=1e-6)


def test_windows_that_are_drawn_are_the_papers_or_the_ends_of_a_shorter_run() -> None:
    assert prediction.drawn_windows(68_000) == prediction.drawn_windows(69_000) == [(0, 5_000), (63_000, 68_000)]
    assert prediction.drawn_windows(12_000) == [(0, 5_000), (7_000, 12_000)]
    assert prediction.drawn_windows(3_000) == [(0, 3_000)]


def test_prediction_at_the_papers_length_is_compared_in_the_papers_windows(tmp_path: Path) -> None:
    row = Row("ETTm2", TD, steps=68_000, seeds=1, bin_width=1000)
    experiment, store = an_experiment_of_metrics("prediction", row), Store(tmp_path)
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        publish_predictions(store, run, error=0.51 if arm is TD[0] else 2.64)
    compared = prediction.compare(experiment.preset("quick"), load.load(experiment.preset("quick"), store).runs, store)
    assert compared.groupby(["algorithm", "error"])["published"].count().tolist() == [6] * 4
    last = compared[(compared["after_step"] == 63_000) & (compared["error"] == "MAE")].set_index("algorithm")
    assert last["to_step"].tolist() == [68_000] * 2
    assert last["published"].tolist() == [0.51, 2.64]
    assert last["exact"].tolist() == pytest.approx([0.51, 2.64], abs=0.05)


def test_diverged_prediction_counts_only_where_it_got(tmp_path: Path) -> None:
    row = Row("ETTm2", TD[:1], steps=6000, seeds=2, bin_width=1000)
    experiment, store = an_experiment_of_metrics("prediction", row), Store(tmp_path)
    for _, _, run in labelled_runs(experiment.preset("quick")):
        publish_predictions(store, run, error=4.0 if run.seed else 0.0, until=1500 if run.seed else None)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    found = built.comparison[built.comparison["error"] == "MAE"].set_index("after_step")
    assert found["n"].tolist() == [2, 1, 1, 1, 1, 1]
    assert found.loc[0, "exact"] == pytest.approx(2.0, abs=0.01)
    assert found.loc[2000, "exact"] == pytest.approx(0.0, abs=1e-6)
    assert found["diverged"].tolist() == [1] * len(found)


def test_prediction_without_the_exact_pairing_and_too_short_for_any_return(tmp_path: Path) -> None:
    row = Row("ETTm2-generated", TD, steps=300, seeds=1, bin_width=100)
    experiment, store = an_experiment_of_metrics("prediction", row), Store(tmp_path)
    for _, _, run in labelled_runs(experiment.preset("quick")):
        publish_predictions(store, run, exact=False)
    built = report.build(experiment, "quick", store, tmp_path / "results")
    assert built.comparison["ours"].isna().all()
    assert built.comparison["published"].isna().all()


def test_figure_of_predictions_refuses_runs_that_predict_nothing(tmp_path: Path) -> None:
    row = Row("ETTm2", (STREAM,), steps=3000, seeds=1, bin_width=1000)
    experiment, store = an_experiment_of_metrics("prediction", row), Store(tmp_path)
    table = {"step": np.array([1000, 2000, 3000]), "prediction": np.zeros(3), "cumulant": np.zeros(3)}
    publish_metrics(store, runs_of(experiment, "quick")[0], table)
    with pytest.raises(UserError, match=r"not one row per step.*stream_td"):
        report.build(experiment, "quick", store, tmp_path / "results")
