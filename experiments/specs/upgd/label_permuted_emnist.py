"""UPGD Figs. 6b and 15: ten learners on EMNIST (balanced) whose labels are permuted anew every 2,500 samples.

The data set is fetched at first use, or read from the data folder (`experiments.datasets.images`).
"""

from experiments.spec import Experiment
from experiments.specs.upgd.comparison_arms import LABEL_PERMUTED_EMNIST, arms, presets

EXPERIMENT = Experiment(
    name="label_permuted_emnist",
    title="Ten learners on label-permuted EMNIST",
    source="UPGD (arXiv:2404.00781), Figs. 6b and 15",
    figure="continual",
    kind="metrics",
    presets=presets("permuted_emnist", "labels", 2_500, arms(LABEL_PERMUTED_EMNIST), seeds=20),
)
