"""The families of environments and of labelled streams, one record each: which ids, which options, and what makes one.

Planning needs the options and no simulator, so what makes one is imported where it is wanted. A family is added by its own
file, its options and one record in `FAMILIES`.
"""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.environment_options import (
    AtariOptions,
    ImageOptions,
    KMemoryChainOptions,
    MaskedOptions,
    MemoryChainOptions,
    PixelOptions,
    PopgymOptions,
    RobotOptions,
    SeriesOptions,
    VectorOptions,
)
from experiments.errors import UserError
from experiments.stream_options import PermutedOptions, RegressionOptions, UtilityStreamOptions

SERIES = ("ETTm2", "ETTm2-generated")
PERMUTED = tuple(f"permuted_{data}" for data in ("mnist", "emnist", "cifar10", "mini_imagenet", "digits", "generated"))
REGRESSIONS = ("toy_changing_inputs", "toy_changing_sign")
ROBOTS = ("UR-Reacher-2-v0", "Create-Mover-v0")
PIXELS = "pixels/"
MEMORY_CHAIN, K_MEMORY_CHAIN = "memory/MemoryChain-v0", "memory/KMemoryChain-v1"


@dataclass(frozen=True)
class Family:
    """One record.

    Attributes:
        holds: whether an id belongs to the family. Whether there is an environment of that id shows when it is made.
        options: dataclass of what can be chosen. A field whose metadata say `added_later` is left out of a run's configuration
            while it has its default value, so that runs trained before it existed keep their names.
        make: what makes one, as module:name. It is called with an id and options and returns a `Simulator`; with an id, options
            and a seed, and returns a `LabelledStream`, where the family is `labelled`.
        images: learners see pixels, or planes of them.
        labelled: samples with labels instead of an environment to act in.
        files: what names the files that it reads, as module:name; empty: it reads none. It is called with an id and options and
            returns the SHA-256 of each file by its name, which is recorded with every run.
        spaces: what tells sizes without reading files, as module:name; empty: making one does. It is called like `files`, and a
            plan takes no data set for it.
        packages: the installed packages that an environment of an id is made of, by the names that pip knows, torch and numpy
            aside. A checkpoint is continued with the same versions of them.
    """

    holds: Callable[[str], bool]
    options: type
    make: str
    images: bool = False
    labelled: bool = False
    files: str = ""
    spaces: str = ""
    packages: Callable[[str], tuple[str, ...]] = lambda env_id: ()


def _gymnasium_packages(env_id: str) -> tuple[str, ...]:
    env_id = env_id.removeprefix(PIXELS)
    if env_id.startswith("dm_control/"):
        return ("gymnasium", "mujoco", "dm-control", "shimmy")
    import gymnasium

    known = gymnasium.registry.get(env_id)
    module = str(known.entry_point) if known is not None else ""
    if module.startswith("gymnasium.envs.") and ".mujoco" not in module:
        return ("gymnasium",)
    return ("gymnasium", "mujoco")  # or of a package that is not known here, and likely to build on MuJoCo


