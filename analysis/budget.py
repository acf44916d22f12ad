"""State what our runs were given beside what the paper gave its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis import published
from experiments.spec import Experiment, Row


def short_steps(steps: float) -> str:
    """Return a number of steps as a person writes it: 50k, 1.5M, 20M."""
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if abs(steps) >= size:
            return f"{steps / size:.4g}{unit}"
    return f"{steps:.4g}"


@dataclass(frozen=True)
class Budget:
    """Steps and seeds of a protocol."""

    steps: int
    seeds: int


def paper_budget(experiment: Experiment, row: Row) -> Budget | None:
    """Return what the paper gave a task: by the preset `paper`, or else by its longest curve of one of the row's arms."""
    paper = experiment.presets.get("paper")
    for protocol in paper.rows if paper else ():
        if protocol.env_id == row.env_id:
            return Budget(protocol.steps, protocol.seeds)
    curves = [curve for arm in row.arms for curve in published.curves_of(row.env_id, arm.label)]
    longest = max(curves, key=lambda curve: curve.steps[-1], default=None)
    return Budget(longest.steps[-1], longest.seeds) if longest else None


def stated(arms: pd.DataFrame, paper: Budget | None, by_arm: bool = False) -> str:
    """State a budget in words: `500k of 20M steps, 3 to 8 of 30 seeds`; for Atari in frames as well.

    Args:
        arms: the summary's rows of one environment.
        paper: the published protocol, where known.
        by_arm: name the arms that have fewer seeds than the others, instead of the range.
    """
    seeds = {str(label): int(n) for label, n in zip(arms["algorithm"], arms["seeds"], strict=True)}
    fewest, most = min(seeds.values()), max(seeds.values())
    count = f"{most}" if by_arm or fewest == most else f"{fewest} to {most}"
    unit = published.frames_per_step(str(arms["env_id"].iloc[0]))
    steps = [int(arms["steps"].max()), *([paper.steps] if paper else [])]
    text = " of ".join(map(short_steps, steps)) + " steps"
    text += f" ({' of '.join(short_steps(unit * number) for number in steps)} frames), " if unit > 1 else ", "
    whole = paper.seeds if paper else most
    text += count + (f" of {whole}" if paper else "") + (" seed" if whole == 1 else " seeds")
    # A label may end in a number of its own, `SAC, 100`.
    between, colon = ("; ", ":") if any(", " in label for label in seeds) else (", ", "")
    fewer = between.join(f"{label}{colon} {n}" for label, n in seeds.items() if n < most)
    return f"{text} ({fewer})" if by_arm and fewer else text


def sentences(summary: pd.DataFrame, papers: Mapping[str, Budget | None]) -> list[str]:
    """State the budget of every environment of a summary, those of the same budget in one sentence.

    Args:
        summary: one or more rows per arm and environment.
        papers: by environment the published protocol, where known.
    """
    budgets: dict[str, list[str]] = {}
    for env_id, arms in summary.groupby("env_id", sort=False):
        text = stated(arms, papers.get(str(env_id)), by_arm=True)
        budgets.setdefault(text, []).append(published.paper_name(str(env_id)))
    return [f"{text}." if len(budgets) == 1 else f"{', '.join(envs)}: {text}." for text, envs in budgets.items()]
