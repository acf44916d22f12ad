"""The published numbers in `analysis/paper`, looked up by paper and figure, under our names and in our units.

An experiment is compared with the papers that its `source` names, and with none other: two papers may show the same learner on
the same task by different protocols. Of one paper's curves the one with bins as wide as ours comes first, else the finest;
among those, one from a figure that the source names. Steps are agent steps, also on Atari.

A paper is added by a module with its record, and by one entry in `PAPERS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from analysis.published.avg import AVG
from analysis.published.records import FOLDER, Curve, End, Paper, Published, Tables
from analysis.published.rtu import RTU
from analysis.published.stream_x import STREAM_X
from analysis.published.upgd import UPGD

__all__ = ["FOLDER", "PAPERS", "Curve", "End", "Numbers", "Paper", "Published", "Tables", "figures_of", "numbers_for"]

# In the order in which results are listed.
PAPERS: dict[str, Paper] = {paper.name: paper for paper in (STREAM_X, AVG, RTU, UPGD)}


def figures_of(source: str) -> tuple[str, ...]:
    """Return the figures that a source names: Fig6 and Fig12 of `Stream-X (arXiv:...), Figs. 6 and 12`."""
    _, named, numbers = source.partition("Fig")
    return tuple(f"Fig{number}" for number in re.findall(r"\d+", numbers)) if named else ()


@cache
def numbers_for(source: str) -> Numbers:
    """Return the numbers of the papers that a source names."""
    named = tuple(paper for paper in PAPERS.values() if re.search(rf"\b{re.escape(paper.name)}\b", source))
    return Numbers(named, figures_of(source))


@dataclass(frozen=True)
class Numbers:
    """The numbers of some papers, with the figures that come first.

    A `place` is a panel that a paper shows, or else the environment (`place`); a label is that of one of our arms.
    """

    papers: tuple[Paper, ...]
    figures: tuple[str, ...] = ()

    def place(self, panel: str, env_id: str) -> str:
        """Return under which name numbers of a panel are found: its own where a paper has it, else the environment's."""
        known = any(place == panel for tables in self._tables() for place, _ in (*tables.curves, *tables.ends))
        return panel if known else env_id

    def curves_of(self, place: str, label: str) -> tuple[Curve, ...]:
        """Return all published curves of an arm, those of the named figures first; none if there is none."""
        found: list[tuple[Paper, Curve]] = []
        for paper in self.papers:
            curves = paper.read().curves
            name = next((name for name in paper.names(label) if (place, name) in curves), None)
            found += [(paper, curve) for curve in curves[place, name]] if name is not None else []
        order = sorted(found, key=lambda one: (one[1].figure not in self.figures, one[0].figures.index(one[1].figure)))
        return tuple(curve for _, curve in order)

    def curve(self, place: str, label: str, bin_width: int) -> Curve | None:
        """Return the curve to draw beside ours: with bins as wide as ours if there is one, else with the finest."""
        return min(self.curves_of(place, label), key=lambda c: (c.bin_width != bin_width, c.bin_width), default=None)

    def lookup(self, place: str, label: str, step: int, bin_width: int) -> Published | None:
        """Return the published value at a step: from bins as wide as ours if there are such, else from the finest."""
        values = [value for c in self.curves_of(place, label) if (value := c.at(step)) is not None]
        return min(values, key=lambda v: (v.bin_width != bin_width, v.bin_width), default=None)

    def begins_at(self, place: str, label: str) -> int | None:
        """Return the step at which the first published bin of an arm ends."""
        return min((c.steps[0] for c in self.curves_of(place, label)), default=None)

    def ends_at(self, place: str, label: str) -> int | None:
        """Return the last step of the longest published curve of an arm."""
        return max((c.steps[-1] for c in self.curves_of(place, label)), default=None)

    def best(self, place: str) -> float | None:
        """Return the largest mean return that is published in a place, at whatever budget, lines of the literature included."""
        shown: list[float] = []
        for tables in self._tables():
            shown += [max(c.values) for (there, _), found in tables.curves.items() if there == place for c in found]
            shown += [end.value for (there, _), end in tables.ends.items() if there == place]
            shown += [tables.references[place][1]] if place in tables.references else []
        return max(shown, default=None)

    def goes_on(self, place: str, step: int) -> bool:
        """Return whether a paper shows any arm in a place at a step."""
        found = (
            c for tables in self._tables() for (there, _), curves in tables.curves.items() if there == place for c in curves
        )
        return any(c.at(step) is not None for c in found)

    def end(self, place: str, label: str) -> End | None:
        """Return what a paper shows of an arm at the end of its own budget, if it shows that."""
        for paper in self.papers:
            ends = paper.read().ends
            for name in paper.names(label):
                if (place, name) in ends:
                    return ends[place, name]
        return None

    def reference(self, place: str) -> tuple[str, float] | None:
        """Return name and height of the line that a paper draws in a place, a result of the literature; or None."""
        return next((tables.references[place] for tables in self._tables() if place in tables.references), None)

    def _tables(self) -> Iterator[Tables]:
        return (paper.read() for paper in self.papers)
