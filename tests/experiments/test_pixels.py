"""Images of any environment of Gymnasium, as a learner with convolutions sees them."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from experiment_support import make_run

from experiments.environments import Environment
from experiments.errors import UserError
from experiments.executor import run_inline
from experiments.plan import plan
from experiments.store import Store
from experiments.worker import DONE, Options


class Camera(gymnasium.Env):
    """Shows noise of a size; its left half is bright where action 1 is worth a reward."""

    def __init__(self, shape=(96, 96, 3), dtype=np.uint8, continuous=False):
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, dtype)
        self.action_space = gymnasium.spaces.Box(-1, 1, (2,)) if continuous else gymnasium.spaces.Discrete(2)

    def _image(self):
        image = self.np_random.integers(0, 64, self.observation_space.shape).astype(self.observation_space.dtype)
        self._bright = bool(self.np_random.integers(2))
        if self._bright:
            image[:, : image.shape[1] // 2] += 128
        return image

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._image(), {}

    def step(self, action):
        reward = float((np.ravel(action)[0] > 0) == self._bright)
        return self._image(), reward, False, False, {}


KINDS = {
    "Large": {},
    "Grey": {"shape": (120, 90)},
    "Wide": {"shape": (60, 100, 1), "continuous": True},
    "Small": {"shape": (7, 9, 3)},
    "Flat": {"shape": (2, 9, 3)},
    "Floats": {"dtype": np.float32},
}
for kind, changes in KINDS.items():
    gymnasium.register(f"camera/{kind}-v0", Camera, max_episode_steps=50, kwargs=changes)


@pytest.mark.parametrize(
    ("kind", "shape", "frames"),
    [("Large", (84, 84), 4), ("Grey", (84, 84), 4), ("Wide", (84, 84), 4), ("Small", (3, 7, 9), 1)],
)
def test_images_come_as_bytes_of_the_told_size(kind, shape, frames):
    env = Environment(f"pixels/camera/{kind}-v0", 0)
    obs, _ = env.reset()
    assert (obs.shape, obs.dtype, env.spaces.obs_shape, env.spaces.frames) == (shape, np.uint8, shape, frames)
    after = env.step(env.action_space.sample())[0]
    assert after.shape == shape
    assert not np.array_equal(obs, after)


def test_small_images_keep_their_channels_and_large_ones_their_brightness():
    env, raw = Environment("pixels/camera/Small-v0", 0), Environment("pixels/camera/Small-v0", 0)._simulator._inner
    obs, _ = env.reset()
    seen, _ = raw.reset(seed=env._episode_seed() >> 32)
    assert np.array_equal(obs, seen.transpose(2, 0, 1))
    large = Environment("pixels/camera/Large-v0", 0)
    image, _ = large.reset()
    assert (image[:, :40].mean() > 100) == large._simulator._inner.unwrapped._bright


def test_smaller_size_can_be_asked_for():
    assert Environment("pixels/camera/Large-v0", 0, size=64).spaces.obs_shape == (64, 64)


@pytest.mark.parametrize(
    ("env_id", "told"),
    [
        ("pixels/CartPole-v1", "shows no image of bytes"),
        ("pixels/camera/Floats-v0", "shows no image of bytes"),
        ("pixels/camera/Flat-v0", "at least 3 x 3 pixels"),
        ("camera/Large-v0", "name it pixels/camera/Large-v0"),
        ("pixels/camera/Largr-v0", "pixels|Large"),
    ],
)
def test_what_cannot_be_seen_is_refused_with_the_remedy(env_id, told):
    with pytest.raises(UserError, match=told):
        Environment(env_id, 0)


@pytest.mark.parametrize(
    ("kind", "algorithm", "steps"), [("Large", "stream_q", 20), ("Wide", "stream_ac", 10), ("Small", "stream_ac", 60)]
)
def test_learners_with_convolutions_train_on_them(tmp_path, kind, algorithm, steps):
    run = make_run(f"pixels/camera/{kind}-v0", 0, steps, algorithm)
    store = Store(tmp_path)
    assert run_inline(plan(store, (run,), workers=1), store, Options(1e9, compiled=False)) == [DONE]
    result, *_ = store.load(run.run_id)
    assert result["status"] == "finished"
    assert result["steps"] == steps
