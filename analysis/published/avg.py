"""The numbers of AVG (arXiv:2411.15370), Fig. 1: return against the size of the replay buffer.

A value is both a curve of one point and an end. "SAC, 100k" is SAC with a buffer of 100,000 transitions, "PPO, 2048" has
rollouts of that length. "AVG" and "IAC" store nothing but the newest transition, which counts as a size of 1.
"""

from __future__ import annotations

from functools import cache

import pandas as pd

from analysis.published.records import FOLDER, Curve, End, Paper, Tables

TABLE = FOLDER / "avg_replay_buffer.csv"
FIGURE = "Fig1"
# The mean return of the last so many of so many steps, over 30 runs.
WINDOW, STEPS, SEEDS = 10_000, 10_000_000, 30
# Learners that have no other size.
MARKERS = ("AVG", "IAC")
UNITS = {"k": 1_000, "M": 1_000_000}


def name_of(size: int) -> str:
    """Return a size as labels have it: 1, 100, 1k, 2048, 1M."""
    unit = next((letter for letter, number in reversed(UNITS.items()) if size % number == 0), "")
    return f"{size // UNITS.get(unit, 1)}{unit}"


def size_of(label: str) -> int:
    """Return the size in an arm's label, `METHOD, SIZE`; 1 where it names none, as learners that store nothing."""
    text = label.rpartition(", ")[2]
    digits, unit = (text[:-1], UNITS[text[-1]]) if text[-1:] in UNITS else (text, 1)
    return int(digits) * unit if ", " in label and digits.isdecimal() else 1


@cache
def readings() -> dict[tuple[str, str], tuple[float, float]]:
    """Return the published mean returns and their reading errors by environment and label, where the figure has a marker."""
    table = pd.read_csv(TABLE).dropna(subset=["mean_return"])
    return {
        (row.env, row.algorithm if row.algorithm in MARKERS else f"{row.algorithm}, {name_of(row.buffer_size)}"): (
            float(row.mean_return),
            float(row.reading_uncertainty),
        )
        for row in table.itertuples()
    }


def values() -> dict[tuple[str, str], float]:
    """Return the published mean returns by environment and label."""
    return {key: value for key, (value, _) in readings().items()}


@cache
def tables() -> Tables:
    """Read the tables."""
    return Tables(
        {
            key: (Curve(AVG.name, FIGURE, SEEDS, WINDOW, (STEPS,), (value,), None, error),)
            for key, (value, error) in readings().items()
        },
        {key: End(value, AVG.name, FIGURE, STEPS) for key, value in values().items()},
    )


AVG = Paper(name="AVG", seeds=SEEDS, window="the last 10k steps", figures=(FIGURE,), read=tables)
