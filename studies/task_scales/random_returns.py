"""Play every task of the suite by chance, and write results/task_scales/random_returns.csv: random_returns.py [EPISODES]

Actions are uniform over the action space. Contacts are as in the published simulator. Atari is left out: its random and human
scores are those of the literature (`analysis/paper/atari_scores.csv`). Tasks that the file has already are not played again.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from gymnasium import spaces

from analysis.published.names import is_atari
from experiments.catalog import experiment_names, load_experiment
from experiments.environments import Environment
from experiments.families import family_of
from experiments.specs.simulator import PUBLISHED

FILE = Path(__file__).parents[2] / "results/task_scales/random_returns.csv"
EPISODES = int(sys.argv[1]) if len(sys.argv) > 1 else 30


def returns_by_chance(env_id: str) -> np.ndarray:
    """Return the episodic returns of uniformly random actions."""
    environment = Environment(env_id, seed=0, **PUBLISHED.get(env_id, {}))
    environment.action_space.seed(0)
    returns = []
    while len(returns) < EPISODES:
        environment.reset()
        while not environment.needs_reset:
            environment.step(environment.action_space.sample())
        assert environment.last_episode is not None
        returns.append(environment.last_episode.episodic_return)
    environment.close()
    return np.array(returns)


tasks = {row.env_id for name in experiment_names() for p in load_experiment(name).presets.values() for row in p.rows}
known = pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=["env_id", "mean", "standard_error", "episodes"])
for env_id in sorted(tasks - set(known["env_id"])):
    if is_atari(env_id) or family_of(env_id).files or family_of(env_id).labelled:
        continue
    probe = Environment(env_id, seed=0)
    acts = isinstance(probe.action_space, spaces.Box | spaces.Discrete) and not probe.spaces.prediction
    probe.close()
    if not acts:
        continue
    found = returns_by_chance(env_id)
    known.loc[len(known)] = [env_id, found.mean(), found.std(ddof=1) / np.sqrt(len(found)), len(found)]
    known.sort_values("env_id").to_csv(FILE, index=False, float_format="%.5g")
    print(env_id, f"{found.mean():.1f}", flush=True)
