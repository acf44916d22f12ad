"""How far apart colours are for people who see them differently: CIEDE2000 under simulated dichromacy, and in grey.

Sources: Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency", whose
matrices for severity 1 act on linear RGB; Sharma, Wu and Dalal 2005, "The CIEDE2000 color-difference formula", from which the
test values of `test_learner_style.py` are too; sRGB by IEC 61966-2-1 under its own white, D65.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.colors import to_rgb

Vision = Literal["normal", "protanopia", "deuteranopia", "grey"]
VISIONS: tuple[Vision, ...] = ("normal", "protanopia", "deuteranopia", "grey")

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
MACHADO = {
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def distance(one: str, other: str, vision: Vision = "normal") -> float:
    """Return the CIEDE2000 distance of two colours as somebody of that vision sees them; 1 is about the least one notices."""
    return ciede2000(lab(seen(one, vision)), lab(seen(other, vision)))


def seen(colour: str, vision: Vision) -> np.ndarray:
    """Return a colour in linear RGB as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if vision == "grey":
        return np.full(3, linear @ LUMINANCE)
    return np.clip(MACHADO[vision] @ linear, 0.0, 1.0) if vision in MACHADO else linear


def lab(linear: np.ndarray) -> np.ndarray:
    """Return CIELAB of a colour in linear RGB."""
    ratios = TO_XYZ @ linear / TO_XYZ.sum(axis=1)
    f = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(one: np.ndarray, other: np.ndarray) -> float:
    """Return the colour difference of two colours in CIELAB; equation numbers are Sharma's."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2  # (3)
    g = 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25.0**7)))  # (4)
    a1, a2 = (1 + g) * a1, (1 + g) * a2  # (5)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)  # (6)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360  # (7)
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180  # (10)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)  # (8), (9), (11)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2  # (12), (13)
    hue = (h1 + h2) if c1 * c2 == 0 else h1 + ((h2 - h1 + 180) % 360 - 180) / 2  # (14)
    t = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.20 * _cos(4 * hue - 63)  # (15)
    rotation = 30 * np.exp(-((((hue % 360) - 275) / 25) ** 2))  # (16)
    rc = 2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))  # (17)
    sl = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)  # (18)
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t  # (19), (20)
    rt = -np.sin(np.radians(2 * rotation)) * rc  # (21)
    dl, dc, dh = dl / sl, dc / sc, dh / sh
    return float(np.sqrt(dl**2 + dc**2 + dh**2 + rt * dc * dh))  # (22)


def _cos(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))
