"""One look for all figures: sizes in print, colours that stay with their algorithm, bands, number formats, reproducible files.

Figures are made without pyplot, so that nothing depends on a display or on what was drawn before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
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
    "DQN": "#c8601a",
    "DQN1": "#eeb384",
}
# For arms that no paper knows, in the order in which a figure meets them.
MORE_COLOURS = ("#a4508b", "#b59b1c", "#5b4fa2", "#5aa9d6", "#8c3b3b", "#4d4d4d")

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


def colours(labels: Sequence[str]) -> dict[str, str]:
    """Return a colour for each arm: the same in every figure for those of the papers."""
    unknown = [label for label in dict.fromkeys(labels) if label not in COLOURS]
    new = {label: MORE_COLOURS[i % len(MORE_COLOURS)] for i, label in enumerate(unknown)}
    return {label: COLOURS.get(label, new.get(label, MUTED)) for label in labels}


def is_streaming(label: str) -> bool:
    """Return whether an arm is one of the streaming algorithms, which figures emphasise."""
    return label.startswith("Stream ")


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
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}"
    return text.replace("-", MINUS)


def plain_number(value: float) -> str:
    """Return a number for a table: whole if large, with three decimals if small, empty if there is none."""
    if not math.isfinite(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def step_axis(axes: Axes) -> None:
    """Label an x axis of environment steps."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_steps(value) if value else "0"))


def return_axis(axes: Axes) -> None:
    """Label a y axis of returns, in thousands where they are large."""

    def text(value: float, _: int | None = None) -> str:
        return (f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}").replace("-", MINUS)

    axes.yaxis.set_major_formatter(FuncFormatter(text))


def set_title(axes: Axes, title: str) -> None:
    """Put a title above a panel, in smaller letters if it is long (`dm_control/...`)."""
    axes.set_title(title, pad=5, fontsize=9 if len(title) <= 20 else 8)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as STEM.png and STEM.svg; the same figure gives the same bytes. Call it within `style()`."""
    png, svg = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    figure.savefig(png, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return [png, svg]
