"""From runs to work: what is missing, which runs share a group of lanes, and what it will cost.

Learners and simulators are imported where runs are packed: where nothing is missing they are not needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from baselines.settings import used_sizes
from experiments import checkpoint
from experiments.devices import is_measured
from experiments.families import family_name, family_of
from experiments.registry import (
    Loop,
    environment_defaults,
    environment_options,
    hyperparameter_defaults,
    loop_of,
    make_learner,
    requirements,
)
from experiments.settings_text import written
from experiments.spec import Run, Value
from experiments.store import Store

if TYPE_CHECKING:
    from algorithms.agent import LabelledSpaces, Spaces

# Lanes share the processor's cache; past this much state they stop paying. With images it is two: one would be padded to two,
# and in a trial on MinAtar four were several times slower, for a reason that was not looked for.
LANE_BYTES = 5 * 2**20
MOST_LANES = 16
IMAGE_LANES = 2

# A worker's Python, torch, stable-baselines3, simulator and networks.
WORKER_BYTES = 1e9

# Steps/s of one core for an environment stepped by Stream AC at 8 lanes, and for a learner on HalfCheetah-v4, used until
# the store holds measured ones. Read off `results/throughput/` and `results/training_log.csv`, or for images, series and DQN
# off first runs on a busy machine. Of masked robots: Hopper and Walker2d lie between two kinds of machines, one of them twice
# as fast as the other, HalfCheetah is that of the fast one, Ant a guess. SAC1 lies between 360 and some 100 on the same two.
ENVIRONMENT_SPEED = {
    **{"HalfCheetah": 8000, "Hopper": 4500, "Walker2d": 4500, "Ant": 2200, "Humanoid": 1500},
    **{"masked/HalfCheetah": 10_000, "masked/Hopper": 3000, "masked/Walker2d": 2800, "masked/Ant": 2000},
    **{"memory/": 30_000, "popgym": 10_000, "MinAtar/": 5000, "ETTm2": 8000},
    **{"dm_control/cheetah": 6000, "dm_control/point_mass": 4300, "dm_control/fish": 4300, "dm_control/finger": 4200},
    **{"dm_control/hopper": 3600, "dm_control/reacher": 3500, "dm_control/cartpole": 3300, "dm_control/walker": 2200},
    **{"dm_control/quadruped": 2200, "dm_control/humanoid": 1600, "dm_control/dog": 700},
}
ATARI_SPEED = 900
LEARNER_SPEED = {
    "recurrent_ppo": 1300,
    "ppo": 2500,
    "adaupgd_ppo": 2500,
    "sac": 90,
    "ppo1": 900,
    "sac1": 200,
    "td3": 110,
    "td3_1": 450,
    "dqn": 1500,
    "dqn1": 1000,
}
# Seconds for a step that lanes make together, whatever their number: Python and the call of a kernel. By the trials of one to
# eight lanes in `results/throughput/` 0.16 ms for Stream AC, 0.14 ms with RTUs and 0.12 ms for AVG.
TOGETHER_SECONDS = 0.14e-3
# Steps/s of learners too large to be as fast in lanes as Stream AC. Where observations are larger, so is the learner, and its
# time grows faster than its size, since less of it stays in the cache: SAC1 is 2.3 times as large on Humanoid as on
# HalfCheetah, and its update takes 2.6 (two lanes) to 3.8 times (three lanes) as long.
LANES_SPEED = {"sac1": 2700, "td3_1": 4300, "avg": 3100, "iac": 3200, "avg_sac1": 1700, "avg_td3_1": 2100}
LANES_GROWTH = 1.4
# Seconds for a byte of a recurrent learner's state, before what the environment takes.
RECURRENT_BYTE = 0.15e-9
# Seconds for a step in which the staleness of its sensitivities is looked at: what `rtrl_staleness` took beyond the plan.
STALENESS_SECONDS = 0.23e-3
# Seconds for a labelled sample: to call a kernel; for convolutions; for a byte of a learner's state in the second cache and in
# the third; and for a weight, what is measured beside learning (gradients, plasticity), and the learner's own noise. Fitted to
# `results/training_log.csv`, where nearly all come out within a factor of 1.5.
CALL_SECONDS, CONVOLUTION_SECONDS, NEAR_BYTE, FAR_BYTE = 5e-6, 180e-6, 0.03e-9, 0.06e-9
NEAR_BYTES = 2**19
DIAGNOSTICS_WEIGHT = 0.8e-9
NOISE_WEIGHT = {"upgd": 1.1e-9, "adaupgd": 1.1e-9, "pgd": 0.5e-9, "shrink_and_perturb": 0.5e-9}
# With every utility there is, and the exact one by taking each weight out.
UTILITY_QUALITY_SPEED = 2500
UNKNOWN_SPEED = 2000
# Up to this batch an update costs about what one of a single sample does.
SMALL_BATCH = 16
# Settings, and values of one, that the title of a group names at most.
MOST_DIFFERENCES = 3
SMALL_FORMS = {"sac": "sac1", "td3": "td3_1", "dqn": "dqn1"}


@dataclass(frozen=True)
class Group:
    """Runs trained together by one worker: lanes of one engine, or a single batch learner or measurement."""

    runs: tuple[Run, ...]
    steps_per_second: float
    steps_left: int
    differs: str = ""  # what tells it from other groups of the same learner and environment, as words

    @property
    def loop(self) -> Loop:
        """Return which training loop runs the group."""
        return loop_of(self.runs[0])

    @property
    def title(self) -> str:
        """Return a line for a person."""
        run = self.runs[0]
        if self.loop.measures:
            return f"{run.name} {run.env_id} {make_learner(run).title}"
        numbers = sorted({r.seed for r in self.runs})
        together = numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 2
        seeds = f"{numbers[0]}-{numbers[-1]}" if together else ",".join(map(str, numbers))
        words = (run.name, run.env_id, self.differs, "seed" if len(numbers) == 1 else "seeds", seeds)
        return " ".join(word for word in words if word)

    @property
    def seconds(self) -> float:
        """Return the estimated time on one core, start-up left out."""
        return self.steps_left / self.steps_per_second


def plan(
    store: Store,
    runs: Sequence[Run],
    workers: int,
    lanes: int | None = None,
    instruction_set: Callable[[], str] | None = None,
) -> list[Group]:
    """Pack runs into groups, longest first.

    Groups are as large as the cache allows, or smaller where there would be fewer groups than workers. `instruction_set` tells
    that of the compiled kernels, where it is known before training; progress made with another one does not count.
    """
    families: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        # Where time is measured, a neighbour's would be measured as well.
        if loop_of(run).lanes and not is_measured(dict(run.environment)):
            made_of = _structure(run.algorithm, run.hyperparameters)
            key: tuple[object, ...] = (made_of, run.code, run.env_id, run.environment, run.steps)
        else:
            key = (run.run_id,)
        families.setdefault(key, []).append(run)
    most = {key: lanes or (most_lanes(family[0]) if len(family) > 1 else 1) for key, family in families.items()}
    if lanes is None:
        while sum(-(-len(f) // most[k]) for k, f in families.items()) < workers and any(m > 2 for m in most.values()):
            most = {key: max(2, m // 2) if m > 1 else 1 for key, m in most.items()}
    begun = checkpoint.begun(store)
    counts = {key: -(-len(family) // most[key]) for key, family in families.items()}
    for key, count in counts.items():
        # A lane alone is padded and costs as much as two: it joins another group, unless a worker would be idle for it.
        lonely = lanes is None and most[key] > 1 and count > 1 and len(families[key]) < 2 * count
        if lonely and sum(counts.values()) > workers:
            counts[key] = count - 1
    groups = [group for key, family in families.items() for group in _split(store, family, counts[key], begun, instruction_set)]
    return sorted(_told_apart(groups), key=lambda group: -group.seconds)


def _told_apart(groups: Iterable[Group]) -> Iterable[Group]:
    """Yield groups, each with the settings in which it differs from others of the same learner and environment.

    Where more than two settings differ, as in an ablation, those at their default go without saying.
    """
    alike: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        alike.setdefault((group.runs[0].algorithm, group.runs[0].env_id), []).append(group)
    for (name, env_id), members in alike.items():
        defaults = {**hyperparameter_defaults(name), **environment_defaults(env_id)}
        found = [dict.fromkeys((*run.hyperparameters, *run.environment) for run in group.runs) for group in members]
        values = [
            {key: dict.fromkeys(dict(one).get(key, default) for one in settings) for key, default in defaults.items()}
            for settings in found
        ]
        differing = [key for key in defaults if len({value for one in values for value in one[key]}) > 1]
        for group, one in zip(members, values, strict=True):
            shown = [key for key in differing if len(differing) <= 2 or set(one[key]) != {defaults[key]}]
            words = [f"{key}={_some(one[key])}" for key in shown]
            yield replace(group, differs=" ".join([*words[:MOST_DIFFERENCES], *(["..."] if words[MOST_DIFFERENCES:] else [])]))


def _some(values: Collection[Value]) -> str:
    return ",".join(map(written, values)) if len(values) <= MOST_DIFFERENCES else f"{len(values)} values"


def _split(
    store: Store, runs: list[Run], count: int, begun: set[str], instruction_set: Callable[[], str] | None
) -> Iterable[Group]:
    rest = iter(runs)
    sizes = [len(runs) // count + (number < len(runs) % count) for number in range(count)]  # groups of nearly equal size
    speeds = {size: expected_speed(store, runs[0], size) for size in set(sizes)}
    for size in sizes:
        members = tuple(islice(rest, size))
        left = sum(run.steps - (_usable_step(store, run, instruction_set) if run.run_id in begun else 0) for run in members)
        yield Group(members, speeds[size], left)


def _usable_step(store: Store, run: Run, instruction_set: Callable[[], str] | None) -> int:
    """Return how far a run has come that has checkpoints, as far as it can go on from there here."""
    requires = requirements(run)
    if requires.get("engine") == "compiled" and instruction_set is not None:
        requires["instruction_set"] = instruction_set()
    return checkpoint.usable_step(store, run.run_id, requires)


@cache
def _structure(algorithm: str, hyperparameters: tuple[tuple[str, object], ...]) -> tuple[object, ...]:
    from algorithms.agent import structure

    return structure(make_learner(Run(algorithm, hyperparameters, "", (), 0, 0)))  # type: ignore[arg-type]


def most_lanes(run: Run) -> int:
    """Return how many learners of this kind share a core's cache, a power of two."""
    return _most_lanes(run.algorithm, run.hyperparameters, spaces_of(run.env_id, run.environment), family_of(run.env_id).images)


