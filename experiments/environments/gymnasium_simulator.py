"""One environment of Gymnasium behind a learner: actions clipped, ends told, and restored exactly.

An episode is restored by resetting it and replaying its actions, which is exact for every environment that is deterministic
given its seed. In an episode that never ends checkpoints and resumption would grow so with every action: after 10,000 of them
the environment's own state is kept instead (`snapshot.py`), if it can be.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces

from experiments.environment_options import PixelOptions, VectorOptions
from experiments.environments import snapshot
from experiments.environments.simulator import Moment, SimulationDivergedError
from experiments.errors import UserError

# Episodes of dm_control end inside dm_control, so Gymnasium knows no limit for them.
DM_CONTROL_EPISODE_STEPS = 1000

# Steps of an episode up to which it is restored by its actions.
LONGEST_REPLAY = 10_000


# What is chosen of episodes and of actions, whatever is seen.
EpisodeOptions = VectorOptions | PixelOptions


class GymnasiumSimulator:
    """An environment of Gymnasium. What a learner sees of it is for those that build on this to say.

    Attributes:
        limit: steps after which an episode is cut; None: it never is.
        discrete: an action is one of several choices, else a vector.
        actions: their number, or the size of the vector.
        action_bounds: least and greatest value of each component of a vector, empty for choices.
    """

    def __init__(self, env_id: str, options: EpisodeOptions, inner: gymnasium.Env[Any, Any]):
        self._inner = inner
        self._physics_errors = _physics_errors(env_id)
        limit = inner.spec.max_episode_steps if inner.spec else None
        if limit is not None and limit < 0:  # Gymnasium's way to say that there is none
            limit = None
        if limit is None and env_id.startswith("dm_control/"):
            limit = DM_CONTROL_EPISODE_STEPS
        self.limit = limit
        self._limit_is_terminal = options.time_limit_is == "terminal"
        self.action_space: gym_spaces.Space[Any] = inner.action_space
        self.discrete = isinstance(self.action_space, gym_spaces.Discrete)
        self.action_bounds: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
        if isinstance(self.action_space, gym_spaces.Discrete):
            self.actions = int(self.action_space.n)
        elif isinstance(self.action_space, gym_spaces.Box) and len(self.action_space.shape) == 1:
            self.actions = self.action_space.shape[0]
            unit = options.action_clip == "unit"
            self._low = np.full(self.actions, -1.0, np.float32) if unit else self.action_space.low.astype(np.float32)
            self._high = np.full(self.actions, 1.0, np.float32) if unit else self.action_space.high.astype(np.float32)
            low, high = (tuple(float(x) for x in bound) for bound in (self.action_space.low, self.action_space.high))
            self.action_bounds = (low, high)
        else:
            raise UserError(f"{env_id} has actions of the form {self.action_space}; a vector or a discrete choice is needed.")
        self._clip = not self.discrete and options.action_clip != "none"
        self._taken: list[Any] | None = []  # None in an episode too long to be replayed
        self._steps = 0
        self._snapshots = (limit is None or limit > LONGEST_REPLAY) and snapshot.repeats(inner)

    def observation(self, seen: Any, steps: int) -> np.ndarray:
        """Return what a learner sees of an observation that `steps` steps of the episode came before."""
        raise NotImplementedError

    def reset(self, seed: int) -> tuple[np.ndarray, float]:
        """Start an episode."""
        self._taken, self._steps = [], 0
        seen, _ = self._inner.reset(seed=seed >> 32)  # 31 bits
        return self.observation(seen, 0), 0.0

    def step(self, action: Any) -> Moment:
        """Take one step. Raise `SimulationDivergedError` where the simulator gives up."""
        if self._clip:
            action = np.minimum(np.maximum(action, self._low), self._high)
        elif self.discrete:
            action = int(action)
        else:
            action = np.array(action)  # a copy: the caller may write the next action into the same memory
        return self._take(action)

    def get_state(self) -> dict[str, Any]:
        """Return the actions taken in this episode, as the simulator was given them, or the state of the environment."""
        if self._taken is None:
            kept = snapshot.take(self._inner)
            if kept is None:
                raise RuntimeError(
                    "the environment holds something by now that cannot be kept; give it get_state and set_state"
                )
            return {"snapshot": kept, "steps": self._steps}
        # Two types in one episode: of dm_control's actions random ones have 64 bits, and those of a network 32.
        types = {np.asarray(action).dtype for action in self._taken}
        return {"actions": np.array(self._taken) if len(types) == 1 else [np.array(action) for action in self._taken]}

    def set_state(self, state: dict[str, Any], seed: int) -> None:
        """Go to that state, or replay the episode."""
        self.reset(seed)
        if "snapshot" in state:
            snapshot.put_back(self._inner, state["snapshot"])
            self._steps, self._taken = state["steps"], None
            return
        for action in state["actions"]:
            self._take(int(action) if self.discrete else action)

    def frame(self) -> np.ndarray | None:
        """Return a picture of the present moment, uint8 [height, width, 3]; None where the environment draws none."""
        return draw(self._inner)

    def close(self) -> None:
        """Free the simulator."""
        self._inner.close()

    def _take(self, action: Any) -> Moment:
        if self._taken is not None:
            self._taken.append(action)
            if self._snapshots and len(self._taken) > LONGEST_REPLAY:
                self._taken = None
        self._steps += 1
        try:
            seen, reward, terminated, truncated, _ = self._inner.step(action)
        except self._physics_errors as error:
            raise SimulationDivergedError(str(error)) from error
        terminated, truncated = bool(terminated), bool(truncated)
        if truncated and self._limit_is_terminal:
            terminated, truncated = True, False
        obs = self.observation(seen, self._steps - 1)
        return Moment(obs, float(reward), terminated, truncated, terminated or truncated)


def draw(env: gymnasium.Env[Any, Any]) -> np.ndarray | None:
    """Return a picture of an environment that was made without one in mind; None where it draws none."""
    inside: Any = env.unwrapped
    if hasattr(inside, "physics"):  # dm_control
        return np.asarray(inside.physics.render(height=480, width=480, camera_id=0))
    if "rgb_array" not in inside.metadata.get("render_modes", ()):
        return None
    inside.render_mode = "rgb_array"
    picture = inside.render()
    return None if picture is None else np.asarray(picture, np.uint8)


def _physics_errors(env_id: str) -> tuple[type[Exception], ...]:
    if not env_id.startswith("dm_control/"):
        return ()
    from dm_control.rl.control import PhysicsError

    return (PhysicsError,)
