"""ETTm2: loads and oil temperature of an electricity transformer, every 15 minutes for two years.

Zhou et al., 2021, *Informer* (arXiv:2012.07436), repository zhouhaoyi/ETDataset. No checksum of the file was published, so
it is known by its content: columns, number of rows, spacing.
"""

from __future__ import annotations

import hashlib
import math
import os
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from experiments.errors import UserError

URL = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTm2.csv"
FILE_NAME = "ETTm2.csv"
COLUMNS = ("date", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
ROWS = 69_680
SPACING = timedelta(minutes=15)

TIMEOUT_SECONDS = 30


def load(path: Path) -> np.ndarray:
    """Return the channels, float64 [69680, 7] with the oil temperature last, not writable; fetch the file if it is missing.

    Raise `UserError` if the file is not the published one, or is missing and cannot be fetched.
    """
    if not path.exists():
        fetch(path)
    return _read(path.absolute())


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(_bytes(path)).hexdigest()


def fetch(path: Path) -> None:
    """Download the file, check it, and put it at `path` whole. Where anything goes wrong, raise `UserError` and leave none."""
    import pooch
    import requests

    remedy = f"download it by hand and put it at {path.absolute()}, or use ETTm2-generated, which is made up"
    pooch.get_logger().setLevel("WARNING")  # it would advise to note the checksum of whatever came
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            downloader = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS)
            found = pooch.retrieve(URL, known_hash=None, fname=path.name, path=folder, downloader=downloader)
            parse(Path(found).read_bytes())
            os.replace(found, path)
    except requests.RequestException as error:
        answer = f" {error.response.status_code}" if error.response is not None else ""
        raise UserError(
            f"{path} is missing and cannot be fetched from {URL} ({type(error).__name__}{answer}); {remedy}."
        ) from None
    except ValueError as error:
        raise UserError(f"{path} is missing, and what came from {URL} is not it: {error}; {remedy}.") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(
            f"{path} is missing and cannot be written ({reason}); set STREAMING_RL_DATA to a folder that can be written."
        ) from None


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
def _read(path: Path) -> np.ndarray:
    try:
        channels = parse(_bytes(path))
    except ValueError as error:
        raise UserError(f"{path} is not the published ETTm2.csv: {error}; remove it to have it fetched from {URL}.") from None
    channels.setflags(write=False)
    return channels


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); put the file from {URL} there.") from None
