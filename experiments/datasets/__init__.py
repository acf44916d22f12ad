"""Data sets: read, checked, and fetched where they are missing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

FOLDER_VARIABLE = "STREAMING_RL_DATA"


def data_folder() -> Path:
    """Return where data sets are kept: the folder named by STREAMING_RL_DATA, or else `data` in the working directory."""
    return Path(os.environ.get(FOLDER_VARIABLE) or "data")


def load_series(name: str) -> np.ndarray:
    """Return a time series, float64 [rows, channels], not writable; raise `UserError` where it cannot be had."""
    from experiments.datasets import ettm2, generated

    return generated.load() if name == generated.NAME else ettm2.load(data_folder() / ettm2.FILE_NAME)
