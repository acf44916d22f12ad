"""A cluster as its user sees it: partition, account, limits and what to do before Python starts. Read from a TOML file."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.arithmetic import INSTRUCTION_SETS
from experiments.errors import UserError, closest_names

FOLDER = Path(__file__).with_name("profiles")


@dataclass(frozen=True)
class Cluster:
    """What every array task is given. `slurm/profiles/example.toml` explains each key.

    Attributes:
        time_minutes: time limit of one task; a task that needs longer checkpoints, is requeued and goes on.
        memory_gb_per_core: memory of one worker.
        cores: workers of one thread side by side in one task.
        array_parallelism: tasks of one array that may run at once.
        signal_delay_seconds: how long before the time limit SLURM warns the task.
        setup: shell commands that run before Python.
        max_array_size: instead of the MaxArraySize that scontrol tells.
        instruction_set: what all nodes calculate with, where they differ.
        kernels: folder of compiled kernels, seen by the nodes; `~` is the home folder.
        allocation_core_hours: what the cost is set against.
    """

    name: str
    time_minutes: int
    memory_gb_per_core: float
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    cores: int = 1
    array_parallelism: int = 256
    signal_delay_seconds: int = 120
    setup: tuple[str, ...] = ()
    max_array_size: int | None = None
    instruction_set: str | None = None
    kernels: str | None = None
    allocation_core_hours: float | None = None


def load_cluster(name: str) -> Cluster:
    """Read `slurm/profiles/NAME.toml`, or the file itself where a path to a .toml file is given."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        known = sorted(p.stem for p in FOLDER.glob("*.toml"))
        raise UserError(
            f"there is no profile {name!r}; there are {', '.join(known)}, and --profile also takes the path of a .toml file."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is no text"
        raise UserError(f"the profile {path} cannot be read ({reason}); choose another with --profile.") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the profile {path} is not TOML: {str(error).rstrip('.')}.") from None
    return _checked(path, content)


def _checked(path: Path, content: dict[str, Any]) -> Cluster:
    fields = {field.name: field for field in dataclasses.fields(Cluster) if field.name != "name"}
    for key in content:
        if key not in fields:
            raise UserError(f"the profile {path} has a key {key!r} that means nothing{closest_names(key, fields)}.")
    for key, field in fields.items():
        if key not in content and field.default is dataclasses.MISSING:
            raise UserError(f"the profile {path} lacks {key}; slurm/profiles/example.toml explains it.")
    values = {key: _typed(path, key, value, str(fields[key].type)) for key, value in content.items()}
    cluster = Cluster(name=path.stem, **values)
    if cluster.signal_delay_seconds >= 60 * cluster.time_minutes:
        raise UserError(
            f"the profile {path} warns a task {cluster.signal_delay_seconds} s before a limit of {cluster.time_minutes} min; "
            f"signal_delay_seconds must be less than the time."
        )
    if cluster.instruction_set not in (None, *INSTRUCTION_SETS):
        raise UserError(
            f"instruction_set in the profile {path} must be one of {', '.join(INSTRUCTION_SETS)}; "
            f"{cluster.instruction_set!r} is not."
        )
    return cluster


def _typed(path: Path, key: str, value: Any, kind: str) -> Any:
    if kind.startswith("tuple"):
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            return tuple(value)
        wanted = "a list of shell commands"
    elif kind.startswith("str"):
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value
        wanted = "a word in quotes"
    elif kind.startswith("int"):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        wanted = "a positive whole number"
    else:
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and math.isfinite(value):
            return float(value)
        wanted = "a positive number"
    raise UserError(f"{key} in the profile {path} must be {wanted}; {value!r} is not.")
