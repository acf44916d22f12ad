"""Stream-X Figs. 9 and 10 on synthetic stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from analysis_support import Draw, an_experiment, assert_legible, panels_of, publish, titled

from analysis import prediction
from experiments.expand import labelled_runs
from experiments.spec import Arm, Row, Run
from experiments.store import Store


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
