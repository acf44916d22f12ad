"""The state of an environment of Gymnasium as plain data, for those whose episodes may never end.

An environment that has `get_state()` and `set_state(state)` of its own is asked for it: plain data as `experiments.plain_data`
knows it. Of any other the attributes are taken, its own and those of its wrappers: numbers, text, arrays, lists, tuples and
dicts of them, generators of random numbers, and all arrays of MuJoCo's data. What else stands in an attribute must be something
that does not change with the steps (a space, a model, a window). Where it is not known to be, there is no snapshot.

Whether a snapshot is all of the state shows by trying: `repeats`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from experiments.plain_data import NotPlainError, flatten

# Steps before a snapshot is tried, and those that have to come out equal after it.
BEFORE, AFTER = 3, 8

# Attributes that a wrapper inherits or that never change once an environment is made.
FIXED_NAMES = frozenset(("env", "spec", "_cached_spec", "metadata", "render_mode", "reward_range"))
# MuJoCo keeps contacts and constraints in memory of changing size. They are made anew from the rest at the next step.
MADE_ANEW = ("efc_", "iefc_", "contact", "island", "dof_island", "tree_island", "map_", "flexelem_", "flexedge_J", "moment_")
OF_THE_MODULE = (type(lambda: 0), type(len), type(np), type)


class UnknownPartError(TypeError):
    """An environment holds something of which it is not known whether it changes."""


def take(env: gymnasium.Env[Any, Any]) -> dict[str, Any] | None:
    """Return the state of an environment and its wrappers, outermost first; None where it cannot be had."""
    try:
        return {"layers": [_layer(layer) for layer in _layers(env)]}
    except (UnknownPartError, NotPlainError):
        return None


def put_back(env: gymnasium.Env[Any, Any], taken: dict[str, Any]) -> None:
    """Bring an environment to where `take` was called."""
    for layer, state in zip(_layers(env), taken["layers"], strict=True):
        if "own" in state:
            layer.set_state(copy.deepcopy(state["own"]))
            continue
        for name, value in state["plain"].items():
            _assign(layer, name, value)
        for name, value in state["generators"].items():
            getattr(layer, name).bit_generator.state = copy.deepcopy(value)
        for name, arrays in state["physics"].items():
            _put_physics_back(getattr(layer, name), arrays)


def repeats(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether an environment can be brought back exactly by a snapshot, by trying some steps of an episode."""
    if take(env) is None:
        return False
    actions = copy.deepcopy(env.action_space)
    actions.seed(0)
    env.reset(seed=0)
    _play(env, [actions.sample() for _ in range(BEFORE)])
    taken, tried = take(env), [actions.sample() for _ in range(AFTER)]
    if taken is None:
        return False
    first = _play(env, tried)
    env.reset(seed=1)
    put_back(env, taken)
    return first == _play(env, tried)


def _play(env: gymnasium.Env[Any, Any], actions: list[Any]) -> list[bytes]:
    """Take some steps and return what came of them; where an episode ends, the next one begins."""
    told = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(action)
        told += [
            *(np.asarray(part).tobytes() for part in _parts(obs)),
            np.float64(reward).tobytes(),
            bytes([terminated, truncated]),
        ]
        if terminated or truncated:
            told += [np.asarray(part).tobytes() for part in _parts(env.reset()[0])]
    return told


def _parts(obs: Any) -> Iterator[Any]:
    if isinstance(obs, dict):
        for key in sorted(obs):
            yield from _parts(obs[key])
    elif isinstance(obs, tuple):
        for part in obs:
            yield from _parts(part)
    else:
        yield obs


def _layers(env: gymnasium.Env[Any, Any]) -> list[Any]:
    layers: list[Any] = [env]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    return layers


def _layer(layer: Any) -> dict[str, Any]:
    if not isinstance(layer, gymnasium.Wrapper) and hasattr(layer, "get_state") and hasattr(layer, "set_state"):
        own = copy.deepcopy(layer.get_state())
        flatten(own)
        return {"own": own}
    state: dict[str, dict[str, Any]] = {"plain": {}, "generators": {}, "physics": {}}
    for name, value in vars(layer).items():
        if isinstance(value, np.random.Generator):
            state["generators"][name] = copy.deepcopy(dict(value.bit_generator.state))
        elif _is_mujoco(value, "MjData"):
            state["physics"][name] = _physics(value)
        elif name not in FIXED_NAMES and not _is_fixed(value):
            try:
                flatten(value)
            except NotPlainError:
                raise UnknownPartError(name) from None
            state["plain"][name] = copy.deepcopy(value)
    return state


def _is_fixed(value: Any) -> bool:
    drawing = type(value).__module__.startswith(("pygame", "gymnasium.envs.mujoco.mujoco_rendering"))
    return drawing or isinstance(value, (gymnasium.Space, *OF_THE_MODULE)) or _is_mujoco(value, "MjModel")


def _is_mujoco(value: Any, name: str) -> bool:
    return type(value).__module__.startswith("mujoco") and type(value).__name__ == name


def _assign(layer: Any, name: str, value: Any) -> None:
    there: Any = getattr(layer, name, None)
    arrays = isinstance(there, np.ndarray) and isinstance(value, np.ndarray) and there.flags.writeable
    if arrays and (there.shape, there.dtype) == (value.shape, value.dtype):
        there[...] = value  # in its place: other attributes may be views of it
    else:
        setattr(layer, name, copy.deepcopy(value))


def _physics(data: Any) -> dict[str, Any]:
    arrays = {}
    for name in dir(data):
        if not name.startswith(("_", *MADE_ANEW)) and isinstance(value := getattr(data, name, None), np.ndarray):
            arrays[name] = value.copy()
    return {"time": float(data.time), "arrays": arrays}


def _put_physics_back(data: Any, state: dict[str, Any]) -> None:
    data.time = state["time"]
    for name, value in state["arrays"].items():
        there = getattr(data, name)
        if there.shape == value.shape:
            there[...] = value
