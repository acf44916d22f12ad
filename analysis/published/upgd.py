"""UPGD (arXiv:2404.00781): its results are figures, and it has no tables of results. So there is nothing to read.

It is listed because its experiments are named by its figures.
"""

from __future__ import annotations

from analysis.published.records import Paper, Tables

UPGD = Paper(name="UPGD", seeds=20, window="the last two tasks", figures=(), read=Tables)
