"""A series made up to be like ETTm2, for machines that cannot fetch it. Its numbers say nothing about the real one.

Six loads with daily, weekly and yearly periods and noise that lasts for hours, and an oil temperature that follows them and
the weather with a lag. The same numbers wherever it is made: the noise comes from a counter-based generator with a fixed
key, and values have three decimals, like readings.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate

import numpy as np

NAME = "ETTm2-generated"
ROWS = 69_680
ROWS_PER_DAY = 96
YEAR_DAYS = 365.25

KEY = 20210714

# Of each load: level, daily swing, hour of its peak, yearly swing, size of the noise.
LOADS = (
    (37.0, 8.0, 19.0, 4.0, 5.0),
    (9.7, 2.5, 13.0, 1.0, 2.0),
    (33.0, 7.0, 20.0, 3.5, 4.5),
    (7.2, 2.0, 11.0, 0.8, 1.8),
    (4.2, 0.8, 21.0, 0.6, 0.5),
    (1.2, 0.3, 9.0, 0.2, 0.4),
)
LOAD_NOISE_ROWS = 8
WEATHER_NOISE_ROWS = 3 * ROWS_PER_DAY
OIL_LAG_ROWS = 16


@cache
def load() -> np.ndarray:
    """Return the series, float64 [69680, 7]: six loads, then the oil temperature in degrees. Not writable."""
    noise = np.random.Generator(np.random.Philox(key=KEY)).standard_normal((ROWS, len(LOADS) + 1))
    days = np.arange(ROWS) / ROWS_PER_DAY
    weekend = (days % 7 >= 5).astype(np.float64)
    loads = [
        level
        + daily * (_wave(days - peak / 24) - 0.3 * weekend)
        + yearly * _wave((days - 15) / YEAR_DAYS)
        + size * _lasting(noise[:, channel], LOAD_NOISE_ROWS)
        for channel, (level, daily, peak, yearly, size) in enumerate(LOADS)
    ]
    weather = (
        14 + 11 * _wave((days - 200) / YEAR_DAYS) + 4 * _wave(days - 15 / 24) + 4 * _lasting(noise[:, -1], WEATHER_NOISE_ROWS)
    )
    oil = _following(weather + 0.3 * loads[0] + 0.1 * loads[2], OIL_LAG_ROWS)
    series = np.stack([*loads, oil], axis=1).round(3)
    series.setflags(write=False)
    return series


def _wave(turns: np.ndarray) -> np.ndarray:
    return np.cos(2 * np.pi * turns)


def _following(values: np.ndarray, rows: int) -> np.ndarray:
    """Return a series that approaches another with a time constant of so many rows."""
    rate = 1.0 / rows
    return np.array(list(accumulate(values.tolist(), lambda level, value: level + rate * (value - level))))


def _lasting(noise: np.ndarray, rows: int) -> np.ndarray:
    """Return noise that lasts for so many rows, of the same variance."""
    rate = 1.0 / rows
    return _following(noise, rows) * np.sqrt((2 - rate) / rate)
