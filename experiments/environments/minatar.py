"""MinAtar, version 1: the minimal set of actions, sticky actions with probability 0.1, difficulty ramping.

Observations are planes of 0 and 1, [channels, 10, 10]. The games are those of the package (Young and Tian, 2019,
arXiv:1903.03176), used without its front end, which takes two seconds and 160 MB to load the means to draw.

Deviation: in the package the action that may stick is carried over to the next episode. Here every episode starts with
"no-op" as the last action, so that it is a function of its seed.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces

from algorithms.agent import Spaces
from experiments.environment_options import ImageOptions
from experiments.environments.packages import missing_package, unknown_environment
from experiments.environments.simulator import Moment

STICKY_ACTION_PROBABILITY = 0.1

# Modules of the package by the id of the environment.
GAMES = {
    "MinAtar/Asterix-v1": "asterix",
    "MinAtar/Breakout-v1": "breakout",
    "MinAtar/Freeway-v1": "freeway",
    "MinAtar/Seaquest-v1": "seaquest",
    "MinAtar/SpaceInvaders-v1": "space_invaders",
}

# How a game is drawn.
PIXELS_PER_CELL = 32
BACKGROUND = (24, 26, 32)
COLOURS = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (120, 130, 220),
    (200, 200, 200),
    (150, 90, 60),
    (250, 250, 250),
)

# Attributes of a game that never change, and its generator, which has a state of its own.
FIXED = ("channels", "action_map", "ramping", "random")


class MinAtar:
    """One game of MinAtar. Episodes have no time limit."""

    def __init__(self, env_id: str, options: ImageOptions):
        if env_id not in GAMES:
            raise unknown_environment(env_id, GAMES)
        self._game: Any = _load_game(env_id).Env(ramping=True)
        self._action_set: list[int] = self._game.minimal_action_set()
        self._last_action = 0
        height, width, channels = self._game.state_shape()
        shape = (channels, height, width)
        self.spaces = Spaces(shape, len(self._action_set), discrete=True)
        self.observation_space: gym_spaces.Space[Any] = gym_spaces.Box(0.0, 1.0, shape, np.float64)
        self.action_space: gym_spaces.Space[Any] = gym_spaces.Discrete(len(self._action_set))

    def reset(self, seed: int) -> tuple[np.ndarray, float]:
        """Start an episode: what the game draws at its start, where it draws, and what sticks follow from the seed."""
        self._game.random.seed(seed >> 32)
        self._game.reset()
        self._last_action = 0
        return self._planes(), 0.0

    def step(self, action: Any) -> Moment:
        """Take one step."""
        if self._game.random.rand() >= STICKY_ACTION_PROBABILITY:
            self._last_action = self._action_set[int(action)]
        reward, terminated = self._game.act(self._last_action)
        return Moment(self._planes(), float(reward), bool(terminated), False, bool(terminated))

    def get_state(self) -> dict[str, Any]:
        """Return the whole game, its generator included."""
        game = {name: value for name, value in vars(self._game).items() if name not in FIXED}
        return {"game": copy.deepcopy(game), "random": self._game.random.get_state(), "last_action": self._last_action}

    def set_state(self, state: dict[str, Any], seed: int) -> None:
        """Put the game back; the seed is not needed."""
        # No two of its attributes share a list or an array, so that copies of each are the whole game.
        vars(self._game).update(copy.deepcopy(state["game"]))
        self._game.random.set_state(state["random"])
        self._last_action = state["last_action"]

    def frame(self) -> np.ndarray:
        """Return the game with a colour for each plane, uint8 [320, 320, 3]."""
        planes = self._game.state()
        shown = np.full((*planes.shape[:2], 3), BACKGROUND, np.uint8)
        for plane in range(planes.shape[2]):
            shown[planes[:, :, plane] > 0] = COLOURS[plane % len(COLOURS)]
        return shown.repeat(PIXELS_PER_CELL, 0).repeat(PIXELS_PER_CELL, 1)

    def close(self) -> None:
        """Nothing is held."""

    def _planes(self) -> np.ndarray:
        return np.ascontiguousarray(self._game.state().transpose(2, 0, 1), np.float64)


def _load_game(env_id: str) -> ModuleType:
    # From its file: importing it by name would import the whole package, drawing included.
    package = importlib.util.find_spec("minatar")
    if package is None or not package.submodule_search_locations:
        raise missing_package(env_id, "no module named minatar", "minatar")
    path = Path(package.submodule_search_locations[0], "environments", f"{GAMES[env_id]}.py")
    spec = importlib.util.spec_from_file_location(f"minatar_{GAMES[env_id]}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise missing_package(env_id, f"{path.name} is not in it", "--force-reinstall minatar")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
