"""Predictions beside the return, and their errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_support import STREAM, an_experiment_of_metrics, publish_metrics
from hypothesis import given
from hypothesis import strategies as st

from analysis import load, prediction, report
from experiments.errors import UserError
from experiments.expand import labelled_runs, runs_of
from experiments.spec import Arm, Row, Run
from experiments.store import Store

TD = (Arm("Stream TD(0.8)", "stream_td"), Arm("Classic TD(0.8)", "classic_td"))


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
