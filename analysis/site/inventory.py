"""The figures of the papers, as `papers.toml` lists them, and which experiment shows which."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from experiments.spec import Experiment

LIST = Path(__file__).with_name("papers.toml")
TOKEN = re.compile(r"(\d+)([a-z]?)|\b([a-z])\b|\bto\b")


@dataclass(frozen=True)
class PaperFigure:
    """One figure of a paper.

    Attributes:
        label: its number, and letter where it has parts.
        shows: what it shows.
        claim: what the paper concludes from it; empty where nothing is known.
        absent: why no experiment shows it, if none does.
        uncertain: its number is inferred.
    """

    label: str
    shows: str
    claim: str = ""
    absent: str = ""
    uncertain: bool = False


@dataclass(frozen=True)
class ListedPaper:
    """A paper with all its figures."""

    name: str
    title: str
    arxiv: str
    figures: tuple[PaperFigure, ...]


@cache
def _list() -> Mapping[str, object]:
    return tomllib.loads(LIST.read_text())


def papers() -> tuple[ListedPaper, ...]:
    """Return the papers in the order in which results are listed."""
    found = []
    for paper in _list()["paper"]:  # type: ignore[attr-defined]
        figures = tuple(PaperFigure(one.pop("figure"), **one) for one in map(dict, paper["figures"]))
        found.append(ListedPaper(paper["name"], paper["title"], paper["arxiv"], figures))
    return tuple(found)


def question(name: str) -> str:
    """Return what an experiment of our own asks; empty for one of a paper."""
    return str(_list()["questions"].get(name, ""))  # type: ignore[attr-defined]


def labels_of(source: str) -> tuple[str, ...]:
    """Return the figures that a source names, with their parts: `Figs. 1b and c` are 1b and 1c, `Figs. 18 to 20` three."""
    _, named, text = source.partition("Fig")
    found: list[str] = []
    upto = False
    for token in TOKEN.finditer(text.removeprefix("s.")) if named else ():
        number, letter, part = token.groups()
        if number and upto:
            found += [str(between) for between in range(int(found[-1]) + 1, int(number))]
        if number:
            found.append(number + letter)
        elif part and found:
            found.append(re.sub(r"\D", "", found[-1]) + part)
        upto = token[0] == "to"
    return tuple(found)


def paper_of(source: str) -> ListedPaper | None:
    """Return the paper that an experiment is of, by the first word of its source; None if it is ours."""
    first = source.split(maxsplit=1)[0].rstrip(",")
    return next((paper for paper in papers() if paper.name == first and "Fig" in source), None)


def is_shown_by(paper: ListedPaper, figure: PaperFigure, experiment: Experiment) -> bool:
    """Return whether an experiment is of a figure: it names it, or the whole of which it is a part."""
    whole = re.sub(r"\D", "", figure.label)
    return paper_of(experiment.source) == paper and not {figure.label, whole}.isdisjoint(labels_of(experiment.source))


def figures_of(experiment: Experiment) -> Iterator[PaperFigure]:
    """Yield the figures that an experiment shows."""
    paper = paper_of(experiment.source)
    for figure in paper.figures if paper else ():
        if paper and is_shown_by(paper, figure, experiment):
            yield figure
