"""What the tests run learners on: engines, random streams, and probe environments with known answers."""

from functools import cache

import numpy as np
import torch

from algorithms.agent import Spaces, Transition, leaves, structure
from algorithms.lanes import Lanes
from experiments import arithmetic

# ---------------------------------------------------------------------------------------------------------------------
# Engines and streams


@cache
def compiler():
    """Return a compiler whose kernels are kept for the other processes of this test run (see `tests/conftest.py`)."""
    return arithmetic.choose().lane_compiler()


class SharedKernelLanes(Lanes):
    """Lanes that take over the kernel of an earlier engine of the same form: compiling is what these tests spend time on."""

    _shared: dict = {}  # noqa: RUF012

    def __init__(self, agent, spaces, states, compiled):
        super().__init__(agent, spaces, states, compiler() if compiled else False)

    def _build(self, form):
        shapes = tuple(tuple(x.shape) for x in self._inputs)
        key = (structure(self._learner), shapes, self._compiler, form)
        if key not in self._shared:
            self._shared[key] = super()._build(form), list(self._info_names)
        kernel, self._info_names = self._shared[key]
        return kernel


def generator(seed):
    return torch.Generator().manual_seed(seed)


class RandomStream:
    """A stream of random moments whose reward answers to the action, so that an error anywhere comes back.

    Episodes end in terminations, truncations, and now and then both at once; the observation after the end is another one
    than the last. With probability `lost_life` a step is terminal although nothing is restarted. Observations have unequal
    scales, offsets and a constant component; the time feature, if any, is last.
    """

    def __init__(self, spaces, seed, termination=0.08, truncation=0.08, lost_life=0.0):
        self.rng = np.random.default_rng([seed, 77])
        self.spaces, self.termination, self.truncation, self.lost_life = spaces, termination, truncation, lost_life

    def obs(self):
        size = self.spaces.obs_shape[0]
        obs = self.rng.normal(size=size) * np.linspace(0.3, 4.0, size) + np.linspace(-3.0, 2.0, size)
        obs[0] = 1.5
        if self.spaces.time_feature:
            obs[-1] = self.rng.uniform(-0.5, 0.5)
        return obs

    def noise(self):
        return self.rng.standard_normal(self.spaces.action_size).astype(np.float32)

    def reset(self):
        return self.obs()

    def step(self, action):
        """Return next_obs, reward, terminated, truncated; `needs_reset` says whether the episode is over."""
        next_obs = self.obs()
        reward = self.answer(np.asarray(action, np.float64), next_obs) + self.rng.normal()
        ended, truncated, lost = self.rng.random(3) < (self.termination, self.truncation, self.lost_life)
        self.needs_reset = bool(ended or truncated)
        return next_obs, reward, bool(ended or lost), bool(truncated)

    def answer(self, action, next_obs):
        """Return the part of the reward that hangs on the action, and on what is seen next."""
        return 2.0 * float(np.tanh(action).sum()) + next_obs[1]


class ChoiceStream(RandomStream):
    """A stream for learners that choose one of several actions or predict, over vectors or images.

    Images are bytes in 0..255 where the spaces say so, else zeros and ones; one corner never changes. `noise_size` uniform
    numbers go with every choice.
    """

    def __init__(self, spaces, seed, noise_size, termination=0.08, truncation=0.08, lost_life=0.0):
        super().__init__(spaces, seed, termination, truncation, lost_life)
        self.noise_size = noise_size

    def obs(self):
        shape = self.spaces.obs_shape
        if len(shape) == 1:
            return super().obs()
        if self.spaces.obs_dtype == "uint8":
            image = self.rng.integers(0, 256, shape).astype(np.uint8)
        else:
            image = (self.rng.random(shape) < 0.3).astype(np.float64)
        image[..., :2, :2] = 1
        return image

    def noise(self):
        return self.rng.random(self.noise_size, np.float32)

    def answer(self, action, next_obs):
        return float(np.tanh(action - 1).sum()) + float(next_obs.flat[-1]) / (255 if self.spaces.obs_dtype == "uint8" else 1)


def restarts(stream, terminated, truncated):
    """Return whether a stream has to be reset after a step: a stream that tells knows best."""
    return getattr(stream, "needs_reset", terminated or truncated)


