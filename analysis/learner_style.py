"""How each learner of the suite looks: a colour, a marker and a dash, the same in bars, curves and scatters of every figure.

The dash of a learner is solid for a method as its authors have it, long for its form with a batch of one or with a part taken
alone, dash and dot for a classic form or one without a part. Where a figure shows settings of one learner (`UPGD, local`), they
derive from it: they keep its marker, are lighter, and have other dashes.

Of two learners that meet in a panel, colours are apart by a CIEDE2000 distance of 10 or more, also under protanopia and
deuteranopia; what they are not in grey, markers and dashes are. `tests/analysis/test_learner_style.py` calculates it for every
figure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.colors import to_hex, to_rgb

Dash = tuple[float, ...]
SOLID: Dash = ()
DASHED: Dash = (4.5, 1.4)
DASHDOT: Dash = (4.5, 1.3, 1.0, 1.3)


@dataclass(frozen=True)
class Style:
    """The look of a learner: a colour, a marker of matplotlib, and lengths of dashes and gaps in line widths (none: solid)."""

    colour: str
    marker: str
    dash: Dash = SOLID

    @property
    def linestyle(self) -> Any:
        """Return the dash as matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"


# Colours stand for methods as people know them from the papers: streaming saturated blue, classic grey, PPO orange, SAC green,
# TD3 purple, AVG crimson. Within these hues they were chosen for their distances.
BLUE, GREY, ORANGE, PURPLE, GREEN, AMBER, CRIMSON = "#0b5cad", "#8d949e", "#c8601a", "#7f73db", "#2f9e6e", "#e0a030", "#ab185c"