@cache
def _most_lanes(algorithm: str, hyperparameters: tuple[tuple[str, object], ...], spaces: Any, images: bool) -> int:
    if images:
        return IMAGE_LANES
    size = _size(algorithm, hyperparameters, spaces).state_bytes
    fitting = 1
    while fitting < MOST_LANES and 2 * fitting * size <= LANE_BYTES:
        fitting *= 2
    return max(2, fitting)


class Size(NamedTuple):
    """How large a learner is that has seen nothing: bytes of its state, and how many weights of it are learnt."""

    state_bytes: int
    weights: int


@cache
def _size(algorithm: str, hyperparameters: tuple[tuple[str, object], ...], spaces: Any) -> Size:
    """Measure a learner. One larger than the memory is planned as if it filled a cache; training says so of its runs alone."""
    import torch

    from algorithms.agent import leaves, state_bytes

    try:
        state = make_learner(Run(algorithm, hyperparameters, "", (), 0, 0)).init(torch.Generator(), spaces)  # type: ignore[arg-type]
    except RuntimeError:
        return Size(LANE_BYTES, 0)
    # A learner from outside may call them otherwise.
    return Size(state_bytes(state), sum(leaf.numel() for leaf in leaves(state.get("parameters", {}))))


@cache
def spaces_of(env_id: str, environment: tuple[tuple[str, object], ...]) -> Spaces | LabelledSpaces:
    """Return the sizes of an environment; raise `UserError` if it cannot be made here."""
    from experiments.environments import describe

    return describe(env_id, **dict(environment))


