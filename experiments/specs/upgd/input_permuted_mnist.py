"""UPGD Figs. 3, 4, 5 and 13: ten learners on MNIST whose pixels are permuted anew every 5,000 samples.

The data set is fetched at first use, or read from the data folder (`experiments.datasets.images`).
"""

from experiments.spec import Experiment
from experiments.specs.upgd.comparison_arms import INPUT_PERMUTED_MNIST, arms, presets

EXPERIMENT = Experiment(
    name="input_permuted_mnist",
    title="Ten learners on input-permuted MNIST",
    source="UPGD (arXiv:2404.00781), Figs. 3, 4, 5 and 13",
    figure="continual",
    kind="metrics",
    presets=presets("permuted_mnist", "inputs", 5_000, arms(INPUT_PERMUTED_MNIST), seeds=20),
)
