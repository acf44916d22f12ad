"""Predictions of a discounted return beside the return itself: Stream-X Figure 10.

Row k of a run's table `metrics` belongs to the step from S_k to S_k+1, and holds the reward of that step, `cumulant`, in its
own units. The return from S_k is G_k = cumulant_k + gamma G_k+1, computed backward from 0 after the last step.

Two pairings of a prediction with a return are looked at:

    as published   `prediction`, v(S_k+1) after the update, with G_k: one step apart, as in the official code and so in Fig. 10
    exact          `prediction_before`, v(S_k) before the update, with G_k

Near the end of a run the return leaves out what comes after; the steps where more than a thousandth of it may be missing are
neither drawn nor compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from analysis.curves import KEYS
from analysis.load import is_finished, read
from analysis.metrics import bin_values
from analysis.published.stream_x import prediction_error
from analysis.statistics import mean_over_runs
from experiments.errors import UserError
from experiments.expand import labelled_runs
from experiments.spec import Preset, Row
from experiments.store import Store

GAMMA = 0.99
MISSING_SHARE = 1e-3
Window = tuple[int, int]
"""After one step, up to another."""
# Steps of Fig. 10: its two panels, and the windows in which its curves were read off.
EARLY, LATE = (0, 5_000), (63_000, 68_000)
WINDOWS = (*((k, k + 1_000) for k in range(0, 5_000, 1_000)), LATE)
PUBLISHED, EXACT = "prediction", "prediction_before"

COMPARED = [
    *(*KEYS, "after_step", "to_step", "error", "published", "ours", "ratio", "exact"),
    *("per_run", "ci90", "n", "diverged"),
]


def returns(cumulants: np.ndarray, gamma: float) -> np.ndarray:
    """Return G_k = cumulant_k + gamma G_k+1 for every step, with nothing after the last."""
    return np.asarray(lfilter([1.0], [1.0, -gamma], np.asarray(cumulants, np.float64)[::-1])[::-1])


def is_known(steps: int, gamma: float) -> np.ndarray:
    """Return for the steps 1..`steps` whether at most a thousandth of the weight of its return lies beyond the end."""
    left = np.arange(steps, 0, -1)
    return np.asarray(gamma**left <= MISSING_SHARE)


def check(table: Mapping[str, np.ndarray], run_id: str) -> None:
    """Raise `UserError` where a run recorded no predictions step by step."""
    absent = [name for name in (PUBLISHED, "cumulant") if name not in table]
    step = table["step"]
    if absent or len(step) != int(step[-1] if len(step) else 0):
        what = f"no column {', '.join(absent)}" if absent else "not one row per step"
        raise UserError(f"the metrics of {run_id} have {what}; this figure is drawn from learners that predict (stream_td).")


def of_run(table: Mapping[str, np.ndarray], row: Row, hyperparameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return mean absolute and mean squared errors of a run in bins of steps, by either pairing where it was recorded."""
    gamma = float(hyperparameters.get("gamma", GAMMA))
    target = returns(table["cumulant"], gamma)
    target[~is_known(len(target), gamma)] = np.nan
    out = {}
    for pairing, column in (("", PUBLISHED), ("exact_", EXACT)):
        if column in table:
            errors = table[column] - target
            for name, values in (("absolute_error", np.abs(errors)), ("squared_error", errors**2)):
                out[f"{pairing}{name}"] = bin_values(table["step"], values, row.bin_width, row.steps)
    return out


# Averages over runs


