"""The commands that train or show what a report is made of, as somebody would type them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.settings_text import Seeds, Sweep, seeds_text, written
from experiments.spec import Value

DEFAULT_STORE = Path("runs")


def command(
    module: str,
    name: str,
    preset: str,
    settings: Mapping[str, Value | Sweep],
    seeds: Seeds | None = None,
    learners: Sequence[str] = (),
    store: Path = DEFAULT_STORE,
) -> str:
    """Return the command of a module of `experiments` for a preset with its overrides."""
    words = ["python", "-m", f"experiments.{module}", name, "--preset", preset]
    words += [] if store == DEFAULT_STORE else ["--store", str(store)]
    words += [] if seeds is None else ["--seeds", seeds_text(seeds)]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={written(value)}")]
    return shlex.join([*words, *(word for learner in learners for word in ("--learner", learner))])
