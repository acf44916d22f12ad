"""Atari 2600 games without sticky actions, `<Game>NoFrameskip-v4`, as the official Stream-X code wraps them.

Innermost first (section F.3 of the paper and the code): raw return recorded -> 1 to 30 no-ops at the start -> every action
for 4 frames, of which the maximum of the last two is seen -> a lost life is `terminated` -> FIRE pressed at the start of a
game that has such an action -> 84 x 84 -> grey, uint8. Rewards are sums of raw points. The learner stacks the frames.

1. Frames are resized (OpenCV's INTER_AREA) in colour and then made grey with OpenCV's weights 0.299, 0.587, 0.114, as in
   the Gymnasium of that time. Gymnasium 1.x weights 0.2125, 0.7154, 0.0721 and rounds down.
2. The game goes on when a life is lost: nobody presses FIRE and there is no no-op. Only a real end wants a reset.
3. An episode is cut after 108,000 frames, no-ops included; the option `frame_cap` says whether the learner is told.
4. Games start from one state of the emulator, that of a console just switched on. The emulator's own reset lets some bytes
   of the game before through (in Frostbite, for instance), which would make episodes depend on each other.
5. Restored by replaying the episode: the emulator's snapshots do not hold everything (Q*bert differs within a frame).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import registry
from gymnasium import spaces as gym_spaces

from algorithms.agent import Spaces
from experiments.environment_options import AtariOptions
from experiments.environments.packages import missing_package, unknown_environment
from experiments.environments.simulator import Moment

SIZE = 84
FRAME_SKIP = 4
STACKED_FRAMES = 4
MOST_NO_OPS = 30
EPISODE_FRAMES = 108_000

_SUFFIX = "NoFrameskip-v4"


class Atari:
    """One game. An episode is a function of the number of its no-ops, drawn from its seed, and of the actions."""

    def __init__(self, env_id: str, options: AtariOptions):
        self._tells_cut = options.frame_cap == "truncation"
        self._ale, self._cv2 = _load_game(env_id)
        actions = self._ale.getMinimalActionSet()
        self._actions = [*actions]
        self._presses_fire = "FIRE" in [action.name for action in actions]
        # Copying the screen into the same memory is cheaper than making a new array of it. The older one first.
        self._screens = np.zeros((2, *self._ale.getScreenDims(), 3), np.uint8)
        self._switched_on = self._ale.cloneState(include_rng=True)
        self._lives = 0
        self._taken: list[int] = []
        self.spaces = Spaces((SIZE, SIZE), len(actions), discrete=True, frames=STACKED_FRAMES, obs_dtype="uint8")
        self.observation_space: gym_spaces.Space[Any] = gym_spaces.Box(0, 255, (SIZE, SIZE), np.uint8)
        self.action_space: gym_spaces.Space[Any] = gym_spaces.Discrete(len(actions))

    def reset(self, seed: int) -> tuple[np.ndarray, float]:
        """Start a game, let some frames pass and press FIRE; return what is seen then and the points of that time."""
        screen, points = self._start(seed)
        return self._observe(screen), points

    def step(self, action: Any) -> Moment:
        """Take one step, of 4 frames unless the game ends earlier."""
        action = int(action)
        self._taken.append(action)
        points = self._act(action)
        game_over = self._ale.game_over(with_truncation=False)
        truncated = self._ale.game_truncated()
        lives = self._ale.lives()
        # Where lives are 0 before the game is over (Q*bert, for some frames), the end is still to come.
        life_lost = 0 < lives < self._lives
        self._lives = lives
        obs = self._observe(self._screens.max(axis=0))
        return Moment(obs, points, game_over or life_lost, truncated and self._tells_cut, game_over or truncated)

    def get_state(self) -> dict[str, Any]:
        """Return the actions taken in this episode."""
        return {"actions": np.array(self._taken, np.uint8)}

    def set_state(self, state: dict[str, Any], seed: int) -> None:
        """Replay the episode."""
        self._start(seed)
        self._taken = state["actions"].tolist()
        for action in self._taken:
            self._act(action)
        self._lives = self._ale.lives()

    def frame(self) -> np.ndarray:
        """Return the screen, uint8 [210, 160, 3]."""
        return np.asarray(self._ale.getScreenRGB())

    def close(self) -> None:
        """Nothing is held."""

    def _start(self, seed: int) -> tuple[np.ndarray, float]:
        self._taken = []
        self._screens[:] = 0
        self._switch_on()
        points = 0.0
        for _ in range(1 + seed % MOST_NO_OPS):
            points += self._ale.act(self._actions[0])
            if self._ale.game_over():
                self._switch_on()
        screen = self._ale.getScreenRGB()
        if self._presses_fire:
            for action in (1, 2):  # FIRE, and whatever comes after it, as in stable-baselines3
                points += self._act(action)
                if self._ale.game_over():
                    self._switch_on()
            screen = self._screens.max(axis=0)
        self._lives = self._ale.lives()
        return screen, points

    def _switch_on(self) -> None:
        # The snapshot alone leaves the electron beam where it was; after a reset it is complete.
        self._ale.reset_game()
        self._ale.restoreState(self._switched_on)

    def _act(self, action: int) -> float:
        act, chosen = self._ale.act, self._actions[action]
        points = 0.0
        for frame in range(FRAME_SKIP):
            points += act(chosen)
            if frame >= FRAME_SKIP - 2:
                self._ale.getScreenRGB(self._screens[frame - FRAME_SKIP + 2])
            if self._ale.game_over():
                break  # what is seen then is the maximum of older frames, as in stable-baselines3
        return points

    def _observe(self, screen: np.ndarray) -> np.ndarray:
        small = self._cv2.resize(screen, (SIZE, SIZE), interpolation=self._cv2.INTER_AREA)
        grey: np.ndarray = self._cv2.cvtColor(small, self._cv2.COLOR_RGB2GRAY)
        return grey


def _load_game(env_id: str) -> tuple[Any, Any]:
    try:
        import ale_py
    except ImportError as error:
        raise missing_package(env_id, error, "ale-py") from None
    try:
        import cv2
    except ImportError as error:
        raise missing_package(env_id, error, "opencv-python-headless") from None
    if env_id not in registry:
        raise unknown_environment(env_id, [name for name in registry if name.endswith(_SUFFIX)])
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("max_num_frames_per_episode", EPISODE_FRAMES)
    ale.setInt("random_seed", 0)  # the games of this suite have no use for it
    ale.loadROM(str(ale_py.roms.get_rom_path(registry[env_id].kwargs["game"])))
    ale.reset_game()
    return ale, cv2
