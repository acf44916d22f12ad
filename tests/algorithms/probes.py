"""Helpers of the algorithm tests: random streams, probe environments with known answers, and a second form of every learner.

The `Reference...` learners are written straight down from the description of the algorithm, in plain torch with autograd,
modules and loops, and NumPy for the statistics. They share no code with `algorithms/`, so that both would have to be wrong
alike. Their networks are float64, which leaves the rounding of the agent's float32 as the only difference to expect.
"""

import math

import numpy as np
import torch
from torch import nn

from algorithms.agent import Spaces, Transition, leaves, structure
from algorithms.lanes import Lanes

# ---------------------------------------------------------------------------------------------------------------------
# Engines and streams


class SharedKernelLanes(Lanes):
    """Lanes that take over the kernel of an earlier engine of the same form: compiling is what these tests spend time on."""

    _shared: dict = {}  # noqa: RUF012

    def _build(self, form):
        shapes = tuple(tuple(x.shape) for x in self._inputs)
        key = (structure(self._learner), shapes, self._compiled, form)
        if key not in self._shared:
            self._shared[key] = super()._build(form), list(self._info_names)
        kernel, self._info_names = self._shared[key]
        return kernel


def generator(seed):
    return torch.Generator().manual_seed(seed)


class RandomStream:
    """A stream of random moments whose reward answers to the action, so that an error anywhere comes back.

    Episodes end in terminations, truncations, and now and then both at once; the observation after the end is another one
    than the last. Observations have unequal scales, offsets and a constant component; the time feature, if any, is last.
    """

    def __init__(self, spaces, seed, termination=0.08, truncation=0.08):
        self.rng = np.random.default_rng([seed, 77])
        self.spaces, self.termination, self.truncation = spaces, termination, truncation

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
        """Return next_obs, reward, terminated, truncated."""
        next_obs = self.obs()
        reward = 2.0 * float(np.tanh(action.astype(np.float64)).sum()) + next_obs[1] + self.rng.normal()
        terminated, truncated = self.rng.random(2) < (self.termination, self.truncation)
        return next_obs, reward, bool(terminated), bool(truncated)


class ChoiceStream(RandomStream):
    """A stream for learners that choose one of several actions or predict, over vectors or images.

    Images are bytes in 0..255 where the spaces say so, else zeros and ones; one corner never changes. With probability
    `lost_life` a step is terminal although nothing is restarted. `noise_size` uniform numbers go with every choice.
    """

    def __init__(self, spaces, seed, noise_size, termination=0.08, truncation=0.08, lost_life=0.0):
        super().__init__(spaces, seed, termination, truncation)
        self.noise_size, self.lost_life = noise_size, lost_life

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

    def step(self, action):
        """Return next_obs, reward, terminated, truncated; `needs_reset` says whether the episode is over."""
        next_obs = self.obs()
        answer = float(np.tanh(np.asarray(action, np.float64) - 1).sum())
        reward = answer + float(next_obs.flat[-1]) / (255 if self.spaces.obs_dtype == "uint8" else 1) + self.rng.normal()
        ended, truncated, lost = self.rng.random(3) < (self.termination, self.truncation, self.lost_life)
        self.needs_reset = bool(ended or truncated)
        return next_obs, reward, bool(ended or lost), bool(truncated)


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
# Second forms of the learners

# Strides of the papers' torsos, by the number of their convolutions: MinAtar has one, Atari three.
STRIDES = {1: (1,), 3: (5, 3, 2)}


class WholeLayerNorm(nn.Module):
    """Standardise all numbers of a layer together."""

    def forward(self, x):
        return (x - x.mean()) / torch.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)


