"""Step on the installed MuJoCo what the old one has stepped, and write steps.csv: compare_steps.py FILE.

FILE is what `tests/experiments/fixtures/mujoco_transitions.py` wrote on the old one.
"""

import sys
from pathlib import Path

import mujoco
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/experiments"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from fixtures.mujoco_transitions import TASKS, load, step_from

from experiments.environments import Environment

rows = []
for env_id in TASKS:
    steps = load(Path(sys.argv[1]), env_id)
    for contact_margin in ("as_installed", "larger"):
        environment = Environment(env_id, 0, contact_margin=contact_margin)
        environment.reset()
        simulator = environment._simulator._inner.unwrapped
        pairs = [(step_from(simulator, start), old) for start, old in steps]
        for lost in sorted({bool(old.contact_lost) for _, old in pairs}):
            chosen = [(new, old) for new, old in pairs if old.contact_lost == lost]
            velocity = np.array([np.abs(new.qvel - old.qvel).max() for new, old in chosen])
            reward = np.array([abs(new.reward - old.reward) for new, old in chosen])
            for what, values in (("velocity", velocity), ("reward", reward)):
                quantiles = np.quantile(values, (0.5, 0.9, 1.0))
                rows.append((env_id, contact_margin, lost, what, len(values), *quantiles))
columns = ["task", "contact_margin", "contact_lost", "difference", "steps", "median", "percentile_90", "largest"]
frame = pd.DataFrame(rows, columns=columns)
frame.to_csv(Path(__file__).parents[2] / "results/simulator_version/steps.csv", index=False, float_format="%.2g")
print(f"MuJoCo {mujoco.__version__} against the old one")
print(frame.to_string(index=False, float_format="{:.2g}".format))