STYLES: dict[str, Style] = {
    "Stream AC": Style(BLUE, "o"),
    "Stream Q": Style("#0091a8", "D"),
    "Stream SARSA": Style("#3f51b5", ">"),
    "Stream TD": Style("#39649e", "p"),
    "Classic AC": Style(GREY, "X", DASHDOT),
    "Classic AC, step size 1e-9": Style("#a65a12", "v", DASHED),
    "Classic AC, step size 1e-11": Style("#353535", "s", DASHED),
    "Classic Q": Style("#a7a08b", "v", DASHDOT),
    "Classic SARSA": Style("#b6b6b6", "8", DASHDOT),
    "Classic TD": Style(GREY, "h", DASHDOT),
    "PPO": Style(ORANGE, "^"),
    "PPO1": Style("#e9a066", "^", DASHED),
    "PPO1, step size / 3": Style("#a65a12", "v", DASHDOT),
    "SAC": Style("#135a4f", "s"),
    "SAC1": Style("#8bcec0", "s", DASHED),
    "SAC-100": Style("#3fae8a", "s", DASHDOT),
    "TD3": Style("#836285", "d"),
    "TD3-1": Style("#ba8ee1", "d", DASHED),
    "DQN": Style("#7a1f1f", "<"),
    "DQN1": Style("#9b6c59", "<", DASHED),
    "AVG": Style(CRIMSON, "*"),
    "AVG-": Style("#e8b2cb", "*", DASHDOT),
    "IAC": Style("#818181", "P"),
    "IAC+": Style("#493b2c", "P", DASHDOT),
    "SAC-1": Style("#92b847", "h", DASHED),
    "SAC-1+": Style("#46792d", "h", DASHDOT),
    "TD3-1+": Style("#5d2e8d", "d", DASHDOT),
    # AVG's own, where they meet those of the suite.
    "SAC-1 (AVG)": Style("#92b847", "h", DASHED),
    "TD3-1 (AVG)": Style("#c27fb8", ">", DASHED),
    # Networks with a recurrent cell, and how their gradients are taken.
    "RTU": Style(BLUE, "o"),
    "RTU-RTRL": Style(BLUE, "o"),
    "RTU-TBPTT": Style("#4fa9dd", "v", DASHED),
    "GRU": Style(ORANGE, "s"),
    "GRU-TBPTT": Style(ORANGE, "s"),
    "LSTM": Style("#6d3f72", "^"),
    "FFN": Style(GREY, "D", DASHDOT),
    "Stream AC-RTU": Style(BLUE, "o"),
    "QRC-RTU": Style("#137c5f", "D"),
    "PPO-RTU": Style(ORANGE, "^"),
    "PPO-RTU, step size 1e-4": Style("#7a1f1f", "v", DASHDOT),
    "PPO-RTU, step size 1e-3": Style("#e0b878", "s", DASHED),
    "Stream AC-FFN": Style(GREY, "X", DASHDOT),
    "Stream AC-FFN, wide": Style("#8c564b", "D", DASHED),
    "Stream AC-RTU, kappa/4": Style("#4fa9dd", "v", DASHED),
    "Stream AC-FFN, kappa/4": Style("#3e3e3e", "P", DASHDOT),
    "Stream AC-FFN, wide, kappa/4": Style("#d2a438", "s", DASHED),
    "Stream AC-RTU, LN in all": Style("#4fa9dd", "v", DASHED),
    "Stream AC-FFN, LN in all": Style("#3e3e3e", "P", DASHDOT),
    "QRC-FFN": Style("#a8ce5c", "P", DASHDOT),
    # Components taken out of Stream AC.
    "no ObGD": Style("#55150e", "v", DASHDOT),
    "no obs/reward norm": Style(AMBER, "D", DASHDOT),
    "no LayerNorm": Style(PURPLE, "s", DASHDOT),
    "no SparseInit": Style(GREEN, "^", DASHDOT),
    # Forms of a learner that paper and code do not share.
    "reward variance around 0": Style(AMBER, "D", DASHED),
    "one set of inputs a layer": Style(PURPLE, "s", DASHED),
    "as the paper writes": Style("#55150e", "v", DASHED),
    "trace never cut": Style(AMBER, "s", DASHED),
    # Parts taken out of AVG, one of them alone, or others in their place.
    "no obs norm": Style(AMBER, "D", DASHDOT),
    "no pnorm": Style(PURPLE, "s", DASHDOT),
    "no TD scaling": Style("#5ba57b", "^", DASHDOT),
    "obs norm only": Style("#8a5a00", "D", DASHED),
    "pnorm only": Style("#5d2e8d", "s", DASHED),
    "TD scaling only": Style("#0e3c26", "^", DASHED),
    "LayerNorm": Style("#11689e", "o", DASHED),
    "RMSNorm": Style("#d2a438", "v", DASHED),
    "tau = 0.5": Style("#11689e", "o", DASHED),
    "tau = 0.05": Style("#25a1cc", "^", DASHED),
    "tau = 0.005": Style("#d2a438", "v", DASHED),
    "tau = 0": Style("#3e3e3e", "X", DASHDOT),
    # Where the entropy of IAC stands.
    "no entropy": Style("#353535", "X", DASHDOT),
    "distribution in actor": Style(CRIMSON, "P"),
    "sample": Style("#d2a438", "v", DASHED),
    "distribution": Style("#11689e", "o", DASHED),
    # Ways to turn a trace and an error into an update.
    "ObGD": Style(BLUE, "o"),
    "SGD": Style("#c26a24", "s"),
    "Adam": Style("#5ba57b", "^"),
    # Learners of labelled streams: UPGD and its unprotecting form, what is without utilities, what resists forgetting.
    "UPGD": Style(BLUE, "o"),
    "UPGD-W": Style(BLUE, "o"),
    "AdaUPGD": Style("#123a63", "p"),
    "N-UPGD": Style("#7dbbf7", "v"),
    "N-UPGD-W": Style("#7dbbf7", "v"),
    "SGDW": Style("#c26a24", "s"),
    "PGD": Style("#8a607e", "P"),
    "S&P": Style(AMBER, "X"),
    "AdamW": Style("#5ba57b", "^"),
    "Adam with restarts": Style("#80c2b5", "^", DASHED),
    "S-EWC": Style("#633568", "D", DASHDOT),
    "S-MAS": Style("#9f7eba", "<", DASHDOT),
    "S-SI": Style("#932642", ">", DASHDOT),
    "S-RWalk": Style("#820008", "h", DASHDOT),
    "Continual backprop": Style("#4d4d4d", "p", DASHDOT),
    "Generate and test": Style("#cab741", "*", DASHDOT),
    # Utilities of weights and features.
    "second order": Style(BLUE, "o"),
    "first order": Style("#b65f3b", "s"),
    "squared gradient": Style("#3d9b7d", "^"),
    "magnitude": Style(PURPLE, "D", DASHED),
    "random": Style("#8897ab", "X", DASHDOT),
}
# For learners that no paper knows, in the order in which a figure meets them.
MORE: tuple[Style, ...] = (
    Style("#d0558f", "p"),
    Style("#6b8e23", "h"),
    Style("#5b4fa2", "8"),
    Style("#5aa9d6", ">"),
    Style("#8c3b3b", "<"),
    Style("#4d4d4d", "d"),
)
# The first, second, ... setting that derives from a learner has so much white, or black where it is light itself, and its dash.
SHADES = (0.0, 0.45, 0.62, 0.3)
OTHER_DASHES = (DASHED, DASHDOT, (1.6, 1.2), SOLID)
# From this lightness on (mean of the channels), what derives from a colour is darker.
LIGHT = 0.6
# What stands in keys in place of labels that only their specification explains.
WORDS = {"5 % of 5M": "Stream SARSA(0.8), exploring for 250k steps instead of 50k"}