def transition(obs, action, reward, next_obs, terminated=False, truncated=False, acting_obs=None, restarted=None):
    """Make a `Transition` out of arrays and numbers; an ended episode restarts unless told otherwise."""

    def as_tensor(x):
        x = np.asarray(x)
        return torch.tensor(x if x.dtype == np.uint8 else x.astype(np.float64))

    return Transition(
        obs=as_tensor(obs),
        action=torch.as_tensor(action)
        if np.asarray(action).dtype == np.int64
        else torch.tensor(np.asarray(action, np.float32)),
        reward=as_tensor(reward),
        next_obs=as_tensor(next_obs),
        terminated=torch.tensor(terminated),
        truncated=torch.tensor(truncated),
        restarted=torch.tensor(terminated or truncated if restarted is None else restarted),
        acting_obs=as_tensor(next_obs if acting_obs is None else acting_obs),
    )


def run_alone(agent, spaces, stream, steps, state):
    """Step an agent through a stream without lanes; yield (state, action, transition, noise, info) for every update."""
    obs = stream.reset()
    state, action = agent.start(state, torch.tensor(obs), torch.tensor(stream.noise()))
    for _ in range(steps):
        next_obs, reward, terminated, truncated = stream.step(action.numpy())
        restarted = restarts(stream, terminated, truncated)
        acting_obs = stream.reset() if restarted else next_obs
        moment = transition(obs, action.numpy(), reward, next_obs, terminated, truncated, acting_obs, restarted)
        noise = torch.tensor(stream.noise())
        with torch.no_grad():
            state, action, info = agent.step(state, moment, noise)
        obs = acting_obs
        yield state, action, moment, noise, info


def start_lanes(lanes, streams):
    for i, stream in enumerate(streams):
        lanes.acting_obs[i], lanes.noise[i] = stream.reset(), stream.noise()
    lanes.start()


def drive_lanes(lanes, streams, steps, disturb=None):
    """Step lanes through their streams; return actions [steps, lanes, n] and TD errors [steps, lanes].

    `disturb` may overwrite the inputs of a step: it is called with the engine before every step.
    """
    actions, td_errors = [], []
    for _ in range(steps):
        for i, stream in enumerate(streams):
            obs, lanes.reward[i], terminated, truncated = stream.step(lanes.action[i])
            lanes.next_obs[i], lanes.terminated[i], lanes.truncated[i] = obs, terminated, truncated
            lanes.restarted[i] = restarts(stream, terminated, truncated)
            lanes.acting_obs[i] = stream.reset() if lanes.restarted[i] else obs
            lanes.noise[i] = stream.noise()
        if disturb is not None:
            disturb(lanes)
        lanes.step()
        actions.append(lanes.action.copy())
        td_errors.append(lanes.info["td_error"].copy())
    return np.stack(actions), np.stack(td_errors)


def same_bits(a, b):
    """Return whether two states, or two arrays, hold the same bits (NaNs included)."""
    if isinstance(a, dict):
        return all(same_bits(x.numpy(), y.numpy()) for x, y in zip(leaves(a), leaves(b), strict=True))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ---------------------------------------------------------------------------------------------------------------------
# Probe environments: so small that what must be learnt is known. Those of a kind share their sizes, and so run in one traced
# graph.


class Probe:
    """An environment with two observation components and one action; subclasses say what happens."""

    spaces = Spaces(obs_shape=(2,), action_size=1)

    def __init__(self, seed, noise_size=1):
        self.rng, self.noise_size = np.random.default_rng([seed, 99]), noise_size

    def noise(self):
        return self.rng.standard_normal(self.noise_size).astype(np.float32)


class ConstantReward(Probe):
    """One step, reward 1."""

    def reset(self):
        return np.array([1.0, 0.0])

    def step(self, action):
        return np.array([0.0, 1.0]), 1.0, True, False


class RewardIsObservation(Probe):
    """One step; the reward is +1 or -1 and the observation tells which."""

    def reset(self):
        self.sign = self.rng.choice([-1.0, 1.0])
        return np.array([self.sign, 1.0])

    def step(self, action):
        return np.array([0.0, 1.0]), self.sign, True, False


class DelayedReward(Probe):
    """Two steps; the reward of 1 comes with the second."""

    def reset(self):
        self.first = True
        return np.array([1.0, 0.0])

    def step(self, action):
        if self.first:
            self.first = False
            return np.array([0.0, 1.0]), 0.0, False, False
        return np.array([0.0, 0.0]), 1.0, True, False