def expected_speed(store: Store, run: Run, lanes: int | None = None) -> float:
    """Return steps/s on one core that does nothing else: as finished runs of the same kind in this store tell, or estimated.

    They are those of all lanes of a group together, which has as many as fit if `lanes` does not tell.
    """
    in_lanes = loop_of(run).lanes
    if loop_of(run).measures:  # its steps are repeats
        return 1 / float(make_learner(run).repeat_seconds)
    prefix = f"{run.name}-{run.env_id.replace('/', '.')}-"
    same = [run_id for run_id in store.finished() if run_id.startswith(prefix)]
    # One-sample baselines run in two forms of very different speed; only lanes tell of an engine.
    measured = (store.provenance(run_id) for run_id in sorted(same)[:16])
    batch = used_sizes(make_learner(run), run.steps).get("batch_size") if not in_lanes else None
    # How many times longer a step took than estimated for a group of that size.
    longer = [
        told.get("core_share", 1.0) / told["steps_per_second"] * estimated_speed(run, told.get("lanes"))
        for told in measured
        if told.get("steps_per_second")
        and ("engine" in told) == in_lanes
        and told.get("sizes", {}).get("batch_size", batch) == batch
    ]
    estimated = estimated_speed(run, lanes)
    return estimated * len(longer) / sum(longer) if longer else estimated


def estimated_speed(run: Run, lanes: int | None = None) -> float:
    """Return steps/s on one core, estimated from the kind of environment and learner and from the number of lanes.

    Few lanes share what a step costs together, and one alone is padded by another, which learns as well.
    """
    full_speed = _full_speed(run)
    if lanes is None or not loop_of(run).lanes or family_of(run.env_id).labelled:
        return full_speed
    most = most_lanes(run)
    seconds = 1 / full_speed + TOGETHER_SECONDS * (1 / min(lanes, most) - 1 / most)
    if lanes == 1:
        environment = 1 / (2 * _environment_speed(run.env_id))
        seconds += max(0.0, 1 / full_speed - TOGETHER_SECONDS / most - environment)
    return 1 / seconds


