"""Play the same episodes on two simulators and compare them: episodes.py record FILE on the old one, episodes.py compare FILE.

Equal seeds of the reset, equal actions. `compare` writes episodes.csv. Where a task has contact margins, the current simulator
has them as the old one (`contact_margin=larger`).
"""

import pickle
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np

TASKS = ("Walker2d-v4", "HalfCheetah-v4", "Hopper-v4", "Ant-v4", "Humanoid-v4", "HumanoidStandup-v4")
# Beside them Walker2d with no end but the time limit, which actions at random never reach.
VARIANTS = [(task, {}) for task in TASKS] + [("Walker2d-v4", {"terminate_when_unhealthy": False})]
EPISODES = 20
# Rounding grows in a system with contacts: from here on two episodes are two samples and not one.
APART = 1e-6


def play(env: gymnasium.Env, seed: int) -> dict[str, np.ndarray]:
    """Play one episode; return its observations, from the first on, its rewards, and (terminated, truncated) of each step."""
    generator = np.random.default_rng(seed)
    drift = np.zeros(env.action_space.shape)
    obs = [env.reset(seed=seed)[0]]
    rewards, ends = [], []
    while not ends or not any(ends[-1]):
        drift = 0.9 * drift + 0.3 * generator.standard_normal(drift.shape)
        action = np.clip(drift.astype(np.float32), env.action_space.low, env.action_space.high)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        obs.append(next_obs)
        rewards.append(float(reward))
        ends.append((bool(terminated), bool(truncated)))
    return {"obs": np.array(obs), "reward": np.array(rewards), "ends": np.array(ends)}


def play_all(prepare=lambda task, env: None) -> list[list[dict[str, np.ndarray]]]:
    """Play the episodes of all variants."""
    played = []
    for task, arguments in VARIANTS:
        env = gymnasium.make(task, **arguments)
        prepare(task, env)
        played.append([play(env, seed) for seed in range(EPISODES)])
    return played


def compare(old: list[dict[str, np.ndarray]], new: list[dict[str, np.ndarray]]) -> dict[str, object]:
    """Return the columns of one variant from its episodes on both simulators."""
    pairs = list(zip(old, new, strict=True))
    steps_alike, rewards, same_ends = [], [], []
    for a, b in pairs:
        shared = min(len(a["reward"]), len(b["reward"]))
        # The first observation is looked at by itself.
        apart = np.abs(a["obs"][1 : shared + 1] - b["obs"][1 : shared + 1]).max(axis=1) > APART
        alike = int(apart.argmax()) if apart.any() else shared
        steps_alike.append(alike)
        rewards.append(np.abs(a["reward"][:alike] - b["reward"][:alike]).max(initial=0.0))
        same_ends.append((a["ends"][:alike] == b["ends"][:alike]).all())
    return {
        "episodes": len(pairs),
        "same_length": sum(len(a["reward"]) == len(b["reward"]) for a, b in pairs),
        "same_type": all(a["obs"].dtype == b["obs"].dtype and a["obs"].shape[1] == b["obs"].shape[1] for a, b in pairs),
        "first_obs_difference": max(np.abs(a["obs"][0] - b["obs"][0]).max() for a, b in pairs),
        "steps_alike_least": min(steps_alike),
        "steps_alike_median": int(np.median(steps_alike)),
        "reward_difference_while_alike": max(rewards),
        "same_ends_while_alike": all(same_ends),
    }


warnings.simplefilter("ignore")
if sys.argv[1] == "record":
    Path(sys.argv[2]).write_bytes(pickle.dumps(play_all()))
else:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import pandas as pd

    from experiments.environments.contacts import take_larger_margin

    pairs = zip(VARIANTS, pickle.loads(Path(sys.argv[2]).read_bytes()), play_all(take_larger_margin), strict=True)
    rows = [{"task": task, "time_limit_only": bool(arguments), **compare(old, new)} for (task, arguments), old, new in pairs]
    frame = pd.DataFrame(rows)
    frame.to_csv(Path(__file__).parents[2] / "results/simulator_version/episodes.csv", index=False, float_format="%.2g")
    print(frame.T.to_string(float_format="{:.2g}".format))