class RewardIsAction(Probe):
    """One step; the best action is 0.5."""

    target = 0.5

    def reset(self):
        return np.array([1.0, 0.0])

    def step(self, action):
        return np.array([0.0, 1.0]), -((float(action[0]) - self.target) ** 2), True, False


class RewardIsObservationAndAction(Probe):
    """One step; the best action is +0.5 or -0.5 and the observation tells which."""

    def reset(self):
        self.sign = self.rng.choice([-1.0, 1.0])
        return np.array([self.sign, 1.0])

    def step(self, action):
        return np.array([0.0, 1.0]), -((float(action[0]) - 0.5 * self.sign) ** 2), True, False


class ChoiceProbe:
    """An environment with three observation components and two actions; subclasses say what happens."""

    spaces = Spaces(obs_shape=(3,), action_size=2, discrete=True)

    def __init__(self, seed, noise_size):
        self.rng, self.noise_size = np.random.default_rng([seed, 99]), noise_size

    def noise(self):
        return self.rng.random(self.noise_size, np.float32)


class Bandit(ChoiceProbe):
    """One step; two arms with rewards of their own, the better one depending on what is shown."""

    rewards = ((0.2, 1.0), (0.3, -0.5))

    @staticmethod
    def show(kind):
        return np.array([1.0 - kind, kind, 0.0])

    def reset(self):
        self.kind = int(self.rng.integers(2))
        return self.show(self.kind)

    def step(self, action):
        return np.array([0.0, 0.0, 1.0]), self.rewards[self.kind][int(action)], True, False


class Chain(ChoiceProbe):
    """Three places in a row; action 1 goes right, 0 left or stays at the left end. Right of the last waits the only reward."""

    gamma = 0.5

    @staticmethod
    def show(place):
        return np.eye(3)[place]

    def reset(self):
        self.place = 0
        return self.show(0)

    def step(self, action):
        if self.place == 2 and action == 1:
            return np.zeros(3), 1.0, True, False
        self.place = self.place + 1 if action == 1 else max(self.place - 1, 0)
        return self.show(self.place), 0.0, False, False

    @classmethod
    def values(cls, right):
        """Return q [place, action] of the policy that goes right with a probability, by iterating Bellman's equation."""
        q = np.zeros((3, 2))
        for _ in range(100):
            v = (1 - right) * q[:, 0] + right * q[:, 1]
            q = np.array([[cls.gamma * v[0], cls.gamma * v[1]], [cls.gamma * v[0], cls.gamma * v[2]], [cls.gamma * v[1], 1.0]])
        return q


class Cycle(ChoiceProbe):
    """Three observations in turn for ever, each step with the reward of the one that it leaves; nothing to decide."""

    spaces = Spaces(obs_shape=(3,), action_size=1, prediction=True)
    rewards, gamma = (1.0, 0.0, 4.0), 0.5

    def reset(self):
        self.place = 0
        return np.eye(3)[0]

    def step(self, action):
        reward = self.rewards[self.place]
        self.place = (self.place + 1) % 3
        return np.eye(3)[self.place], reward, False, False

    @classmethod
    def values(cls):
        """Return the discounted sums of rewards from each of the three."""
        around = [sum(cls.gamma**k * cls.rewards[(place + k) % 3] for k in range(3)) for place in range(3)]
        return np.array(around) / (1 - cls.gamma**3)


# Everything visible and exact: no statistics, dense networks.
BARE = {"hidden": (16,), "normalize_obs": False, "normalize_reward": False, "sparsity": 0.0}
PROBE_LANES = 16


def learn(agent, environment, steps):
    """Let 16 learners with seeds of their own live in a probe environment; return their states and environments."""
    (noise_size,) = agent.noise(environment.spaces).shape
    states = [agent.init(generator(seed), environment.spaces) for seed in range(PROBE_LANES)]
    lanes = SharedKernelLanes(agent, environment.spaces, states, compiled=False)
    streams = [environment(seed, noise_size) for seed in range(PROBE_LANES)]
    start_lanes(lanes, streams)
    drive_lanes(lanes, streams, steps)
    return [lanes.state(i) for i in range(PROBE_LANES)], streams
