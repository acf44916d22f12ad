"""ETTm2: loads and oil temperature of an electricity transformer, every 15 minutes for two years.

Zhou et al., 2021, *Informer* (arXiv:2012.07436), repository zhouhaoyi/ETDataset. Its authors published no checksum; the MD5 is
the one by which libraries of time series (darts) know the file.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.datasets import files
from experiments.datasets.files import DataFile

FILE = DataFile(
    name="ETTm2.csv",
    url="https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTm2.csv",
    digest="md5:7687e47825335860bf58bccb31be0c56",
    instead=", or use ETTm2-generated, which is made up",
)
COLUMNS = ("date", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
ROWS = 69_680
SPACING = timedelta(minutes=15)


class Series(NamedTuple):
    """The channels, float64 [69680, 7] with the oil temperature last, not writable; and the SHA-256 of their file."""

    channels: np.ndarray
    sha256: str


def load(path: Path, accepted: str = "") -> Series:
    """Return the series; fetch the file if it is missing.

    Raise `UserError` if the file is neither the published one nor that whose SHA-256 is `accepted`, or is missing and cannot
    be fetched.
    """
    return _load(path.absolute(), accepted)


def parse(content: bytes) -> np.ndarray:
    """Return the channels of the published file, float64 [69680, 7]; raise `ValueError` with the reason if it is another."""
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise ValueError("it is not a text file") from None
    if not lines or lines[0] != ",".join(COLUMNS):
        raise ValueError(f"its first line is {lines[0][:80] if lines else ''!r} instead of {','.join(COLUMNS)!r}")
    if len(lines) - 1 != ROWS:
        raise ValueError(f"it has {len(lines) - 1:,} rows instead of {ROWS:,}")
    rows, due = [], None
    for number, line in enumerate(lines[1:], 2):
        try:
            date, *words = line.split(",")
            time, values = datetime.fromisoformat(date), [float(word) for word in words]
        except ValueError:
            raise ValueError(f"line {number} cannot be read: {line[:80]!r}") from None
        if len(values) != len(COLUMNS) - 1 or not all(map(math.isfinite, values)):
            raise ValueError(f"line {number} does not hold {len(COLUMNS) - 1} finite numbers: {line[:80]!r}")
        if time != (due or time):
            raise ValueError(f"line {number} is not 15 minutes after the line before: {line[:80]!r}")
        due = time + SPACING
        rows.append(values)
    return np.array(rows)


@lru_cache(maxsize=1)
def _load(path: Path, accepted: str) -> Series:
    content = files.load(FILE, path, parse, accepted)
    channels = parse(content)
    channels.setflags(write=False)
    return Series(channels, files.sha256(content))
