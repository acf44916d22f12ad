"""One look for all figures: sizes in print, colours that stay with their algorithm, bands, number formats, reproducible files.

Figures are made without pyplot, so that nothing depends on a display or on what was drawn before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter

from analysis.budget import short_steps

INK = "#22262b"
MUTED = "#6b7280"
GRID = "#e5e7eb"
MINUS = "\N{MINUS SIGN}"

# After Okabe and Ito, muted. A method and its one-sample variant share a hue, the variant is lighter; streaming is the one
# saturated blue. Luminances differ as well, so that the order survives a grey-scale print.
COLOURS = {
    "Stream AC": "#0b5cad",
    "Stream Q": "#0b5cad",
    "Stream SARSA": "#0b5cad",
    "Stream TD": "#0b5cad",
    "Classic AC": "#8d949e",
    "Classic Q": "#8d949e",
    "Classic SARSA": "#8d949e",
    "Classic TD": "#8d949e",
    "PPO": "#c8601a",
    "PPO1": "#eeb384",
    "SAC": "#1f7a63",
    "SAC1": "#8fcbb8",
    "TD3": "#6a4c93",
    "TD3-1": "#b9a3d6",
    "AVG": "#b0306a",
    "AVG-": "#dba0bc",
    "IAC": "#8d949e",
    "IAC+": "#4d4d4d",
    "SAC-1": "#8fcbb8",
    "SAC-100": "#6fae3a",
    "SAC-1+": "#1f7a63",
    "TD3-1+": "#6a4c93",
    "DQN": "#c8601a",
    "DQN1": "#eeb384",
    # Networks with a recurrent cell, and how their gradients are taken.
    "RTU": "#0b5cad",
    "RTU-RTRL": "#0b5cad",
    "RTU-TBPTT": "#7fb0e0",
    "GRU": "#c8601a",
    "GRU-TBPTT": "#c8601a",
    "LSTM": "#6a4c93",
    "FFN": "#8d949e",
    "Stream AC-RTU": "#0b5cad",
    "QRC-RTU": "#1f7a63",
    "PPO-RTU": "#c8601a",
    "Stream AC-FFN": "#8d949e",
    "QRC-FFN": "#c3c8cf",
    # Components taken out of Stream AC.
    "no ObGD": "#7a1f1f",
    "no obs/reward norm": "#e0a030",
    "no LayerNorm": "#7d55b5",
    "no SparseInit": "#2f9e6e",
    # Parts taken out of AVG, or others in their place.
    "no obs norm": "#e0a030",
    "no pnorm": "#7d55b5",
    "no TD scaling": "#2f9e6e",
    "LayerNorm": "#0b5cad",
    "RMSNorm": "#e0a030",
    "tau = 0.5": "#0b5cad",
    "tau = 0.05": "#5aa9d6",
    "tau = 0.005": "#e0a030",
    "tau = 0": "#4d4d4d",
    # Ways to turn a trace and an error into an update.
    "ObGD": "#0b5cad",
    "SGD": "#c8601a",
    "Adam": "#2f9e6e",
    # Learners of labelled streams: UPGD and its unprotecting form, what is without utilities, what resists forgetting.
    "UPGD": "#0b5cad",
    "UPGD-W": "#0b5cad",
    "AdaUPGD": "#123a63",
    "N-UPGD": "#5aa9d6",
    "N-UPGD-W": "#5aa9d6",
    "SGDW": "#c8601a",
    "PGD": "#a4508b",
    "S&P": "#e0a030",
    "AdamW": "#2f9e6e",
    "Adam with restarts": "#8fcbb8",
    "S-EWC": "#6a4c93",
    "S-MAS": "#b9a3d6",
    "S-SI": "#b0306a",
    "S-RWalk": "#7a1f1f",
    "Continual backprop": "#4d4d4d",
    "Generate and test": "#b59b1c",
}
# For arms that no paper knows, in the order in which a figure meets them.
MORE_COLOURS = ("#a4508b", "#b59b1c", "#5b4fa2", "#5aa9d6", "#8c3b3b", "#4d4d4d")
# Inches at the edges of a figure, and of a row of keys or a line of small print below its panels.
MARGIN, KEY_HEIGHT, PRINT_HEIGHT = 0.07, 0.19, 0.15
SMALL_PRINT = 6.5
HINTING = 1.04
# A second, third, ... arm of a method in one panel is mixed with so much white.
SHADES = (0.0, 0.5, 0.72)

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
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save in the project's style, whatever the user's own settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def method(label: str) -> str:
    """Return the method of an arm without its setting: `Stream AC` of `Stream AC(0.8)`, `Adam` of `Adam, 3e-4`."""
    return re.split(r"\(|, ", label, maxsplit=1)[0].strip() or label


def colours(panels: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return a colour for each arm: that of its method, the same in every figure for those of the papers.

    Args:
        panels: labels of the arms of each panel. Arms that would look alike in one panel get lighter from one to the next.
    """
    labels = list(dict.fromkeys(label for panel in panels for label in panel))
    bases: dict[str, str] = {}
    for label in labels:
        new = MORE_COLOURS[sum(base in MORE_COLOURS for base in dict.fromkeys(bases.values())) % len(MORE_COLOURS)]
        same = next((bases[other] for other in bases if method(other) == method(label)), new)
        bases[label] = COLOURS.get(label, COLOURS.get(method(label), same))
    shades: dict[str, int] = {}
    for label in labels:
        beside = {other for panel in panels if label in panel for other in panel} & set(shades)
        taken = {shades[other] for other in beside if bases[other] == bases[label]}
        shades[label] = min(set(range(len(taken) + 1)) - taken)
    return {label: to_hex(lighter(bases[label], SHADES[min(shades[label], len(SHADES) - 1)])) for label in labels}


def lighter(colour: str, share: float) -> tuple[float, float, float]:
    """Return a colour mixed with white."""
    r, g, b = (1 - (1 - share) * (1 - channel) for channel in to_rgb(colour))
    return r, g, b


def band(axes: Axes, x: np.ndarray, mean: np.ndarray, half: np.ndarray, colour: str, strong: bool = False) -> None:
    """Draw a mean curve over its band; where the half-width is unknown there is only the curve."""
    width, order = (1.8, 4.0) if strong else (1.1, 3.0)
    axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.18, linewidth=0, zorder=order - 1)
    axes.plot(x, mean, color=colour, linewidth=width, zorder=order)
    if np.isfinite(mean).sum() == 1:
        axes.plot(x, mean, color=colour, marker="o", markersize=2.5, zorder=order)


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
    """Write a figure as STEM.png and STEM.svg; the same figure gives the same bytes. Call it within `style()`."""
    png, svg = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    figure.savefig(png, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return [png, svg]
