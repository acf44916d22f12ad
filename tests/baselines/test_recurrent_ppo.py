"""Recurrent PPO: what it learns from is what it played, gradients follow a sequence, and a run that was left goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from baselines.batch import build
from baselines.recurrent_ppo import COLUMNS, RecurrentPPO
from baselines.recurrent_settings import RecurrentPPOSettings
from experiments.environments import Environment

SMALL: dict[str, Any] = {
    **{"units": 6, "hidden": (8,), "readout": (8,), "rollout_steps": 32, "sequence_steps": 8},
    **{"minibatch_size": 16, "epochs": 2, "learning_rate": 3e-3},
}
CHAIN = ("memory/MemoryChain-v0", {"length": 5})
ROBOT = ("masked/Hopper-v4", {})


def a_model(env: tuple[str, dict[str, Any]] = CHAIN, seed: int = 0, **changes: Any) -> RecurrentPPO:
    env_id, options = env
    learner = RecurrentPPOSettings(**{**SMALL, **changes})
    model = build(learner, Environment(env_id, seed, **options), 1000, seed)
    assert isinstance(model, RecurrentPPO)
    return model


def played(model: RecurrentPPO, steps: int) -> dict[str, torch.Tensor]:
    """Return what a model stored of so many steps, short of learning, as sequences."""
    for _ in range(steps):
        model.step()
    length = model._learner.sequence_steps
    whole = steps // length * length
    return {name: torch.tensor(model._buffer[name][:whole]).unflatten(0, (-1, length)) for name in COLUMNS}


@pytest.mark.parametrize("cell", ["rtu", "gru", "lstm"])
@pytest.mark.parametrize("env", [CHAIN, ROBOT], ids=["choice", "vector"])
def test_sequences_give_the_probabilities_and_values_that_were_played(cell: str, env: tuple[str, dict[str, Any]]) -> None:
    model = a_model(env, cell=cell)
    rows = played(model, 31)
    assert rows["starts"].sum() >= (2 if env is CHAIN else 1)
    with torch.no_grad():
        value = model.heads_of("value", rows)["value"].squeeze(-1)
        heads = model.heads_of("policy", rows)
        policy = torch.func.vmap(torch.func.vmap(model._policy.parameters))(heads)
        log_prob = torch.func.vmap(torch.func.vmap(model._policy.log_prob))(policy, rows["actions"])
    torch.testing.assert_close(value, rows["values"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(log_prob, rows["log_probs"], rtol=1e-4, atol=1e-5)


def test_gradient_goes_back_through_a_sequence_and_not_beyond_the_start_of_an_episode() -> None:
    model = a_model()
    rows = played(model, 24)
    rows["obs"] = rows["obs"].clone().requires_grad_()
    starts = rows["starts"][0]
    last = 7
    model.heads_of("value", rows)["value"][0, last].sum().backward()
    assert rows["obs"].grad is not None
    reaches = rows["obs"].grad[0].abs().sum(-1) > 0
    begun = int(torch.nonzero(starts[: last + 1])[-1])
    assert 0 < begun < last
    assert reaches[begun : last + 1].all()
    assert not reaches[:begun].any()


def test_advantages_are_those_of_the_formula() -> None:
    model = a_model(gamma=0.9, gae_lambda=0.8)
    model.step()
    n, rng = 32, np.random.default_rng(0)
    model._buffer["rewards"][:], model._buffer["values"][:] = rng.normal(size=(2, n))
    model._buffer["starts"][:] = rng.random(n) < 0.2
    found = model._advantages()
    last = model._value_after()
    values, goes_on = [*model._buffer["values"], last], [*(1 - model._buffer["starts"][1:]), 1.0 - model._start]
    for t in range(n):
        total, weight = 0.0, 1.0
        for k in range(t, n):
            total += weight * (model._buffer["rewards"][k] + 0.9 * values[k + 1] * goes_on[k] - values[k])
            weight *= 0.9 * 0.8 * goes_on[k]
        assert found[t] == pytest.approx(total, rel=1e-4, abs=1e-5)


def test_chain_of_two_is_learnt() -> None:
    model = a_model(("memory/MemoryChain-v0", {"length": 2}), rollout_steps=64, minibatch_size=32, epochs=4)
    for _ in range(64 * 12 - 1):
        model.step()
    rewards = model._buffer["rewards"][:63]
    signs = np.sign(rewards[rewards != 0])
    assert signs.mean() > 0.8


def test_model_left_within_a_rollout_and_an_episode_goes_on_to_the_same_parameters() -> None:
    whole = a_model()
    for _ in range(70):
        whole.step()
    parted = a_model()
    for _ in range(37):
        parted.step()
    state, environment = parted.get_state(), parted.env.unwrapped.get_state()  # type: ignore[attr-defined]
    other = a_model()
    other.env.unwrapped.set_state(environment)  # type: ignore[attr-defined]
    other.set_state(state)
    for _ in range(33):
        other.step()
    for name, own in whole.parameters.items():
        for key, p in own.items():
            assert torch.equal(p, other.parameters[name][key]), (name, key)
    assert np.array_equal(whole._obs, other._obs)


def test_sizes_that_leave_a_sequence_unfinished_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of sequence_steps"):
        a_model(rollout_steps=30)


def test_lstm_evaluates_sequences_as_that_of_sb3_contrib_does_with_the_same_weights() -> None:
    from sb3_contrib import RecurrentPPO as Theirs
    from sb3_contrib.common.recurrent.type_aliases import RNNStates

    model = a_model(cell="lstm", hidden=())
    rows = played(model, 31)
    sizes = {"n_steps": 32, "batch_size": 32, "device": "cpu", "seed": 0}
    networks = {"net_arch": {"pi": [8], "vf": [8]}, "lstm_hidden_size": 6, "enable_critic_lstm": True, "ortho_init": False}
    policy: Any = Theirs("MlpLstmPolicy", Environment(CHAIN[0], 0, **CHAIN[1]), policy_kwargs=networks, **sizes).policy
    ours = {"policy": (policy.lstm_actor, policy.mlp_extractor.policy_net[0], policy.action_net)}
    ours["value"] = (policy.lstm_critic, policy.mlp_extractor.value_net[0], policy.value_net)
    with torch.no_grad():
        for name, (lstm, hidden, head) in ours.items():
            own = model.parameters[name]
            for p in own.values():  # also what begins as zero
                p.copy_(0.5 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
            lstm.weight_ih_l0.copy_(own["cell.input"].flatten(0, 1))
            lstm.weight_hh_l0.copy_(own["cell.recurrent"].flatten(0, 1))
            lstm.bias_ih_l0.copy_(own["cell.bias"].flatten())
            lstm.bias_hh_l0.zero_()
            key = "heads.logits" if name == "policy" else "heads.value"
            for layer, prefix in ((hidden, "hidden.0"), (head, key)):
                layer.weight.copy_(own[f"{prefix}.weight"])
                layer.bias.copy_(own[f"{prefix}.bias"])
        # Their hidden state is [layers, sequences, units], h and c apart; sequences follow each other in a flat batch.
        begun = {name: rows[f"{name}_hidden"][:, 0].transpose(0, 1).unsqueeze(1) for name in ours}
        states = RNNStates(*((begun[name][0], begun[name][1]) for name in ("policy", "value")))
        flat = {name: rows[name].flatten(0, 1) for name in ("obs", "actions", "starts")}
        value, log_prob, _ = policy.evaluate_actions(flat["obs"], flat["actions"], states, flat["starts"])
        found = model.heads_of("policy", rows)["logits"].log_softmax(-1).flatten(0, 1)
        torch.testing.assert_close(found.gather(1, flat["actions"].unsqueeze(1)).squeeze(1), log_prob, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(model.heads_of("value", rows)["value"].flatten(), value.flatten(), rtol=1e-5, atol=1e-6)
