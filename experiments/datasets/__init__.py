"""Data sets: read, checked, and fetched where they are missing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from experiments.errors import UserError

FOLDER_VARIABLE = "STREAMING_RL_DATA"


def data_folder() -> Path:
    """Return where data sets are kept: the folder named by STREAMING_RL_DATA, or else `data` in the working directory."""
    return Path(os.environ.get(FOLDER_VARIABLE) or "data")


def load_series(name: str, accepted: str = "") -> np.ndarray:
    """Return a time series, float64 [rows, channels], not writable; raise `UserError` where it cannot be had.

    `accepted` is the SHA-256 of a file that is to be taken instead of the published one.
    """
    from experiments.datasets import ettm2, generated

    if name == generated.NAME:
        if accepted:
            raise UserError(f"{name} is read from no file; leave data_sha256 out.")
        return generated.load()
    return ettm2.load(data_folder() / ettm2.FILE.name, accepted).channels


def series_files(name: str, accepted: str = "") -> dict[str, str]:
    """Return the files that a time series is read from, with the SHA-256 of each."""
    from experiments.datasets import ettm2, generated

    return {} if name == generated.NAME else {ettm2.FILE.name: ettm2.load(data_folder() / ettm2.FILE.name, accepted).sha256}
