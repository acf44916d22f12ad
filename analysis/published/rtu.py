"""The numbers of streaming with real-time recurrent learning (arXiv:2605.24709): Figs. 1 to 3.

Fig. 1a is read by its own figure. A chain of Fig. 1b is the panel "length 16"; a robot of Fig. 3 is "Hopper, P" where
positions are seen and "Hopper, V" where velocities are. Most are ends alone: of Fig. 1b it is not known which frames and which
statistic were published, and Fig. 3 is of another simulator. Of Fig. 2 three points are known of each curve, and are compared
where the paper's environments are POPGym's.
"""

from __future__ import annotations

from functools import cache

import pandas as pd

from analysis.published.records import FOLDER, Curve, End, Paper, Tables

COST, CHAIN, POPGYM, MASKED = "Fig1a", "Fig1b", "Fig2", "Fig3"
# Frames of the figures; those of Fig. 1b are the draft's, where its code has twice as many.
CHAIN_STEPS, POPGYM_STEPS, MASKED_STEPS = 500_000, 5_000_000, 2_000_000
POPGYM_BIN = 200_000
# The others are other tasks in the port that the paper used. Its RepeatFirst has a step more, and can give 1.0196.
SAME_TASKS = ("ConcentrationEasy", "HigherLowerEasy", "RepeatFirstEasy")
SEEDS = 5
# Not of the paper: mean returns of an oracle and of random choice on the package's tasks, ours. The oracle of HigherLower
# counts cards and is not perfect; that of Concentration remembers every card it has seen. Random choice is exact but for
# Concentration, where it is the mean of 3,000 episodes (standard error 0.002).
LIMITS = {
    "popgym-AutoencodeEasy-v0": (1.0, -0.5),
    "popgym-ConcentrationEasy-v0": (0.816, -0.19),
    "popgym-CountRecallEasy-v0": (1.0, -25 / 27),
    "popgym-HigherLowerEasy-v0": (0.526, 0.0),
    "popgym-RepeatFirstEasy-v0": (1.0, -0.5),
}
# Half a percent of the axis of Fig. 2, as far as it is known from what is drawn; that of RepeatFirst was checked otherwise.
READING_ERROR = {"ConcentrationEasy": 0.004, "HigherLowerEasy": 0.003, "RepeatFirstEasy": 0.008}


def cost() -> pd.DataFrame:
    """Return Fig. 1a: hidden_size, cell, ms_per_step."""
    return pd.read_csv(FOLDER / "rtu_cost.csv")


def chains() -> pd.DataFrame:
    """Return Fig. 1b with agents named as our arms: chain_length, agent, iqm_return, band_low, band_high."""
    table = pd.read_csv(FOLDER / "rtu_memory_chain.csv")
    return table.assign(agent=table["agent"].str.replace("TBPTT1", "TBPTT(1)"))


def chain_panel(length: int) -> str:
    """Return the panel of a chain."""
    return f"length {length}"


def popgym_id(task: str) -> str:
    """Return our id of a task of Fig. 2."""
    return f"popgym-{task}-v0"


def our_label(agent: str) -> str:
    """Return what our arms call an agent of Figs. 2 and 3."""
    return agent.replace("StreamAC", "Stream AC")


@cache
def tables() -> Tables:
    """Read the tables."""
    ends: dict[tuple[str, str], End] = {}
    for row in chains().itertuples():
        ends[chain_panel(row.chain_length), row.agent] = End(float(row.iqm_return), RTU.name, CHAIN, CHAIN_STEPS)
    references = {}
    for row in pd.read_csv(FOLDER / "rtu_popgym.csv").itertuples():
        if row.agent == "FFN":
            references[popgym_id(row.task)] = ("FFN", float(row.final_return))
            continue
        end = End(float(row.final_return), RTU.name, POPGYM, POPGYM_STEPS)
        ends[popgym_id(row.task), our_label(row.agent)] = end
    for row in pd.read_csv(FOLDER / "rtu_masked_mujoco.csv").itertuples():
        ends[f"{row.env}, {row.mask}", our_label(row.agent)] = End(float(row.final_return), RTU.name, MASKED, MASKED_STEPS)
    curves: dict[tuple[str, str], tuple[Curve, ...]] = {}
    for (task, agent), points in pd.read_csv(FOLDER / "rtu_popgym_points.csv").groupby(["task", "agent"], sort=False):
        if task in SAME_TASKS:
            steps, values = tuple(map(int, points["frames"])), tuple(map(float, points["iqm_return"]))
            error = READING_ERROR[str(task)]
            curve = Curve(RTU.name, POPGYM, SEEDS, POPGYM_BIN, steps, values, reading_error=error)
            curves[popgym_id(str(task)), our_label(str(agent))] = (curve,)
    return Tables(curves, ends, references)


RTU = Paper(
    name="RTU",
    seeds=SEEDS,
    window="the last of some 25 epochs, or the best of them; an interquartile mean",
    figures=(POPGYM, CHAIN, MASKED, COST),
    read=tables,
)