class ReferenceNetwork(nn.Module):
    """Hidden layers Linear (or Conv2d) - LayerNorm without affine - LeakyReLU or tanh, then linear heads."""

    def __init__(self, parameters, layer_norm, activation="leaky_relu"):
        super().__init__()
        convolutions, layers = [], []
        while f"convolutions.{len(convolutions)}.weight" in parameters:
            convolutions.append(f"convolutions.{len(convolutions)}")
        while f"hidden.{len(layers)}.weight" in parameters:
            layers.append(_linear(parameters, f"hidden.{len(layers)}"))
        images = [
            _convolution(parameters, name, stride)
            for name, stride in zip(convolutions, STRIDES.get(len(convolutions), ()), strict=True)
        ]
        body = []
        for layer in images + layers:
            if images and layers and layer is layers[0]:
                body.append(nn.Flatten(0))
            body.append(layer)
            if layer_norm:
                body.append(WholeLayerNorm())
            body.append(nn.Tanh() if activation == "tanh" else nn.LeakyReLU())
        self.body = nn.Sequential(*body)
        names = sorted({name.split(".")[1] for name in parameters if name.startswith("heads.")})
        self.heads = nn.ModuleDict({name: _linear(parameters, f"heads.{name}") for name in names})
        if "log_std" in parameters:
            self.log_std = nn.Parameter(parameters["log_std"].double())
        self.names = convolutions + [f"hidden.{i}" for i in range(len(layers))] + [f"heads.{name}" for name in names]
        self.linears = images + layers + [self.heads[name] for name in names]

    def forward(self, x):
        x = self.body(x)
        free = {"log_std": self.log_std} if hasattr(self, "log_std") else {}
        return {name: head(x) for name, head in self.heads.items()} | free

    def named(self):
        """Return {name in the agent's state: own parameter}."""
        layers = zip(self.names, self.linears, strict=True)
        named = {f"{name}.{part}": getattr(layer, part) for name, layer in layers for part in ("weight", "bias")}
        return named | ({"log_std": self.log_std} if hasattr(self, "log_std") else {})


