"""What returns are worth on a task: what chance earns there, and how much a good agent.

A difference of 4 is much in Pong at one step and nothing in Ant. Differences are judged on the task's own scale, from the mean
return of random actions (`results/task_scales`, and the literature for Atari) to the best return that the papers show there;
on Atari, to that of a human player.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from analysis.published import FOLDER, Numbers
from analysis.published.names import is_atari, paper_name

MEASURED = Path(__file__).parents[1] / "results/task_scales/random_returns.csv"
ATARI = FOLDER / "atari_scores.csv"


@dataclass(frozen=True)
class Scale:
    """The scale of a task. `best` is that of a human player on Atari, elsewhere the best published mean return."""

    random: float
    best: float

    @property
    def range(self) -> float:
        """Return how far a good agent is from chance."""
        return abs(self.best - self.random)


@cache
def _by_chance() -> Mapping[str, float]:
    table = pd.read_csv(MEASURED) if MEASURED.exists() else pd.DataFrame(columns=["env_id", "mean"])
    return dict(zip(table["env_id"], table["mean"].astype(float), strict=True))


@cache
def _atari() -> Mapping[str, Scale]:
    return {row.game: Scale(float(row.random), float(row.human)) for row in pd.read_csv(ATARI).itertuples()}


def scale_of(env_id: str, place: str, numbers: Numbers) -> Scale | None:
    """Return the scale of a task; None where chance was never measured or nothing is published."""
    if is_atari(env_id):
        return _atari().get(paper_name(env_id))
    random, best = _by_chance().get(env_id), numbers.best(place)
    return None if random is None or best is None else Scale(random, best)