def _full_speed(run: Run) -> float:
    """Return the estimated steps/s on one core with as many lanes as fit."""
    in_lanes = loop_of(run).lanes
    if family_of(run.env_id).labelled:
        return _labelled_speed(run)
    environment = _environment_speed(run.env_id)
    small = not in_lanes and used_sizes(make_learner(run), run.steps).get("batch_size", math.inf) <= SMALL_BATCH
    speeds_alone = LANES_SPEED if in_lanes else LEARNER_SPEED
    learner = speeds_alone.get(SMALL_FORMS.get(run.algorithm, run.algorithm) if small else run.algorithm)
    if in_lanes and learner is not None:
        learner /= (_state_bytes(run, run.env_id, run.environment) / _state_bytes(run, "HalfCheetah-v4", ())) ** LANES_GROWTH
    if in_lanes and dict(run.hyperparameters).get("cell", "none") != "none":
        size = _state_bytes(run, run.env_id, run.environment)
        beside = STALENESS_SECONDS if dict(run.hyperparameters).get("staleness_window") else 0.0
        # Of a very small one the environment's speed says more, which has a learner without a cell in it.
        return min(0.9 * environment, 1 / (RECURRENT_BYTE * size + beside + 1 / (2 * environment)))
    return environment if learner is None else 1 / (1 / learner + 1 / (2 * environment))


def _state_bytes(run: Run, env_id: str, environment: tuple[tuple[str, object], ...]) -> int:
    return _size(run.algorithm, run.hyperparameters, spaces_of(env_id, environment)).state_bytes


def _labelled_speed(run: Run) -> float:
    if run.algorithm == "utility_quality":
        return UTILITY_QUALITY_SPEED
    spaces = cast("LabelledSpaces", spaces_of(run.env_id, run.environment))
    size, weights = _size(run.algorithm, run.hyperparameters, spaces)
    seconds = CALL_SECONDS + size * (NEAR_BYTE if size <= NEAR_BYTES else FAR_BYTE)
    if len(spaces.x_shape) == 3:
        seconds += CONVOLUTION_SECONDS
    for_weight = NOISE_WEIGHT.get(run.algorithm, 0.0)
    if dict(run.hyperparameters).get("diagnostics"):
        for_weight += DIAGNOSTICS_WEIGHT
    if for_weight:
        seconds += for_weight * weights
    return 1 / seconds


def _environment_speed(env_id: str) -> float:
    if family_name(env_id) == "atari":
        return ATARI_SPEED
    return float(next((speed for prefix, speed in ENVIRONMENT_SPEED.items() if env_id.startswith(prefix)), UNKNOWN_SPEED))


def wall_seconds(groups: Sequence[Group], workers: int) -> float:
    """Return the estimated time until the last of the groups is done, longest first on equal workers."""
    busy_until = [0.0] * workers
    for group in groups:
        first = busy_until.index(min(busy_until))
        busy_until[first] += group.seconds
    return max(busy_until)


def memory_bytes(group: Group) -> float:
    """Return the estimated memory of a worker that trains a group of batch learners, saving and resuming included; else 0.

    Streaming learners keep no samples: what their lanes take is less than what Python and torch do.
    """
    run = group.runs[0]
    return 0.0 if group.loop.lanes or group.loop.measures else WORKER_BYTES + buffer_bytes(run)


def buffer_bytes(run: Run) -> int:
    """Return the size of the replay buffer or rollout of a run on stable-baselines3."""
    sizes = used_sizes(make_learner(run), run.steps)
    spaces = cast("Spaces", spaces_of(run.env_id, tuple(environment_options(run).items())))
    action = 8 if spaces.discrete else 4 * spaces.action_size
    if spaces.frames > 1:  # each frame once, a byte for each pixel; reward, end, time limit, and depth
        slots = sizes["buffer_size"] + spaces.frames - 1
        return slots * (math.prod(spaces.obs_shape) + action + 3 * 4 + 8)
    observed = 4 * math.prod(spaces.obs_shape)
    if "buffer_size" in sizes:  # reward, end, time limit
        return sizes["buffer_size"] * (2 * observed + action + 3 * 4)
    return sizes["rollout_steps"] * (observed + action + 6 * 4)


def disk_bytes(runs: Iterable[Run], weights: bool = False) -> int:
    """Return the estimated size of the finished runs: some 6 KB each, and 12 bytes for an episode of 200 steps.

    With `weights` what learners in lanes have learnt is counted as well.
    """
    return sum(6_000 + 12 * run.steps // 200 + (_weights_bytes(run) if weights else 0) for run in runs)


def _weights_bytes(run: Run) -> int:
    return _state_bytes(run, run.env_id, run.environment) if loop_of(run).lanes else 0