@dataclass
class Predictions:
    """Predictions of the runs of one arm: sums over runs at every step, and those of each run in the windows asked for."""

    returns: np.ndarray
    """The return from each step on, NaN where it is not known."""
    sums: dict[str, np.ndarray]
    counts: np.ndarray
    windows: dict[Window, list[np.ndarray]]
    """By window to be drawn the published prediction of every run, NaN after it diverged."""
    errors: dict[Window, list[tuple[float, float]]]
    """By window to be compared MAE and RMSE of every run."""
    diverged: int = 0
    stream: dict[str, np.ndarray] = field(default_factory=dict)
    """What the first run recorded of the stream itself: the cumulant and perhaps observations."""

    @property
    def steps(self) -> int:
        """Return how many steps there are."""
        return len(self.returns)

    def mean(self, column: str) -> np.ndarray:
        """Return the mean prediction at every step, over the runs that got there."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.sums[column] / self.counts)


def gather(preset: Preset, runs: pd.DataFrame, store: Store) -> dict[tuple[str, str], Predictions]:
    """Read the predictions of all finished runs of a preset, by panel and arm.

    Raises:
        UserError: a run is no prediction run.
    """
    finished = set(runs.loc[is_finished(runs), "run_id"])
    arms: dict[str, list[tuple[str, str]]] = {}
    budgets, gammas = {}, {}
    for row, arm, run in labelled_runs(preset):
        if run.run_id in finished:
            arms.setdefault(run.run_id, []).append((row.panel_name, arm.label))
            budgets[run.run_id] = run.steps
            gammas[run.run_id] = float(dict(run.hyperparameters).get("gamma", GAMMA))  # type: ignore[arg-type]
    out: dict[tuple[str, str], Predictions] = {}
    for stored in read(store, arms):
        table = stored.metrics
        if not table:  # diverged at once
            continue
        check(table, stored.run_id)
        for key in arms[stored.run_id]:
            steps = budgets[stored.run_id]
            if key not in out:
                out[key] = _empty(steps, [c for c in (PUBLISHED, EXACT) if c in table])
            _add(out[key], table, gammas[stored.run_id])
            out[key].diverged += stored.result["status"] == "diverged"
    return out


def drawn_windows(steps: int) -> list[Window]:
    """Return what Fig. 10 shows of a run of so many steps: its first steps and its last, or all if it is short."""
    if steps <= EARLY[1]:
        return [(0, steps)]
    return [EARLY, LATE if steps >= LATE[1] else (steps - (LATE[1] - LATE[0]), steps)]


def _empty(steps: int, columns: list[str]) -> Predictions:
    compared = dict.fromkeys([*(window for window in WINDOWS if window[1] <= steps), drawn_windows(steps)[-1]])
    return Predictions(
        returns=np.full(steps, np.nan),
        sums={column: np.zeros(steps) for column in columns},
        counts=np.zeros(steps, np.int64),
        windows={window: [] for window in drawn_windows(steps)},
        errors={window: [] for window in compared},
    )


def _add(arm: Predictions, table: Mapping[str, np.ndarray], gamma: float) -> None:
    steps, recorded = arm.steps, len(table["step"])
    predictions, target = np.full(steps, np.nan), np.full(steps, np.nan)
    predictions[:recorded] = table[PUBLISHED]
    target[:recorded] = np.where(is_known(recorded, gamma), returns(table["cumulant"], gamma), np.nan)
    # The stream is the same for every run; one that diverged has seen less of it.
    arm.returns = np.where(np.isnan(arm.returns), target, arm.returns)
    arm.counts[:recorded] += 1
    for column, total in arm.sums.items():
        total[:recorded] += table[column]
    if not arm.stream:
        arm.stream = {name: values for name, values in table.items() if name not in (PUBLISHED, EXACT)}
    for window, kept in arm.windows.items():
        kept.append(predictions[slice(*window)])
    for window, found in arm.errors.items():
        found.append(errors(predictions, target, window))


def errors(predictions: np.ndarray, target: np.ndarray, window: Window) -> tuple[float, float]:
    """Return mean absolute and root mean square error after one step up to another, where the return is known.

    Where a prediction is missing, since the run had diverged, there is no error.
    """
    difference = (predictions - target)[slice(*window)]
    difference = difference[~np.isnan(target[slice(*window)])]
    if not len(difference):
        return math.nan, math.nan
    with np.errstate(over="ignore"):
        return float(np.abs(difference).mean()), float(np.sqrt((difference**2).mean()))


def compare(preset: Preset, runs: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Set errors of our predictions beside those of the published ones, by window; `COMPARED` names the columns.

    `ours` is the error of the mean prediction over runs, in the published pairing, since that is what could be read off the
    figure; `exact` the same in the exact pairing. `per_run` is the mean of the errors of single runs, `ci90` its interval and
    `n` their number.
    """
    rows = []
    env_ids = {row.panel_name: row.env_id for row in preset.rows}
    for (panel, label), arm in gather(preset, runs, store).items():
        for window in sorted(arm.errors):
            paper = prediction_error(env_ids[panel], label, *window)
            ours = errors(arm.mean(PUBLISHED), arm.returns, window)
            exact = errors(arm.mean(EXACT), arm.returns, window) if EXACT in arm.sums else (math.nan, math.nan)
            for i, name in enumerate(("MAE", "RMSE")):
                theirs = paper[i] if paper else math.nan
                single = mean_over_runs(np.array([found[i] for found in arm.errors[window]]))
                rows.append(
                    {
                        **{"panel": panel, "env_id": env_ids[panel], "algorithm": label, "error": name},
                        **{"after_step": window[0], "to_step": window[1]},
                        **{"published": theirs, "ours": ours[i], "ratio": ours[i] / theirs, "exact": exact[i]},
                        **{"per_run": single.mean, "ci90": single.ci90, "n": single.n, "diverged": arm.diverged},
                    }
                )
    return pd.DataFrame(rows, columns=COMPARED)
