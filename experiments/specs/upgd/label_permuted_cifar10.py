"""UPGD Figs. 6a and 14: ten learners on CIFAR-10 whose labels are permuted anew every 2,500 samples. 10 seeds (the code: 20).

The data set is fetched at first use, or read from the data folder (`experiments.datasets.images`).
"""

from experiments.spec import Experiment
from experiments.specs.upgd.comparison_arms import LABEL_PERMUTED_CIFAR10, arms, presets

EXPERIMENT = Experiment(
    name="label_permuted_cifar10",
    title="Ten learners on label-permuted CIFAR-10",
    source="UPGD (arXiv:2404.00781), Figs. 6a and 14",
    figure="continual",
    kind="metrics",
    presets=presets("permuted_cifar10", "labels", 2_500, arms(LABEL_PERMUTED_CIFAR10, hidden=(120, 84)), seeds=10),
)