# The first that holds an id has it; the last holds whatever Gymnasium registers.
FAMILIES: dict[str, Family] = {
    "series": Family(
        lambda env_id: env_id in SERIES,
        SeriesOptions,
        "experiments.environments.series:Series",
        files="experiments.environments.series:files",
        spaces="experiments.environments.series:spaces",
    ),
    "minatar": Family(
        lambda env_id: env_id.startswith("MinAtar/"),
        ImageOptions,
        "experiments.environments.minatar:MinAtar",
        images=True,
        packages=lambda env_id: ("minatar",),
    ),
    "atari": Family(
        lambda env_id: env_id.endswith("NoFrameskip-v4"),
        AtariOptions,
        "experiments.environments.atari:Atari",
        images=True,
        packages=lambda env_id: ("ale-py", "opencv-python-headless"),
    ),
    "permuted": Family(
        lambda env_id: env_id in PERMUTED,
        PermutedOptions,
        "experiments.datasets.permuted:PermutedStream",
        labelled=True,
        files="experiments.datasets.permuted:files",
        spaces="experiments.datasets.permuted:spaces",
        packages=lambda env_id: ("scikit-learn",) if env_id == "permuted_digits" else (),
    ),
    "regression": Family(
        lambda env_id: env_id in REGRESSIONS, RegressionOptions, "experiments.datasets.regression:Regression", labelled=True
    ),
    "utility": Family(
        lambda env_id: env_id == "utility_quality",
        UtilityStreamOptions,
        "experiments.datasets.regression:UtilityStream",
        labelled=True,
    ),
    "robots": Family(
        lambda env_id: env_id in ROBOTS,
        RobotOptions,
        "experiments.environments.robots:Robot",
        packages=lambda env_id: ("gymnasium",),
    ),
    "memory_chain": Family(
        lambda env_id: env_id == MEMORY_CHAIN,
        MemoryChainOptions,
        "experiments.environments.memory_chain:MemoryChain",
        packages=lambda env_id: ("gymnasium",),
    ),
    "k_memory_chain": Family(
        lambda env_id: env_id == K_MEMORY_CHAIN,
        KMemoryChainOptions,
        "experiments.environments.memory_chain:KMemoryChain",
        packages=lambda env_id: ("gymnasium",),
    ),
    "masked": Family(
        lambda env_id: env_id.startswith("masked/"),
        MaskedOptions,
        "experiments.environments.masked_mujoco:Masked",
        packages=lambda env_id: ("gymnasium", "mujoco"),
    ),
    "popgym": Family(
        lambda env_id: env_id.startswith("popgym-"),
        PopgymOptions,
        "experiments.environments.popgym:Popgym",
        packages=lambda env_id: ("gymnasium", "popgym"),
    ),
    "pixels": Family(
        lambda env_id: env_id.startswith(PIXELS),
        PixelOptions,
        "experiments.environments.pixels:Pixels",
        images=True,
        packages=_gymnasium_packages,
    ),
    "vector": Family(
        lambda env_id: True, VectorOptions, "experiments.environments.vector:Vector", packages=_gymnasium_packages
    ),
}


def family_of(env_id: str) -> Family:
    """Return the record of the family that an id belongs to."""
    return FAMILIES[family_name(env_id)]


def family_name(env_id: str) -> str:
    """Return the name of the family that an id belongs to."""
    # Last of all the one that holds any id, though others may have been added behind it.
    return next((name for name, family in FAMILIES.items() if name != "vector" and family.holds(env_id)), "vector")


def make(env_id: str, given: dict[str, Any], *more: Any) -> Any:
    """Return what a family makes of an id and options, those not given at their defaults; raise `UserError` if it cannot be."""
    return pkgutil.resolve_name(family_of(env_id).make)(env_id, make_options(env_id, given), *more)


def files_of(env_id: str, given: dict[str, Any]) -> dict[str, str]:
    """Return the files of data that an environment reads, with the SHA-256 of each; raise `UserError` where they are others."""
    path = family_of(env_id).files
    return pkgutil.resolve_name(path)(env_id, make_options(env_id, given)) if path else {}


def spaces_of(env_id: str, given: dict[str, Any]) -> Any:
    """Return the sizes of what is read from files as its family knows them, or None where only what is made does."""
    path = family_of(env_id).spaces
    return pkgutil.resolve_name(path)(env_id, make_options(env_id, given)) if path else None


def options_class(env_id: str) -> type:
    """Return the class of an environment's options."""
    return family_of(env_id).options


def make_options(env_id: str, given: dict[str, Any]) -> Any:
    """Return the options of an environment, those not given at their defaults; raise `UserError` for unknown ones."""
    known = options_class(env_id)
    names = [option.name for option in dataclasses.fields(known)]
    for name in given:
        if name not in names:
            raise UserError(f"{env_id} has no option {name!r}; it has {', '.join(names) or 'none'}.")
    return known(**given)
