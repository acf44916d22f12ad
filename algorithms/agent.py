"""The interfaces between a learner and everything around it.

An agent acts, and learns from what comes of it; a `LabelledLearner` learns from samples that carry their answer. Either is a
frozen dataclass of hyperparameters with pure methods over ONE stream of experience. What changes while it learns (parameters,
eligibility traces, normaliser statistics) is a `State`, a nested dict of tensors that is passed in and returned, never hidden.
`algorithms.lanes` runs many such streams side by side without the learner knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, get_type_hints, runtime_checkable

import torch
from torch import Tensor

# A nested dict whose leaves are tensors.
State = dict[str, Any]
Info = dict[str, Tensor]


@dataclass(frozen=True)
class Spaces:
    """Sizes of one stream: what the environment shows and what it accepts.

    `action_size` is the dimension of a continuous action, or the number of discrete ones. With `time_feature` the last
    component of an observation tells the time within the episode and is not to be normalised, nor are `as_is` components
    before it. `frames` is how many of the latest observations the network sees, stacked by the learner. Pixels come as bytes,
    everything else in float64. With `prediction` there is nothing to decide: the one component of the action is the learner's
    prediction, and is ignored. The components of a continuous action lie between `action_low` and `action_high`, where a
    learner asks for bounds.
    """

    obs_shape: tuple[int, ...]
    action_size: int
    discrete: bool = False
    time_feature: bool = False
    frames: int = 1
    obs_dtype: Literal["float64", "uint8"] = "float64"
    prediction: bool = False
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    as_is: int = 0

    @property
    def wants(self) -> Literal["vector", "choice", "prediction"]:
        """Return what the environment wants of a learner at every step."""
        return "prediction" if self.prediction else "choice" if self.discrete else "vector"


class Transition(NamedTuple):
    """One moment of experience, unbatched.

    `acting_obs` is the observation the next action is chosen from: `next_obs` as a rule, the first observation of a new
    episode where the environment was `restarted`. That follows termination or truncation in most environments; in Atari a
    lost life terminates and the game goes on. Observations, action and reward are raw, as the environment gave or took them.
    """

    obs: Tensor  # float64 (uint8 for pixels) [*obs_shape]
    action: Tensor  # float32 [action_size], or int64 [] if discrete; as sampled, before any clipping
    reward: Tensor  # float64 []
    next_obs: Tensor  # as obs
    terminated: Tensor  # bool []
    truncated: Tensor  # bool []
    restarted: Tensor  # bool []
    acting_obs: Tensor  # as obs


@dataclass(frozen=True)
class NoiseSpec:
    """How the random numbers of one step are drawn: `normal` N(0, 1) or `uniform` U[0, 1), float32."""

    distribution: Literal["normal", "uniform"]
    shape: tuple[int, ...]


@runtime_checkable
class Agent(Protocol):
    """A learner over one stream. Every method is pure and is written for a single, unbatched moment.

    Fields of type `float` are scalar hyperparameters: `hyperparameters` puts them into the state as 0-d tensors, so that
    lanes may differ in them without compiling again. All other fields are structure: they choose the code that runs.

    A learner has diverged where its action or the `td_error` in its info is not finite. One that has other numbers to look at
    names them in a class variable `must_be_finite`.
    """

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Say what random numbers one action needs."""
        ...

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make the state of a learner that has seen nothing yet."""
        ...

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all and choose the first action."""
        ...

    def step(self, state: State, transition: Transition, noise: Tensor) -> tuple[State, Tensor, Info]:
        """Make exactly one learning update from exactly one transition, then choose the next action."""
        ...


@dataclass(frozen=True)
class LabelledSpaces:
    """Sizes of one labelled stream.

    With `classes` an answer is the number of one of so many classes, else a vector of `y_size` components. After every
    `task_steps` samples the task changes (0: it never does).
    """

    x_shape: tuple[int, ...]
    classes: int = 0
    y_size: int = 0
    task_steps: int = 0
    wants: ClassVar[Literal["label"]] = "label"


class Sample(NamedTuple):
    """One labelled sample, unbatched, and the random numbers of the update from it."""

    x: Tensor  # float32 [*x_shape]
    y: Tensor  # int64 [] if there are classes, else float32 [y_size]
    noise: Tensor  # float32, as the learner's `noise` says


@runtime_checkable
class LabelledLearner(Protocol):
    """A learner of labelled samples, one at a time. Pure like an `Agent`, and with hyperparameters of the same two kinds.

    It has diverged where the `loss` in its info is not finite, or what else it names in a class variable `must_be_finite`.
    """

    def noise(self, spaces: LabelledSpaces) -> NoiseSpec:
        """Say what random numbers one update needs from outside. A learner that needs many makes them itself."""
        ...

    def init(self, generator: torch.Generator, spaces: LabelledSpaces) -> State:
        """Make the state of a learner that has seen nothing yet."""
        ...

    def step(self, state: State, sample: Sample) -> tuple[State, Info]:
        """Make exactly one learning update from exactly one sample; `info` tells how good the answer before it was."""
        ...


@runtime_checkable
class Varying(Protocol):
    """A learner whose step takes other forms at other times, such as one that updates its actor at every other step.

    What a form leaves out costs nothing: each is compiled by itself. `step` takes the form as its last argument.
    """

    def form(self, steps: int) -> Hashable:
        """Return the form of the step after so many."""
        ...


def hyperparameters(agent: Any) -> dict[str, Tensor]:
    """Return the float fields of an agent as float64 0-d tensors (the part of the state that lanes may differ in)."""
    scalars = _float_fields(type(agent))  # type: ignore[arg-type]
    return {f.name: torch.tensor(getattr(agent, f.name), dtype=torch.float64) for f in fields(agent) if f.name in scalars}


def structure(agent: Any) -> tuple[Any, ...]:
    """Return what two agents must share to be lanes of one engine: the class and all fields that are not float."""
    scalars = _float_fields(type(agent))  # type: ignore[arg-type]
    return (type(agent).__name__, *((f.name, getattr(agent, f.name)) for f in fields(agent) if f.name not in scalars))


@cache
def _float_fields(agent: type) -> frozenset[str]:
    return frozenset(name for name, hint in get_type_hints(agent).items() if hint is float)  # whatever range it declares


def as_float32(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cast hyperparameters for use with float32 parameters; under vmap a float64 scalar would widen what it touches."""
    return {name: value.to(torch.float32) for name, value in values.items()}


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply a function leaf by leaf to states of equal structure."""
    first = states[0]
    return {
        key: map_state(function, *(s[key] for s in states)) if isinstance(value, dict) else function(*(s[key] for s in states))
        for key, value in first.items()
    }


def leaves(state: State) -> list[Tensor]:
    """List the tensors of a state, in the order of its keys."""
    found: list[Tensor] = []
    for value in state.values():
        found.extend(leaves(value) if isinstance(value, dict) else [value])
    return found


def state_bytes(state: State) -> int:
    """Return the size of a state in bytes."""
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves(state))
