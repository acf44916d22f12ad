"""Published numbers: looked up by paper and figure, under our names and in our units."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.published import FOLDER, PAPERS, avg, numbers_for, stream_x
from analysis.published.names import our_name
from experiments import catalog

STREAM_X = numbers_for("Stream-X (arXiv:2410.14606v2), Fig. 7")
AVG = numbers_for("AVG (arXiv:2411.15370), Fig. 1")


@pytest.mark.parametrize(
    ("env_id", "value"), [("HalfCheetah-v4", 1983), ("Hopper-v4", 1264), ("Walker2d-v4", 947), ("Ant-v4", 1861)]
)
def test_published_stream_ac_at_500k_steps_in_50k_bins(env_id: str, value: int) -> None:
    found = STREAM_X.lookup(env_id, "Stream AC", 500_000, 50_000)
    assert found is not None
    assert (round(found.value), found.figure, found.bin_width) == (value, "Fig7", 50_000)


def test_published_value_comes_from_bins_as_wide_as_ours_or_else_from_the_finest() -> None:
    same = STREAM_X.lookup("Ant-v4", "Stream AC", 2_000_000, 500_000)
    finest = STREAM_X.lookup("Ant-v4", "Stream AC", 2_000_000, 20_000)
    assert same is not None
    assert (same.figure, round(same.value)) == ("Fig14", 3659)
    assert finest is not None
    assert (finest.figure, round(finest.value), finest.ci90) == (
        "Fig7",
        3719,
        pytest.approx(120, abs=0.5),
    )
    assert STREAM_X.lookup("Ant-v4", "Stream AC", 130_000, 10_000) is None
    assert STREAM_X.lookup("Ant-v4", "somebody's own", 500_000, 50_000) is None


def bar_of(env_id: str, label: str) -> float | None:
    end = STREAM_X.end(env_id, label)
    return end.value if end else None


def test_published_bars_and_ends_of_curves() -> None:
    hopper = ("Classic AC", "PPO1", "SAC1", "Stream AC", "PPO", "SAC")
    assert [bar_of("Hopper-v4", label) for label in hopper] == [0, 449, 276, 2173, 2041, 2304]
    dog = [bar_of("dm_control/dog-stand-v0", label) for label in hopper]
    assert dog == [0, 205, 0, 757, 239, 0]
    assert bar_of("EnduroNoFrameskip-v4", "Stream Q") == 1156
    assert bar_of("EnduroNoFrameskip-v4", "DQN") == 729
    assert bar_of("Ant-v4", "SAC") is None
    assert STREAM_X.ends_at("dm_control/dog-stand-v0", "SAC1") == 13_000_000


def test_bars_are_the_ends_of_the_longest_curves_but_for_the_two_known_exceptions() -> None:
    bars = pd.read_csv(FOLDER / "stream_x_fig2_bars.csv")
    for bar in bars[bars["value"] > 0].itertuples():
        env_id = our_name(bar.env)
        last = STREAM_X.ends_at(env_id, bar.algorithm)
        end = STREAM_X.lookup(env_id, bar.algorithm, last, 500_000) if last else None
        if end is not None and (bar.env, bar.algorithm) not in [("Hopper-v4", "PPO"), ("Breakout", "DQN1")]:
            assert int(end.value) == bar.value, bar


def test_every_published_curve_is_found_by_our_names_in_our_units() -> None:
    points = pd.read_csv(FOLDER / "stream_x_curves.csv")
    groups = list(points.groupby(["figure", "env", "algorithm"], sort=False))
    assert len(groups) == 372
    for (figure, env, algorithm), group in groups:
        frames = 4 if figure in ("Fig6", "Fig11", "Fig12") else 1
        env_id = f"{env}NoFrameskip-v4" if frames == 4 else env
        for label in {algorithm, algorithm.removesuffix("(0.8)")}:
            (curve,) = [curve for curve in STREAM_X.curves_of(env_id, label) if curve.figure == figure]
            assert [frames * step for step in curve.steps] == group["x_steps_or_frames"].tolist()
            assert list(curve.values) == group["mean_return_digitised"].tolist()
        # Bins start at 0, so that bins ending at one step are the same steps pooled.
        assert curve.steps[0] == curve.bin_width
    assert STREAM_X.curves_of("Pong", "Stream Q") == ()


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
    found = STREAM_X.lookup(env_id, label, step, 50_000)
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
    assert STREAM_X.reference(env_id) == reference


def test_every_arm_of_the_papers_protocol_has_its_published_curve() -> None:
    absent = set()
    for name in catalog.experiment_names():
        experiment = catalog.load_experiment(name)
        if "2410.14606" not in experiment.source or experiment.kind != "returns" or "paper" not in experiment.presets:
            continue
        for row in experiment.presets["paper"].rows:
            absent |= {(row.env_id, arm.label) for arm in row.arms if not STREAM_X.curves_of(row.env_id, arm.label)}
            if experiment.figure == "stream_barrier":
                assert all(bar_of(row.env_id, arm.label) is not None for arm in row.arms)
    bowling = {("BowlingNoFrameskip-v4", label) for label in ("Classic Q(0.8)", "Classic SARSA(0.8)")}
    dm_control = {("dm_control/dog-stand-v0", "Classic AC"), ("dm_control/cheetah-run-v0", "Classic AC")}
    literature = {(f"{game}NoFrameskip-v4", "DQN") for game in ("Breakout", "Enduro")}
    assert absent <= bowling | dm_control | literature
    assert bowling <= absent


def test_errors_of_published_predictions() -> None:
    assert stream_x.prediction_error("ETTm2", "Stream TD(0.8)", 63_000, 68_000) == (0.51, 0.70)
    assert stream_x.prediction_error("ETTm2", "Classic TD", 0, 1_000) == (6.8, 9.5)
    assert stream_x.prediction_error("ETTm2", "Stream TD", 0, 5_000) is None
    assert stream_x.prediction_error("ETTm2-generated", "Stream TD", 0, 1_000) is None


@given(st.integers(1, 10**7))
def test_a_size_is_read_back_from_its_name(size: int) -> None:
    assert avg.size_of(f"SAC, {avg.name_of(size)}") == size


@pytest.mark.parametrize(("label", "size"), [("PPO, 2048", 2048), ("TD3, 1M", 10**6), ("Stream AC", 1), ("Adam, 3e-4", 1)])
def test_size_of_a_label(label: str, size: int) -> None:
    assert avg.size_of(label) == size


@pytest.mark.parametrize(
    ("env_id", "label", "value"),
    [
        ("Ant-v4", "SAC, 1", 1231),
        ("Ant-v4", "TD3, 10k", -107),
        ("HalfCheetah-v4", "SAC, 1M", 14232),
        ("Hopper-v4", "PPO, 2048", 1480),
        ("Humanoid-v4", "AVG", 4728),
        ("HalfCheetah-v4", "IAC", 1660),
        ("Ant-v4", "PPO, 10", None),  # no marker
        ("Walker2d-v4", "SAC, 1", None),
    ],
)
def test_published_returns_by_size(env_id: str, label: str, value: float | None) -> None:
    end = AVG.end(env_id, label)
    assert (end and (end.value, end.paper, end.figure, end.steps)) == (value and (value, "AVG", "Fig1", 10_000_000))
    found = AVG.lookup(env_id, label, 10_000_000, 10_000)
    assert (found and (found.value, found.paper, found.figure, found.bin_width)) == (value and (value, "AVG", "Fig1", 10_000))


def test_every_marker_of_the_figure_is_found() -> None:
    table = pd.read_csv(avg.TABLE)
    assert len(avg.values()) == table["mean_return"].notna().sum() == 84
    assert sum(avg.values().values()) == pytest.approx(table["mean_return"].sum())


def test_only_the_papers_that_a_source_names_are_looked_at() -> None:
    assert AVG.lookup("Ant-v4", "Stream AC", 500_000, 50_000) is None
    assert STREAM_X.end("Ant-v4", "SAC, 1") is None
    both = numbers_for("ours, with the protocols of Stream-X and AVG")
    assert both.lookup("Ant-v4", "Stream AC", 500_000, 50_000) == STREAM_X.lookup("Ant-v4", "Stream AC", 500_000, 50_000)
    assert both.end("Ant-v4", "SAC, 1") == AVG.end("Ant-v4", "SAC, 1")
    assert numbers_for("ours").curves_of("Ant-v4", "Stream AC") == ()


@pytest.mark.parametrize(("named", "figure"), [("Fig. 7", "Fig7"), ("Fig. 8", "Fig8"), ("Fig. 3", "Fig3"), ("", "Fig7")])
def test_a_figure_that_the_source_names_comes_first_among_bins_as_wide(named: str, figure: str) -> None:
    found = numbers_for(f"Stream-X (arXiv:2410.14606v2), {named}").lookup("Ant-v4", "Stream AC(0.8)", 500_000, 50_000)
    assert found is not None
    assert found.figure == figure


def test_curves_and_ends_know_their_protocol() -> None:
    curve = STREAM_X.curve("PongNoFrameskip-v4", "Stream Q", 1_250_000)
    assert curve is not None
    assert (curve.paper, curve.seeds, STREAM_X.curve("Ant-v4", "SAC", 50_000).seeds) == ("Stream-X", 10, 30)  # type: ignore[union-attr]
    end = STREAM_X.end("EnduroNoFrameskip-v4", "DQN")
    assert end is not None
    assert (end.steps, end.figure) == (50_000_000, "Fig2")
    for paper in PAPERS.values():
        tables = paper.read()
        assert {curve.figure for curves in tables.curves.values() for curve in curves} <= set(paper.figures)
        assert {end.figure for end in tables.ends.values()} <= set(paper.figures)
