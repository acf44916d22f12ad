"""Recurrent PPO with an RTU, a GRU or an LSTM: what streaming learners with memory are compared with.

Source: PPO (Schulman et al., arXiv:1707.06347) with the clipped value loss; sizes of arXiv:2605.24709. Policy and value have
networks of their own, whose cells are those of `algorithms`.

How sequences are learnt from is our choice. A rollout is cut into sequences. A mini-batch is some whole sequences, each begun
with the hidden state that it had when it was played, and differentiated from its end to its beginning; where an episode begins
within a sequence, the hidden state is zero. The paper's code has mini-batches of single steps instead, with sensitivities
stored when they were played, and 32 environments on POPGym, where this learner, like all here, has one.

It differs from that code in more, none of it tried: mini-batches of 256 samples, where the code has 64 and so four times as
many updates; one optimiser and one bound on the gradient for both networks together, where it has one each; half the weight
of the value loss; observations and rewards standardised as Gymnasium does and clipped at 10; actions clipped to the bounds of
the environment, where it has -2 and 2.

The loop is ours, so that a run can stop after any step and go on from there to the same result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from algorithms.agent import Spaces
from algorithms.policies import Policy, policy_for
from algorithms.recurrent_network import CELL, RecurrentNetwork, recurrent_network
from algorithms.settings import CellSettings
from baselines.recurrent_settings import RecurrentPPOSettings
from baselines.stepwise import Diverged, put_statistics, running_statistics

COLUMNS = ("obs", "actions", "rewards", "starts", "values", "log_probs", "policy_hidden", "value_hidden")


class RecurrentPPO:
    """One stream, one step at a time.

    Attributes:
        num_timesteps: environment steps taken.
        made_of: whose code it is, as provenance has it.
        told: what it tells of itself, which is nothing.
    """

    made_of = "ours"
    told: dict[str, float]

    def __init__(self, learner: RecurrentPPOSettings, env: gymnasium.Env[Any, Any], seed: int):
        """Begin the first episode of an environment that shows float32 vectors and is normalised already.

        Raise `ValueError` where sizes do not fit each other.
        """
        if learner.rollout_steps % learner.sequence_steps or learner.minibatch_size % learner.sequence_steps:
            raise ValueError("rollout_steps and minibatch_size must be multiples of sequence_steps.")
        self._learner, self.env, self.told = learner, env, {}
        spaces: Spaces = cast(Any, env.unwrapped).spaces
        self._policy: Policy = policy_for(spaces.discrete)
        self._noise = self._policy.noise(spaces.action_size)
        self._generator = torch.Generator().manual_seed(seed)
        heads = self._policy.heads(spaces.action_size)
        heads.pop("std", None)  # a parameter of its own
        self._nets = {name: self._network(spaces, sizes) for name, sizes in (("policy", heads), ("value", {"value": 1}))}
        self.parameters = {name: self._begun(name, net) for name, net in self._nets.items()}
        if not spaces.discrete:
            self.parameters["policy"]["log_std"] = torch.zeros(spaces.action_size)
        self._all = [p.requires_grad_() for own in self.parameters.values() for p in own.values()]
        self._optimizer = torch.optim.Adam(self._all, lr=learner.learning_rate, eps=learner.adam_epsilon, foreach=False)
        hidden = tuple(self._nets["policy"].cell.init_hidden().shape)
        n, action = learner.rollout_steps, () if spaces.discrete else (spaces.action_size,)
        shapes = (spaces.obs_shape, action, (), (), (), (), hidden, hidden)
        types = [np.int64 if name == "actions" and spaces.discrete else np.float32 for name in COLUMNS]
        self._buffer = {c: np.zeros((n, *shape), dtype) for c, shape, dtype in zip(COLUMNS, shapes, types, strict=True)}
        self.num_timesteps, self._filled, self._start = 0, 0, True
        self._hidden = {name: net.cell.init_hidden() for name, net in self._nets.items()}
        self._obs = np.asarray(env.reset()[0], np.float32)

    def _network(self, spaces: Spaces, heads: Mapping[str, int]) -> RecurrentNetwork:
        own = self._learner
        cell = CellSettings(cell=own.cell, units=own.units, gradient="tbptt1", readout=own.readout)
        return recurrent_network(spaces.obs_shape, own.hidden, heads, False, "tanh", cell)

    def _begun(self, name: str, net: RecurrentNetwork) -> dict[str, Tensor]:
        """Return fresh parameters: orthogonal weights but for the cell, as the paper's code draws them."""
        parameters = net.init_parameters(self._generator, 0.0, False)
        for key, p in parameters.items():
            if p.ndim == 2 and not key.startswith(CELL):
                gain = math.sqrt(2) if not key.startswith("heads.") else 0.01 if name == "policy" else 1.0
                torch.nn.init.orthogonal_(p, gain, generator=self._generator)
        return parameters

    # Acting

    def step(self) -> None:
        """Take one environment step, and learn where it fills a rollout. May raise `Diverged`."""
        obs = torch.tensor(self._obs)
        row: dict[str, Any] = {"obs": self._obs, "starts": float(self._start)}
        row |= {f"{name}_hidden": hidden.numpy().copy() for name, hidden in self._hidden.items()}
        with torch.no_grad():
            heads = {name: self._look(name, obs) for name in self._nets}
            policy = self._policy.parameters(heads["policy"])
            draw = torch.randn if self._noise.distribution == "normal" else torch.rand
            action = self._policy.sample(policy, draw(self._noise.shape, generator=self._generator))
            row |= {"actions": action.numpy(), "values": heads["value"]["value"].item()}
            row["log_probs"] = self._policy.log_prob(policy, action).item()
        if not (torch.isfinite(action).all() and math.isfinite(row["values"])):
            raise Diverged("action or value")
        next_obs, reward, terminated, truncated, _ = self.env.step(action.numpy() if action.ndim else int(action))
        self.num_timesteps += 1
        reward, self._obs = float(reward), np.asarray(next_obs, np.float32)
        self._start = bool(getattr(self.env.unwrapped, "needs_reset", terminated or truncated))
        if truncated and not terminated and self._learner.bootstrap_on_truncation:
            reward += self._learner.gamma * self._value_after()
        for column, value in row.items():
            self._buffer[column][self._filled] = value
        self._buffer["rewards"][self._filled] = reward
        self._filled += 1
        if self._start:
            self._obs = np.asarray(self.env.reset()[0], np.float32)
            self._hidden = {name: torch.zeros_like(hidden) for name, hidden in self._hidden.items()}
        if self._filled == self._learner.rollout_steps:
            self._learn()
            self._filled = 0

    def play(self) -> None:
        """Take one environment step by what has been learnt, without learning. May raise `Diverged`."""
        self._filled = 0  # a rollout that never fills
        self.step()

    def _look(self, name: str, obs: Tensor) -> dict[str, Tensor]:
        """Evaluate a network at an observation and carry its hidden state on; return its heads."""
        heads, self._hidden[name] = self._nets[name].look(self._weights(name), self._hidden[name], obs)
        return heads | self._free_std(name)

    def _free_std(self, name: str) -> dict[str, Tensor]:
        return {key: p for key, p in self.parameters[name].items() if key == "log_std"}

    def _weights(self, name: str) -> dict[str, Tensor]:
        return {key: p for key, p in self.parameters[name].items() if key != "log_std"}

    def _value_after(self) -> float:
        """Return the value of the observation that came last, without carrying the hidden state on."""
        kept = self._hidden["value"]
        with torch.no_grad():
            value = self._look("value", torch.tensor(self._obs))["value"].item()
        self._hidden["value"] = kept
        return value

    # Learning

    def _learn(self) -> None:
        """Make all updates from a full rollout. May raise `Diverged`."""
        own, count = self._learner, self._learner.rollout_steps // self._learner.sequence_steps
        advantages = self._advantages()
        columns = {**self._buffer, "advantages": advantages, "returns": advantages + self._buffer["values"]}
        rows = {name: torch.tensor(x).unflatten(0, (count, own.sequence_steps)) for name, x in columns.items()}
        together = own.minibatch_size // own.sequence_steps
        for _ in range(own.epochs):
            for chosen in torch.randperm(count, generator=self._generator).split(together):
                loss = self._loss({name: x[chosen] for name, x in rows.items()})
                if not torch.isfinite(loss):
                    raise Diverged("loss")
                self._optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self._all, own.max_grad_norm)
                self._optimizer.step()

    def _advantages(self) -> np.ndarray:
        """Return generalised advantage estimates of the rollout, float32 [rollout_steps]."""
        own, buffer = self._learner, self._buffer
        found, advantage = np.zeros(own.rollout_steps, np.float32), 0.0
        next_value, next_goes_on = self._value_after(), 1.0 - float(self._start)
        for t in reversed(range(own.rollout_steps)):
            delta = buffer["rewards"][t] + own.gamma * next_value * next_goes_on - buffer["values"][t]
            advantage = delta + own.gamma * own.gae_lambda * next_goes_on * advantage
            found[t] = advantage
            next_value, next_goes_on = buffer["values"][t], 1.0 - buffer["starts"][t]
        return found

    def _loss(self, rows: dict[str, Tensor]) -> Tensor:
        """Return the loss of some sequences; every array is [sequences, steps, ...]."""
        own = self._learner
        policy = vmap(vmap(self._policy.parameters))(self.heads_of("policy", rows))
        value = self.heads_of("value", rows)["value"].squeeze(-1)
        advantage = rows["advantages"]
        if own.normalize_advantage:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        ratio = (vmap(vmap(self._policy.log_prob))(policy, rows["actions"]) - rows["log_probs"]).exp()
        gain = torch.min(advantage * ratio, advantage * ratio.clamp(1 - own.clip_range, 1 + own.clip_range)).mean()
        clipped = rows["values"] + (value - rows["values"]).clamp(-own.clip_range, own.clip_range)
        error = torch.max((value - rows["returns"]) ** 2, (clipped - rows["returns"]) ** 2).mean()
        entropy = vmap(vmap(self._policy.entropy))(policy).mean()
        return own.value_coefficient * 0.5 * error - gain - own.entropy_coefficient * entropy

    def heads_of(self, name: str, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what a network says along sequences, {head: [sequences, steps, size]}, the hidden state carried on in each."""
        hidden = rows[f"{name}_hidden"][:, 0]
        heads = self._nets[name].unroll(self._weights(name), hidden, rows["obs"], 1 - rows["starts"])
        free = {key: p.expand(*rows["starts"].shape, -1) for key, p in self._free_std(name).items()}
        return heads | free

    # Stopping and going on

    def check(self) -> None:
        """Raise `Diverged` if a parameter is not finite."""
        if not all(p.isfinite().all() for p in self._all):
            raise Diverged("parameter")

    def buffer_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the rollout by name, first axis = step."""
        return self._buffer

    def get_state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on, as plain data, the environment inside the wrappers excepted."""
        return {
            "counters": {"num_timesteps": self.num_timesteps, "filled": self._filled, "start": self._start},
            "obs": self._obs,
            "hidden": dict(self._hidden),
            "parameters": {name: {k: p.detach() for k, p in own.items()} for name, own in self.parameters.items()},
            "optimizer": self._optimizer.state_dict(),
            "buffer": {name: array[: self._filled] for name, array in self._buffer.items()},
            "statistics": [{name: getattr(one, name) for name in names} for one, names in running_statistics(self.env)],
            "generator": self._generator.get_state().numpy(),
        }

    def weights(self) -> dict[str, Any]:
        """Return what has been learnt, as plain data: the networks, and the statistics that observations are scaled by."""
        state = self.get_state()
        return {"parameters": state["parameters"], "statistics": state["statistics"]}

    def put_weights(self, weights: dict[str, Any]) -> None:
        """Take over what `weights` returned, in a model built from the same arguments."""
        for name, own in self.parameters.items():
            for key, p in own.items():
                p.data.copy_(weights["parameters"][name][key])
        put_statistics(running_statistics(self.env), weights["statistics"])

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to where `get_state` was called, in a model built from the same arguments."""
        counters = state["counters"]
        self.num_timesteps, self._filled, self._start = (counters[k] for k in ("num_timesteps", "filled", "start"))
        self._obs, self._hidden = state["obs"], dict(state["hidden"])
        self.put_weights(state)
        self._optimizer.load_state_dict(state["optimizer"])
        for name, array in self._buffer.items():
            array[: len(state["buffer"][name])] = state["buffer"][name]
        self._generator.set_state(torch.from_numpy(state["generator"]))