def _linear(parameters, name):
    weight = parameters[f"{name}.weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(parameters[f"{name}.bias"])
    return layer


def _convolution(parameters, name, stride):
    weight = parameters[f"{name}.weight"]
    units, channels, kernel, _ = weight.shape
    layer = nn.Conv2d(channels, units, kernel, stride, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(parameters[f"{name}.bias"])
    return layer


class ReferenceOptimizer:
    """Trace and update of one network, by the name of the rule."""

    def __init__(self, network, kind, alpha, kappa, decay, bias_correction):
        self.parameters = network.named()
        self.kind, self.alpha, self.kappa, self.decay, self.bias_correction = kind, alpha, kappa, decay, bias_correction
        self.trace = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.moment = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.updates = 0
        self.adam = torch.optim.Adam(self.parameters.values(), lr=alpha, betas=(0.9, 0.999), eps=1e-4)

    def step(self, delta, reset):
        """Take the gradients that `backward` has left, and move along delta z."""
        for name, p in self.parameters.items():
            self.trace[name] = self.decay * self.trace[name] + p.grad
        self.trace_norm = sum(z.abs().sum().item() for z in self.trace.values())
        self.updates += 1
        if self.kind == "adam":
            for name, p in self.parameters.items():
                p.grad = -delta * self.trace[name]
            self.adam.step()
        else:
            direction = {}
            for name, z in self.trace.items():
                direction[name] = z
                if self.kind == "adaptive_obgd":
                    self.moment[name] = 0.999 * self.moment[name] + 0.001 * (delta * z) ** 2
                    corrected = self.moment[name] / (1 - 0.999**self.updates if self.bias_correction else 1.0)
                    direction[name] = z / (corrected + 1e-8).sqrt()
            norm = sum(d.abs().sum().item() for d in direction.values())
            self.bound = bound = 0.0 if self.kind == "sgd" else self.alpha * self.kappa * max(abs(delta), 1.0) * norm
            step_size = self.alpha / bound if bound > 1 else self.alpha
            with torch.no_grad():
                for name, p in self.parameters.items():
                    p += step_size * delta * direction[name]
        if reset:
            self.empty()
        for p in self.parameters.values():
            p.grad = None

    def empty(self):
        """Set the trace to zero."""
        self.trace = {name: torch.zeros_like(z) for name, z in self.trace.items()}

    def copy(self):
        """Return the parameters as they are now."""
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    def take_over(self, parameters, state, trace=True):
        """Go on from an agent's parameters and moments, and from its trace unless that is kept in another form."""
        with torch.no_grad():
            for key, p in self.parameters.items():
                p.copy_(parameters[key])
                if trace:
                    self.trace[key] = state["trace"][key].double()
                if "moment" in state:
                    self.moment[key] = state["moment"][key].double()
                if "first_moment" in state:  # of delta z in the agent, of the gradient -delta z in torch
                    self.adam.state[p]["exp_avg"].copy_(-state["first_moment"][key])
                    self.adam.state[p]["exp_avg_sq"].copy_(state["second_moment"][key])


class ReferenceSenses:
    """What a learner sees, made outside of its networks in NumPy: standardised, stacked, rewards scaled.

    The statistics keep every sample and ask NumPy for mean and variance: slow, and hard to get wrong.
    """

    def __init__(self, time_feature, frames, gamma, normalize_obs, normalize_reward, centered, prior=False):
        self.time_feature, self.frames, self.gamma = time_feature, frames, gamma
        self.normalize_obs, self.normalize_reward, self.centered = normalize_obs, normalize_reward, centered
        self.prior, self.emptied = prior, False
        self.seen, self.shown, self.reward_traces = [], [], []

    def look(self, obs, first=False):
        """Take an observation in; return what the network sees then."""
        obs = np.asarray(obs, np.float64)
        if self.normalize_obs:
            size = len(obs) - self.time_feature
            self.seen.append(obs[:size])
            variance = np.var(self.seen, axis=0, ddof=1) if len(self.seen) > 1 else np.ones(obs[:size].shape)
            mean = np.mean(self.seen, axis=0)
            if self.prior:
                mean, variance = with_one_more(self.seen)
            standard = (obs[:size] - mean) / np.sqrt(variance + 1e-8)
            obs = np.concatenate([standard, obs[size:]])
        self.shown = [obs] * self.frames if first else [*self.shown[1:], obs]
        view = np.stack(self.shown) if self.frames > 1 else obs
        return torch.tensor(view, dtype=torch.float32).double()

    def scale(self, reward, cut):
        """Take a reward in; return what is learnt from."""
        if not self.normalize_reward:
            return reward
        before = self.reward_traces[-1] if self.reward_traces and not cut and not self.emptied else 0.0
        self.reward_traces.append(self.gamma * before + reward)
        self.emptied = self.prior and cut
        return reward / self.deviation()

    def deviation(self):
        """Return what rewards are divided by now."""
        n = len(self.reward_traces)
        traces, variance = np.array(self.reward_traces), 1.0
        if n > 1:
            variance = np.var(traces, ddof=1) if self.centered else np.sum(traces**2) / (n - 1)
        if self.prior:
            variance = with_one_more(self.reward_traces)[1]
        return math.sqrt(variance + 1e-8)


def with_one_more(samples):
    """Return mean and variance of samples together with one more that has mean 0 and variance 1: half of it at +1 and at -1."""
    samples = np.asarray(samples, np.float64)
    count = len(samples) + 1
    mean = samples.sum(0) / count
    return mean, (((samples - mean) ** 2).sum(0) + 0.5 * (1 - mean) ** 2 + 0.5 * (-1 - mean) ** 2) / count


class ReferenceStreamAC:
    """Stream AC(lambda) for one stream."""

    def __init__(
        self,
        state,
        time_feature,
        gamma=0.99,
        lamda=0.8,
        alpha_policy=1.0,
        alpha_value=1.0,
        kappa_policy=3.0,
        kappa_value=2.0,
        entropy=0.01,
        layer_norm=True,
        normalize_obs=True,
        normalize_reward=True,
        optimizer="obgd",
        bootstrap_on_truncation=False,
        reset_trace_on_truncation=True,
        cut_reward_trace_on_truncation=True,
        centered_reward_variance=True,
        adaptive_bias_correction=True,
        activation="leaky_relu",
        one_sample_prior=False,
        frames=1,
    ):
        self.actor = ReferenceNetwork(state["actor"], layer_norm, activation)
        self.critic = ReferenceNetwork(state["critic"], layer_norm, activation)
        self.gamma, self.entropy = gamma, entropy
        self.bootstrap_on_truncation, self.reset_trace_on_truncation = bootstrap_on_truncation, reset_trace_on_truncation
        self.cut_reward_trace_on_truncation = cut_reward_trace_on_truncation
        scaling = (normalize_obs, normalize_reward, centered_reward_variance, one_sample_prior)
        self.senses = ReferenceSenses(time_feature, frames, gamma, *scaling)
        decay = gamma * lamda
        self.actor_optimizer, self.critic_optimizer = (
            ReferenceOptimizer(network, optimizer, alpha, kappa, decay, adaptive_bias_correction)
            for network, alpha, kappa in ((self.actor, alpha_policy, kappa_policy), (self.critic, alpha_value, kappa_value))
        )
        self.obs = None

    def take_over(self, state):
        """Go on from the parameters, traces and moments of an agent's state, so that rounding differences do not build up."""
        self.actor_optimizer.take_over(state["actor"], state["actor_optimizer"])
        self.critic_optimizer.take_over(state["critic"], state["critic_optimizer"])

    def start(self, obs, noise):
        self.obs = self.senses.look(obs, first=True)
        return self._act(noise)

    def step(self, action, reward, next_obs, terminated, truncated, acting_obs, noise, restarted=None):
        """Learn from (own last observation, action, reward, next_obs); return the next action and the TD error."""
        restarted = terminated or truncated if restarted is None else restarted
        reward = self.senses.scale(reward, terminated or (truncated and self.cut_reward_trace_on_truncation))
        next_obs = self.senses.look(next_obs)
        bootstrap = not (terminated or (truncated and not self.bootstrap_on_truncation))

        value = self.critic(self.obs)["value"].squeeze()
        with torch.no_grad():
            next_value = self.critic(next_obs)["value"].squeeze().item() if bootstrap else 0.0
        delta = reward + self.gamma * next_value - value.item()

        policy = self._policy(self.obs)
        sign = (delta > 0) - (delta < 0)
        (policy.log_prob(action).sum() + self.entropy * sign * policy.entropy().sum()).backward()
        value.backward()
        reset = terminated or (truncated and self.reset_trace_on_truncation)
        self.actor_optimizer.step(delta, reset)
        self.critic_optimizer.step(delta, reset)
        with torch.no_grad():
            next_value = self.critic(next_obs)["value"].squeeze().item() if bootstrap else 0.0
            self.delta_after = reward + self.gamma * next_value - self.critic(self.obs)["value"].squeeze().item()

        self.obs = self.senses.look(acting_obs, first=True) if restarted else next_obs
        return self._act(noise), delta

    def _policy(self, obs):
        heads = self.actor(obs)
        if "logits" in heads:
            return torch.distributions.Categorical(logits=heads["logits"])
        std = heads["log_std"].exp() if "log_std" in heads else nn.functional.softplus(heads["std"])
        return torch.distributions.Normal(heads["mean"], std)

    def _act(self, noise):
        with torch.no_grad():
            policy = self._policy(self.obs)
        if isinstance(policy, torch.distributions.Categorical):
            return lookup(policy.probs.numpy(), float(noise[0]))
        return policy.mean + policy.stddev * noise


def lookup(probabilities, u):
    """Return the first action whose cumulative probability exceeds u, int64 []."""
    total = 0.0
    for action, p in enumerate(probabilities):
        total += p
        if total > u:
            return torch.tensor(action)
    return torch.tensor(len(probabilities) - 1)


def value_of(state, obs, layer_norm=True):
    """Return v(obs) of an agent's state; `obs` as the critic sees it."""
    with torch.no_grad():
        return ReferenceNetwork(state["critic"], layer_norm)(torch.as_tensor(obs, dtype=torch.float64))["value"].item()


def policy_of(state, obs, layer_norm=True):
    """Return the action distribution of an agent's state; `obs` as the actor sees it."""
    with torch.no_grad():
        heads = ReferenceNetwork(state["actor"], layer_norm)(torch.as_tensor(obs, dtype=torch.float64))
    return torch.distributions.Normal(heads["mean"], nn.functional.softplus(heads["std"]))


# ---------------------------------------------------------------------------------------------------------------------
# Probe environments: so small that what must be learnt is known. All have two observation components and one action, and
# so run in one traced graph.

PROBE_SPACES = Spaces(obs_shape=(2,), action_size=1)


class Probe:
    """An environment with two observation components and one action; subclasses say what happens."""

    def __init__(self, seed):
        self.rng = np.random.default_rng([seed, 99])

    def noise(self):
        return self.rng.standard_normal(1).astype(np.float32)


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
