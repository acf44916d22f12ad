"""Judge a mean return beside a published one: by the difference, its uncertainty, and what returns are worth on the task.

    inside            the difference is within the joint 90 % interval, and that interval is narrower than what was learnt
    within tolerance  the difference is small on the task's own scale, though the interval excludes it
    below, above      outside of both
    undecided         the interval holds the published value and also an agent that has learnt nothing: too few seeds
    not comparable    the paper shows nothing at this budget, or another protocol or simulator was used

The joint interval is the root of the squares of both half-widths, plus the reading error of a digitised value. Where the
published interval was not read, it is taken to be as ours would be with as many seeds as the paper has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.published import Published
from analysis.scales import Scale
from analysis.statistics import Mean

# The tolerance is the larger of two: a share of what the published agent has learnt (its distance from chance), and a share of
# the task's whole range, under which two agents have both learnt next to nothing or nearly the same.
OF_LEARNT = 0.10
OF_RANGE = 0.02

INSIDE, WITHIN, BELOW, ABOVE, UNDECIDED = "inside", "within tolerance", "below", "above", "undecided"
NOT_COMPARABLE = "not comparable"
OUTSIDE = (BELOW, ABOVE)


@dataclass(frozen=True)
class Verdict:
    """A verdict with its numbers: ours minus published, half-width of the joint 90 % interval, tolerance (NaN if unknown)."""

    word: str
    difference: float = math.nan
    interval: float = math.nan
    tolerance: float = math.nan


def judge(ours: Mean, paper: Published, scale: Scale | None) -> Verdict:
    """Judge a mean over our runs. Without a scale the published value itself stands for what was learnt."""
    difference = ours.mean - paper.value
    learnt = abs(paper.value - scale.random) if scale else abs(paper.value)
    tolerance = max(OF_LEARNT * learnt, OF_RANGE * (scale.range if scale else 0.0))
    interval = joint_interval(ours, paper)
    if abs(difference) <= interval < max(learnt, tolerance):
        word = INSIDE
    elif abs(difference) <= tolerance:
        word = WITHIN
    elif math.isnan(interval) or abs(difference) <= interval:
        word = UNDECIDED
    else:
        word = BELOW if difference < 0 else ABOVE
    return Verdict(word, difference, interval, tolerance)


def joint_interval(ours: Mean, paper: Published) -> float:
    """Return the half-width of the 90 % interval of the difference, reading error included; NaN with one run of ours."""
    theirs = paper.ci90 if paper.ci90 is not None else ours.ci90 * math.sqrt(ours.n / paper.seeds)
    return math.hypot(ours.ci90, theirs) + paper.reading_error
