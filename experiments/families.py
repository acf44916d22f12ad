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
    ImageOptions,
    KMemoryChainOptions,
    MaskedOptions,
    MemoryChainOptions,
    PopgymOptions,
    SeriesOptions,
    VectorOptions,
)
from experiments.errors import UserError

SERIES = ("ETTm2", "ETTm2-generated")
MEMORY_CHAIN, K_MEMORY_CHAIN = "memory/MemoryChain-v0", "memory/KMemoryChain-v0"


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
    """

    holds: Callable[[str], bool]
    options: type
    make: str
    images: bool = False
    labelled: bool = False


# The first that holds an id has it; the last holds whatever Gymnasium registers.
FAMILIES: dict[str, Family] = {
    "series": Family(lambda env_id: env_id in SERIES, SeriesOptions, "experiments.environments.series:Series"),
    "minatar": Family(
        lambda env_id: env_id.startswith("MinAtar/"), ImageOptions, "experiments.environments.minatar:MinAtar", images=True
    ),
    "atari": Family(
        lambda env_id: env_id.endswith("NoFrameskip-v4"), ImageOptions, "experiments.environments.atari:Atari", images=True
    ),
    "memory_chain": Family(
        lambda env_id: env_id == MEMORY_CHAIN, MemoryChainOptions, "experiments.environments.memory_chain:MemoryChain"
    ),
    "k_memory_chain": Family(
        lambda env_id: env_id == K_MEMORY_CHAIN, KMemoryChainOptions, "experiments.environments.memory_chain:KMemoryChain"
    ),
    "masked": Family(
        lambda env_id: env_id.startswith("masked/"), MaskedOptions, "experiments.environments.masked_mujoco:Masked"
    ),
    "popgym": Family(lambda env_id: env_id.startswith("popgym-"), PopgymOptions, "experiments.environments.popgym:Popgym"),
    "vector": Family(lambda env_id: True, VectorOptions, "experiments.environments.vector:Vector"),
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