def words(label: str) -> str:
    """Return an arm's label as a reader of the figure understands it."""
    return WORDS.get(label, label)


def method(label: str) -> str:
    """Return the method of an arm without its setting: `Stream AC` of `Stream AC(0.8)`, `Adam` of `Adam, 3e-4`."""
    if label in STYLES:
        return label
    if "(AVG)" in label:
        return label.partition(", ")[0]
    return re.split(r"\(|, ", words(label), maxsplit=1)[0].strip() or label


def styles(panels: Sequence[Sequence[str]]) -> dict[str, Style]:
    """Return the look of each arm: that of its method, the same in every figure for those of the papers.

    Args:
        panels: labels of the arms of each panel. The settings of a method that meet in one panel derive from each other.
    """
    labels = list(dict.fromkeys(label for panel in panels for label in panel))
    new = [name for name in dict.fromkeys(map(method, labels)) if name not in STYLES]
    bases = {name: STYLES.get(name, MORE[new.index(name) % len(MORE)] if name in new else None) for name in map(method, labels)}
    places: dict[str, int] = {}
    # A learner itself comes before its settings, whatever order they stand in.
    for label in sorted(labels, key=lambda label: label != method(label)):
        beside = {other for panel in panels if label in panel for other in panel} & set(places)
        taken = {places[other] for other in beside if method(other) == method(label)}
        places[label] = min(set(range(len(taken) + 1)) - taken)
    found = {}
    for label in labels:
        base = bases[method(label)]
        assert base is not None
        found[label] = derived(base, places[label])
    return found


def derived(style: Style, place: int) -> Style:
    """Return the look of the first, second, ... setting of a learner; that of the learner itself at place 0."""
    if place == 0:
        return style
    share = SHADES[min(place, len(SHADES) - 1)]
    mixed = darker(style.colour, share) if sum(to_rgb(style.colour)) / 3 > LIGHT else lighter(style.colour, share)
    dashes = [dash for dash in OTHER_DASHES if dash != style.dash]
    return Style(to_hex(mixed), style.marker, dashes[(place - 1) % len(dashes)])


def lighter(colour: str, share: float) -> tuple[float, float, float]:
    """Return a colour mixed with white."""
    r, g, b = (1 - (1 - share) * (1 - channel) for channel in to_rgb(colour))
    return r, g, b


def darker(colour: str, share: float) -> tuple[float, float, float]:
    """Return a colour mixed with black."""
    r, g, b = ((1 - share) * channel for channel in to_rgb(colour))
    return r, g, b
