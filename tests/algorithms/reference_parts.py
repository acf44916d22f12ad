"""Parts of the second forms of the learners: network, optimiser, senses, policy.

They are written straight down from the description of the algorithms, in plain torch with autograd, modules and loops, and
NumPy for the statistics. They share no code with `algorithms/`, so that both would have to be wrong alike. The networks are
float64, which leaves the rounding of the agent's float32 as the only difference to expect.
"""

import math

import numpy as np
import torch
from torch import nn

# Strides of the papers' torsos, by the number of their convolutions: MinAtar has one, Atari three.
STRIDES = {1: (1,), 3: (5, 3, 2)}


class WholeLayerNorm(nn.Module):
    """Standardise all numbers of a layer together."""

    def forward(self, x):
        return (x - x.mean()) / torch.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)


class ReferenceNetwork(nn.Module):
    """Hidden layers Linear (or Conv2d) - LayerNorm without affine - LeakyReLU or tanh, then linear heads."""

    def __init__(self, parameters, layer_norm, activation="leaky_relu", normalized_layers=0):
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
            if layer_norm and (not normalized_layers or layer in images or layer in layers[:normalized_layers]):
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


def lookup(probabilities, u):
    """Return the first action whose cumulative probability exceeds u, int64 []."""
    total = 0.0
    for action, p in enumerate(probabilities):
        total += p
        if total > u:
            return torch.tensor(action)
    return torch.tensor(len(probabilities) - 1)


def outputs_of(parameters, obs, head, layer_norm=True):
    """Return what a network gives at an observation as it sees it, float64 [size of the head]."""
    with torch.no_grad():
        return ReferenceNetwork(parameters, layer_norm)(torch.as_tensor(obs, dtype=torch.float64))[head].numpy()


def value_of(state, obs, layer_norm=True):
    """Return v(obs) of an agent's state; `obs` as the critic sees it."""
    with torch.no_grad():
        return ReferenceNetwork(state["critic"], layer_norm)(torch.as_tensor(obs, dtype=torch.float64))["value"].item()


def policy_of(state, obs, layer_norm=True):
    """Return the action distribution of an agent's state; `obs` as the actor sees it."""
    with torch.no_grad():
        heads = ReferenceNetwork(state["actor"], layer_norm)(torch.as_tensor(obs, dtype=torch.float64))
        std = heads["log_std"].exp() if "log_std" in heads else nn.functional.softplus(heads["std"])
        return torch.distributions.Normal(heads["mean"], std)
