"""Train Stream AC on whatever simulator is installed: train.py ENV_ID SEEDS STEPS STORE."""

import sys
from pathlib import Path

import gymnasium

sys.path.insert(0, str(Path(__file__).parents[2]))
# Old Gymnasium names its log level otherwise.
if not hasattr(gymnasium.logger, "min_level"):
    gymnasium.logger.min_level = gymnasium.logger.MIN_LEVEL

from experiments.expand import resolve
from experiments.spec import Arm, Row
from experiments.store import Owner, Store
from experiments.training.context import Context
from experiments.training.reinforcement import train

env_id, seeds, steps, store = sys.argv[1:]
row = Row(env_id, (), int(steps), seeds=1, bin_width=1)
runs = [resolve(row, Arm("Stream AC", "stream_ac"), int(seed)) for seed in seeds.split(",")]
train(runs, Context(Store(store), Owner()))
