"""The runs of RTU Fig. 4, which two experiments show: how stale sensitivities are, and what returns that costs.

KMemoryChain asks at every step for the bit of K steps before. Trace decay, bounds and frames are those of the paper's draft;
its code has 500k frames. Before the cell Stream AC has two layers of 128 units and QRC one, as in the code; the paper's table
says 64 (`narrow`). Staleness is told at the end of each episode. The code tells it at every step, so that ours is higher.
"""

from __future__ import annotations

from typing import Any

from experiments.spec import Arm, Preset, Row
from experiments.specs.rtu.arms import CELL, DRAFT_BOUND, STREAM_AC

LAGS = (4, 8, 16)  # of the figure
FRAMES, SEEDS, EPOCHS = 300_000, 5, 50
EPISODE_LAGS = 8  # steps of an episode over the lag


def arms(lag: int, frames: int, narrow: bool) -> tuple[Arm, ...]:
    """Return both learners, with stale sensitivities as they are and with a correction to first order."""
    looked_at: dict[str, Any] = {**CELL, "staleness_window": EPISODE_LAGS * lag}
    ac: dict[str, Any] = {**STREAM_AC, **DRAFT_BOUND, "lamda": 0.95, "hidden": (64,) if narrow else (128, 128)}
    qrc: dict[str, Any] = {"lamda": 0.95, "schedule_steps": float(frames), "hidden": (64,) if narrow else (128,)}
    return tuple(
        Arm(f"{label}{told}", algorithm, {**own, **looked_at, "taylor_correction": corrected}, not corrected)
        for label, algorithm, own in (("Stream AC-RTU", "stream_ac", ac), ("QRC-RTU", "qrc", qrc))
        for told, corrected in (("", False), (", corrected", True))
    )


def rows(lags: tuple[int, ...], frames: int, seeds: int, epochs: int = EPOCHS, narrow: bool = False) -> tuple[Row, ...]:
    """Return a row for every lag."""
    return tuple(
        Row(
            "memory/KMemoryChain-v1",
            arms(lag, frames, narrow),
            steps=frames,
            seeds=seeds,
            bin_width=frames // epochs,
            environment={"lag": lag},
            panel=f"K = {lag}",
        )
        for lag in lags
    )


PRESETS = {
    "paper": Preset("300k frames, 5 seeds, K of 4, 8 and 16", rows(LAGS, FRAMES, SEEDS)),
    "narrow": Preset("the same with 64 units before the cell, as in the paper's table", rows(LAGS, FRAMES, SEEDS, narrow=True)),
    "laptop": Preset("100k frames, 3 seeds", rows(LAGS, 100_000, 3)),
    "quick": Preset("K of 8, 20k frames, 1 seed", rows((8,), 20_000, 1, epochs=10)),
}
