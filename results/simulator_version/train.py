"""Train Stream AC on whatever simulator is installed: train.py ENV_ID SEEDS STEPS STORE."""

import sys
import types
from pathlib import Path

import gymnasium

sys.path.insert(0, str(Path(__file__).parents[2]))
# The batch baselines need a newer stable-baselines3 and are not used here; old Gymnasium names its log level otherwise.
batch = types.ModuleType("baselines.batch")
for name in ("PPO", "PPO1", "SAC", "SAC1"):
    setattr(batch, name, type(name, (), {}))
sys.modules["baselines.batch"] = batch
if not hasattr(gymnasium.logger, "min_level"):
    gymnasium.logger.min_level = gymnasium.logger.MIN_LEVEL

from experiments.spec import Arm, Row, resolve  # noqa: E402
from experiments.store import Owner, Store  # noqa: E402
from experiments.training.context import Context  # noqa: E402
from experiments.training.streaming import train  # noqa: E402

env_id, seeds, steps, store = sys.argv[1:]
row = Row(env_id, (), int(steps), seeds=1, bin_width=1)
runs = [resolve(row, Arm("Stream AC", "stream_ac"), int(seed)) for seed in seeds.split(",")]
train(runs, Context(Store(store), Owner()))
