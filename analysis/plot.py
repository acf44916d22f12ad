"""One look for all figures: sizes in print, bands, number formats, reproducible files. Learners: `analysis.learner_style`.

Figures are made without pyplot, so that nothing depends on a display or on what was drawn before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter

from analysis.budget import short_steps
from analysis.learner_style import Style

INK = "#22262b"
MUTED = "#6b7280"
GRID = "#e5e7eb"
MINUS = "\N{MINUS SIGN}"
# Behind words that stand on lines.
BEHIND_WORDS = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}

# Inches at the edges of a figure, and of a row of keys or a line of small print below its panels.
MARGIN, KEY_HEIGHT, PRINT_HEIGHT = 0.07, 0.19, 0.15
SMALL_PRINT = 6.5
HINTING = 1.04

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "axes.linewidth": 0.7,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 220,
    "svg.fonttype": "path",
    "svg.hashsalt": "streaming-rl",
    "pdf.compression": 9,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save in the project's style, whatever the user's own settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def band(axes: Axes, x: np.ndarray, mean: np.ndarray, half: np.ndarray, look: Style) -> None:
    """Draw a mean over its band, of too many points for markers; where the half-width is unknown there is only the mean."""
    axes.fill_between(x, mean - half, mean + half, color=look.colour, alpha=0.16, linewidth=0, zorder=2)
    axes.plot(x, mean, color=look.colour, linewidth=1.1, zorder=3)


def short_number(value: float) -> str:
    """Return a return in three or four digits, to stand above a bar."""
    if not math.isfinite(value):
        return "-"
    if abs(value) >= 10_000:
        return f"{value / 1000:.3g}k" if abs(value) < 1e6 else f"{value / 1e6:.3g}M"
    if abs(value) < 0.005:
        return "0"
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"
    return text.replace("-", MINUS)


def plain_number(value: float) -> str:
    """Return a number for a table: whole if large, with three digits if small, empty if there is none."""
    if not math.isfinite(value):
        return "" if math.isnan(value) else f"{value}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def step_axis(axes: Axes) -> None:
    """Label an x axis of environment steps."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_steps(value) if value else "0"))


def return_axis(axes: Axes) -> None:
    """Label a y axis of returns, in thousands where they are large."""

    def text(value: float, _: int | None = None) -> str:
        return (f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}").replace("-", MINUS)

    axes.yaxis.set_major_formatter(FuncFormatter(text))


def panel_grid(lines: int, columns: int, size: tuple[float, float], narrowest: float, panels: int) -> tuple[Figure, Any]:
    """Return a figure with lines and columns of panels, `size` inches each, and the panels; those past `panels` are off."""
    width, height = size
    figure = Figure(figsize=(max(columns * width + 0.2, narrowest), lines * height), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.05, h_pad=0.05, wspace=0.03, hspace=0.03)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[panels:]:
        axes.set_axis_off()
    return figure, grid


def set_title(axes: Axes, title: str, width: float = 1.75) -> None:
    """Put a title above a panel, in letters so small that it is at most `width` inches long (`dm_control/...`)."""
    size = STYLE["axes.titlesize"]
    axes.set_title(title, pad=5, fontsize=min(size, size * width / text_inches(title, size, STYLE["axes.titleweight"])))


@cache
def text_inches(text: str, size: float, weight: str = "normal") -> float:
    """Return how wide a text of a font size (in points) is, in inches."""
    if not text.strip():
        return 0.0
    font = FontProperties(family=STYLE["font.family"], weight=weight)
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().x1) / 72


def wrap(text: str, width: float, size: float) -> list[str]:
    """Break a text into lines of at most `width` inches where it has spaces."""
    lines: list[list[str]] = []
    used, space = 0.0, text_inches("a a", size) - 2 * text_inches("a", size)
    for word in text.split():
        needed = text_inches(word, size)
        if lines and used + space + needed <= width:
            lines[-1].append(word)
            used += space + needed
        else:
            lines.append([word])
            used = needed
    return [" ".join(words) for words in lines]


def below(figure: Figure, rows: Sequence[Sequence[Any]], lines: Sequence[str]) -> None:
    """Write keys and small print under the panels, and leave room for them.

    Args:
        figure: laid out by the constrained engine; as high as its panels need. It grows by what stands below them.
        rows: groups of legend handles; each starts a row, and takes several if the figure is narrow.
        lines: sentences of the small print; each starts a line.
    """
    width, height = figure.get_size_inches()
    keys = [row for handles in rows for row in _rows_of_keys(handles, width - 2 * MARGIN)]
    # On the page a line is a little longer than its outline, since letters stand on whole pixels.
    print_lines = [part for line in lines for part in wrap(line, (width - 2 * MARGIN) / HINTING, SMALL_PRINT)]
    foot = KEY_HEIGHT * len(keys) + PRINT_HEIGHT * len(print_lines) + 0.1
    total = height + foot
    figure.set_size_inches(width, total)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, foot / total, 1, 1 - foot / total))
    for i, handles in enumerate(keys):
        y = (foot - KEY_HEIGHT * (i + 0.5)) / total
        figure.legend(
            handles=handles,
            loc="center left",
            bbox_to_anchor=(MARGIN / width, y),
            ncols=len(handles),
            handlelength=1.8,
            handletextpad=0.6,
            columnspacing=1.6,
            borderpad=0,
            borderaxespad=0,
        )
    for i, text in enumerate(print_lines):
        y = (foot - KEY_HEIGHT * len(keys) - PRINT_HEIGHT * i - 0.06) / total
        figure.text(MARGIN / width, y, text, fontsize=SMALL_PRINT, color=MUTED, ha="left", va="top")


def _rows_of_keys(handles: Sequence[Any], width: float) -> list[list[Any]]:
    """Break legend handles into rows that fit; matplotlib would fill columns first and make all as wide as the widest."""
    size = STYLE["legend.fontsize"]
    rows: list[list[Any]] = []
    used = 0.0
    for handle in handles:
        # Line, gap to its text and gap to the next, in font sizes.
        needed = text_inches(handle.get_label(), size) * HINTING + (1.8 + 0.6 + 1.6) * size / 72
        if not rows or used + needed > width:
            rows.append([])
            used = 0.0
        rows[-1].append(handle)
        used += needed
    return rows


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as STEM.png, STEM.svg and STEM.pdf; the same figure gives the same bytes. Call it within `style()`."""
    # What a format would tell of when and by what it was written.
    unsaid: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    files = [stem.with_name(f"{stem.name}.{format}") for format in unsaid]
    for file, metadata in zip(files, unsaid.values(), strict=True):
        figure.savefig(file, metadata=metadata)
    return files
