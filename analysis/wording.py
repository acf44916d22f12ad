"""Numbers and names of figures as sentences and pages have them."""

from __future__ import annotations

import math

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


def number(value: float, like: float | None = None) -> str:
    """Return a number with as many decimals as its size, or that of `like`, deserves."""
    size = abs(value if like is None or math.isnan(like) else like)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 4 if 0 < size < 0.05 else 2
    shown = f"{abs(value):,.{decimals}f}"
    return f"\N{MINUS SIGN}{shown}" if value < 0 and shown.strip("0.,") else shown


def signed(value: float) -> str:
    """Return a difference with its sign."""
    shown = number(value)
    return shown if shown.startswith("\N{MINUS SIGN}") else f"+{shown}"


def figure_words(figure: str) -> str:
    """Return `Fig. 7` for `Fig7`."""
    return figure.replace("Fig", "Fig.\N{NO-BREAK SPACE}") if figure.startswith("Fig") and "." not in figure else figure
