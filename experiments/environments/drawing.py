"""Plain pictures of simulated robots: shapes in metres or millimetres on a canvas, smooth at their edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

COLOURS = {
    "paper": (255, 255, 255),
    "floor": (238, 238, 234),
    "free": (246, 250, 246),
    "wall": (120, 124, 130),
    "faint": (150, 156, 162),
    "dark": (44, 48, 56),
    "joint": (206, 212, 218),
    "body": (84, 122, 165),
    "tool": (224, 142, 46),
    "mark": (196, 56, 52),
}
# Drawn so many times as large, then made smaller.
FINER = 3
Point = Sequence[float] | np.ndarray


class Canvas:
    """A picture whose coordinates are those of the scene, the second one upwards."""

    def __init__(self, low: Point, high: Point, width: int):
        from PIL import Image, ImageDraw  # only where something is drawn

        self._low, self._high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        size = self._high - self._low
        self._shape = (width, round(width * float(size[1] / size[0])))
        self._scale = FINER * width / float(size[0])
        self._image = Image.new("RGB", (FINER * self._shape[0], FINER * self._shape[1]), COLOURS["paper"])
        self._draw = ImageDraw.Draw(self._image)

    def rectangle(self, low: Point, high: Point, fill: str = "", outline: str = "", width: float = 0.0) -> None:
        """Draw a rectangle by two corners."""
        (left, bottom), (right, top) = self._at(low), self._at(high)
        self._draw.rectangle((left, top, right, bottom), **self._style(fill, outline, width))

    def circle(self, centre: Point, radius: float, fill: str = "", outline: str = "", width: float = 0.0) -> None:
        """Draw a disc, or a ring."""
        self._draw.ellipse(self._around(centre, radius), **self._style(fill, outline, width))

    def arc(self, centre: Point, radius: float, begin: float, end: float, colour: str, width: float) -> None:
        """Draw a part of a ring between two angles in rad, counted against the clock."""
        angles = (-math.degrees(end), -math.degrees(begin))  # Pillow counts with the clock
        self._draw.arc(self._around(centre, radius), *angles, fill=COLOURS[colour], width=round(width * self._scale))

    def line(self, begin: Point, end: Point, colour: str, width: float) -> None:
        """Draw a line with round ends."""
        self._draw.line((*self._at(begin), *self._at(end)), fill=COLOURS[colour], width=max(1, round(width * self._scale)))
        for point in (begin, end):
            self._draw.ellipse(self._around(point, width / 2), fill=COLOURS[colour])

    def text(self, place: Point, words: str, colour: str) -> None:
        """Write a line below and to the right of a point."""
        from PIL import ImageFont

        self._draw.text(self._at(place), words, fill=COLOURS[colour], font=ImageFont.load_default(14 * FINER))

    def scale(self, right_end: Point, length: float, words: str) -> None:
        """Draw a bar of a length that ends at a point, and say above it how long it is."""
        size = self._high - self._low
        right, y = np.asarray(right_end, np.float64)
        self.line((right - length, y), (right, y), "dark", 0.006 * float(size[0]))
        self.text((right - length, y + 0.05 * size[1]), words, "dark")

    def pixels(self) -> np.ndarray:
        """Return the picture, uint8 [height, width, 3]."""
        from PIL import Image

        return np.asarray(self._image.resize(self._shape, Image.Resampling.BOX), np.uint8)

    def _at(self, point: Point) -> tuple[float, float]:
        x, y = np.asarray(point, np.float64)
        return (x - self._low[0]) * self._scale, (self._high[1] - y) * self._scale

    def _around(self, centre: Point, radius: float) -> tuple[float, float, float, float]:
        x, y = self._at(centre)
        size = radius * self._scale
        return x - size, y - size, x + size, y + size

    def _style(self, fill: str, outline: str, width: float) -> dict[str, Any]:
        line = {"outline": COLOURS[outline], "width": max(1, round(width * self._scale))} if outline else {}
        return {**({"fill": COLOURS[fill]} if fill else {}), **line}
