"""Set returns beside the published ones.

Like is compared with like: where the bins of the published curve are wider than ours, ours are pooled to its bins, and where no
such comparison is possible the table says how wide both are. Nothing is extrapolated: a budget at which the paper shows nothing
is not comparable. What it shows at the end of its own budget stands in columns of its own, `published_end` with the figure and
the steps of that budget. `analysis.verdicts` says how the others are judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.budget import short_steps
from analysis.curves import pool
from analysis.published import Numbers, Published
from analysis.published.names import FRAMES_PER_STEP, is_atari
from analysis.scales import Scale, scale_of
from analysis.statistics import Mean, mean_over_runs
from analysis.verdicts import NOT_COMPARABLE, OF_RANGE, judge

CHECKPOINTS = (100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000)
ATARI_CHECKPOINTS = (5_000_000, 10_000_000, 20_000_000, 50_000_000, 100_000_000, 200_000_000)  # frames
NOT_PUBLISHED = "not published"

COLUMNS = [
    *("panel", "env_id", "algorithm", "step", "bin_width", "ours", "ci90", "n", "seeds", "diverged"),
    *("published", "published_paper", "published_figure", "published_bin_width", "published_ci90"),
    *("difference", "joint_ci90", "tolerance", "chance", "best", "ratio", "verdict"),
    *("published_end", "published_end_paper", "published_end_figure", "published_end_steps"),
    *("steps", "paper_steps", "paper_seeds"),
]
WHOLE = ("published_bin_width", "published_end_steps", "paper_steps", "paper_seeds")


def compare(
    curves: pd.DataFrame,
    summary: pd.DataFrame,
    paper_budget: Mapping[str, Mapping[str, int]],
    numbers: Numbers,
    departures: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Compare every arm of every panel at the checkpoints within its curve and at its last bin.

    Args:
        curves: per-run curves, as `analysis.curves.tabulate` gives them.
        summary: one row per arm and panel, as `analysis.statistics.summarise` gives it.
        paper_budget: by panel the `steps` and `seeds` of the published protocol, where known.
        numbers: what the papers publish.
        departures: by panel in which way it was not run as published, where that forbids a verdict: simulator, protocol.
    """
    rows = []
    by_arm = dict(iter(curves.groupby(["panel", "algorithm"], sort=False, observed=True)))
    for arm in summary.itertuples():
        own = by_arm.get((arm.panel, arm.algorithm), curves.iloc[:0])
        if len(own) and own["step"].min() < arm.bin_width:  # what is compared is made of several bins
            own = pool(own, arm.bin_width)
        place = numbers.place(arm.panel, arm.env_id)
        budget, scale = paper_budget.get(arm.panel, {}), scale_of(arm.env_id, place, numbers)
        departure = (departures or {}).get(arm.panel, "")
        checkpoints = {c for c in checkpoints_of(arm.env_id) if c <= arm.final_step and c % arm.bin_width == 0}
        for step in sorted({*checkpoints, arm.final_step}) if arm.seeds else [arm.final_step]:
            paper = numbers.lookup(place, arm.algorithm, step, arm.bin_width)
            ours, width = _ours(own, step, arm.bin_width, paper)
            end = numbers.end(place, arm.algorithm) if step == arm.final_step else None
            rows.append(
                {
                    **{"panel": arm.panel, "env_id": arm.env_id, "algorithm": arm.algorithm, "step": step, "bin_width": width},
                    **{"ours": ours.mean, "ci90": ours.ci90, "n": ours.n, "seeds": arm.seeds, "diverged": arm.diverged},
                    **_judged(arm, place, step, ours, paper, numbers, scale, departure),
                    **({f"published_end_{name}": getattr(end, name) for name in ("paper", "figure", "steps")} if end else {}),
                    **{"published_end": end.value if end else None, "steps": arm.steps},
                    **{"paper_steps": budget.get("steps"), "paper_seeds": budget.get("seeds")},
                }
            )
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({**dict.fromkeys(WHOLE, "Int64"), "published_end": "float64", "published_ci90": "float64"})


def checkpoints_of(env_id: str) -> tuple[int, ...]:
    """Return the steps at which curves are compared, in agent steps."""
    if is_atari(env_id):
        return tuple(frames // FRAMES_PER_STEP for frames in ATARI_CHECKPOINTS)
    return CHECKPOINTS


def _ours(own: pd.DataFrame, step: int, width: int, paper: Published | None) -> tuple[Mean, int]:
    if paper is not None and paper.bin_width > width and paper.bin_width % width == 0:
        # The published bin ends at `step`, so ours up to there fill whole published bins.
        width, own = paper.bin_width, pool(own[own["step"] <= step], paper.bin_width)
    return mean_over_runs(own.loc[own["step"] == step, "mean_return"].to_numpy()), width


def _judged(
    arm: Any, place: str, step: int, ours: Mean, paper: Published | None, numbers: Numbers, scale: Scale | None, departure: str
) -> dict[str, Any]:
    if paper is None:
        return {"published": math.nan, "ratio": math.nan, "verdict": _unjudged(arm, place, step, numbers)}
    found = judge(ours, paper, scale)
    word = f"{NOT_COMPARABLE} ({departure})" if departure else found.word
    return {
        "published": paper.value,
        "published_paper": paper.paper,
        "published_figure": paper.figure,
        "published_bin_width": paper.bin_width,
        "published_ci90": paper.ci90,
        "difference": found.difference,
        "joint_ci90": found.interval,
        "tolerance": found.tolerance,
        "chance": scale.random if scale else math.nan,
        "best": scale.best if scale else math.nan,
        # The ratio of two negative numbers, or to one that is no more than chance earns, would say nothing.
        "ratio": ours.mean / paper.value if paper.value > _negligible(scale) else math.nan,
        "verdict": word if ours.n else _absent(arm),
    }


def _unjudged(arm: Any, place: str, step: int, numbers: Numbers) -> str:
    """Say why nothing published can be set beside ours at a step."""
    if not arm.n and not arm.seeds:
        return _absent(arm)
    begun, ended = numbers.begins_at(place, arm.algorithm), numbers.ends_at(place, arm.algorithm)
    if begun is not None and step < begun:
        return f"begins at {short_steps(begun)}"
    # Beyond the end of this curve, yet others of the task go on: some run diverged.
    if ended is not None and ended < step and numbers.goes_on(place, step):
        return f"ends at {short_steps(ended)}"
    shown = begun is not None or numbers.end(place, arm.algorithm) is not None
    return f"{NOT_COMPARABLE} (budget)" if shown else NOT_PUBLISHED


def _negligible(scale: Scale | None) -> float:
    return max(scale.random, 0.0) + OF_RANGE * scale.range if scale else 0.0


def _absent(arm: Any) -> str:
    return "no run yet" if not arm.seeds else "diverged" if arm.diverged == arm.seeds else "no episode"
