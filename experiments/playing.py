"""What a finished run does next: its learner in its environment, one step after the other, from another seed.

A streaming learner goes on as if its run had not ended: it learns from every step. A batch learner acts by what it has learnt
and learns nothing more. Nothing of it reaches the store.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from algorithms.agent import Agent, LabelledLearner, State, Transition
from algorithms.recurrent_network import reset_carry
from experiments.environments import Environment
from experiments.errors import UserError
from experiments.loading import LoadedRun
from experiments.randomness import NoiseStream


def play(loaded: LoadedRun, seed: int) -> Iterator[Environment]:
    """Yield the environment at the beginning and after each step, for ever; another `last_episode` says that one has ended.

    Raise `UserError` where there is nothing to act with or in.
    """
    run = loaded.run
    if loaded.state is None:
        why = (
            "it diverged"
            if loaded.result["status"] == "diverged"
            else "it was trained with --no-weights, or before they were kept"
        )
        raise UserError(f"{run.run_id} has no weights: {why}.")
    if isinstance(loaded.learner, LabelledLearner) and not isinstance(loaded.learner, Agent):
        raise UserError(f"{run.name} learns answers to samples and does not act; there is nothing to watch.")
    environment = loaded.environment(seed)
    if isinstance(loaded.learner, Agent):
        return _streaming(loaded.learner, loaded.state, environment, seed)
    return _batch(loaded, loaded.state, environment, seed)


def _streaming(agent: Agent, state: State, environment: Environment, seed: int) -> Iterator[Environment]:
    noise = NoiseStream(seed, agent.noise(environment.spaces))

    def noises() -> Iterator[Tensor]:
        number = 0
        while True:
            yield from torch.from_numpy(noise.block(number))
            number += 1

    drawn = noises()
    if "carry" in state:  # what was remembered is of the run's last episode
        state = {**state, "carry": reset_carry(state["carry"], torch.tensor(True))}
    with torch.no_grad():
        obs = _tensor(environment.reset()[0])
        state, action = agent.start(state, obs, next(drawn))
        yield environment
        while True:
            next_obs, reward, terminated, truncated, _ = environment.step(action.numpy())
            following = acting = _tensor(next_obs)
            restarted = environment.needs_reset
            yield environment
            if restarted:
                acting = _tensor(environment.reset()[0])
            moment = Transition(
                obs,
                action,
                torch.tensor(reward, dtype=torch.float64),
                following,
                torch.tensor(terminated),
                torch.tensor(truncated),
                torch.tensor(restarted),
                acting,
            )
            state, action, _ = agent.step(state, moment, next(drawn))
            obs = acting


def _batch(loaded: LoadedRun, weights: State, environment: Environment, seed: int) -> Iterator[Environment]:
    from baselines.batch import build

    model = build(loaded.learner, environment, loaded.run.steps, seed)
    model.put_weights(weights)
    yield environment
    while True:
        model.play()
        yield environment


def _tensor(obs: object) -> Tensor:
    return torch.as_tensor(obs).clone()
