"""State what our runs were given beside what the paper gave its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis import published
from analysis.published.names import frames_per_step, paper_name
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
    """Return what the paper gave a panel: by the preset `paper`, or else by its longest curve of one of the row's arms."""
    paper = experiment.presets.get("paper")
    for protocol in paper.rows if paper else ():
        if protocol.panel_name == row.panel_name:
            return Budget(protocol.steps, protocol.seeds)
    numbers = published.numbers_for(experiment.source)
    place = numbers.place(row.panel_name, row.env_id)
    curves = [curve for arm in row.arms for curve in numbers.curves_of(place, arm.label)]
    longest = max(curves, key=lambda curve: curve.steps[-1], default=None)
    return Budget(longest.steps[-1], longest.seeds) if longest else None


def stated(arms: pd.DataFrame, paper: Budget | None, by_arm: bool = False) -> str:
    """State a budget in words: `500k of 20M steps, 3 to 8 of 30 seeds`; for Atari in frames as well.

    Arms that had fewer steps than the others are named: `500k of 20M steps, 8 of 30 seeds (SAC: 200k steps)`.

    Args:
        arms: the summary's rows of one panel.
        paper: the published protocol, where known.
        by_arm: name the arms that have fewer seeds than the others as well, instead of the range.
    """
    seeds = {str(label): int(n) for label, n in zip(arms["algorithm"], arms["seeds"], strict=True)}
    budgets = {str(label): int(n) for label, n in zip(arms["algorithm"], arms["steps"], strict=True)}
    fewest, most, longest = min(seeds.values()), max(seeds.values()), max(budgets.values())
    count = f"{most}" if by_arm or fewest == most else f"{fewest} to {most}"
    unit = frames_per_step(str(arms["env_id"].iloc[0]))
    steps = [longest, *([paper.steps] if paper else [])]
    text = " of ".join(map(short_steps, steps)) + " steps"
    text += f" ({' of '.join(short_steps(unit * number) for number in steps)} frames), " if unit > 1 else ", "
    whole = paper.seeds if paper else most
    text += count + (f" of {whole}" if paper else "") + (" seed" if whole == 1 else " seeds")
    # A label may end in a number of its own, `SAC, 100`.
    between, colon = ("; ", ":") if any(", " in label for label in seeds) else (", ", "")
    fewer = between.join(f"{label}{colon} {n}" for label, n in seeds.items() if n < most) if by_arm else ""
    shorter = "; ".join(f"{label}: {short_steps(n)} steps" for label, n in budgets.items() if n < longest)
    named = "; ".join(part for part in (fewer, shorter) if part)
    return f"{text} ({named})" if named else text


def sentences(summary: pd.DataFrame, papers: Mapping[str, Budget | None]) -> list[str]:
    """State the budget of every panel of a summary, those of the same budget in one sentence.

    Args:
        summary: one or more rows per arm and panel.
        papers: by panel the published protocol, where known.
    """
    budgets: dict[str, list[str]] = {}
    for panel, arms in summary.groupby("panel", sort=False):
        text = stated(arms, papers.get(str(panel)), by_arm=True)
        budgets.setdefault(text, []).append(paper_name(str(panel)))
    # The name of a panel may have a comma of its own, `Hopper, P`.
    between = "; " if any(", " in name for names in budgets.values() for name in names) else ", "
    return [f"{text}." if len(budgets) == 1 else f"{between.join(names)}: {text}." for text, names in budgets.items()]
