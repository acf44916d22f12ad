"""UPGD Figs. 6c and 16: ten learners on features of mini-ImageNet whose labels are permuted anew every 2,500 samples.

The features are what a ResNet-50 gives. `experiments.datasets.images` documents their file; --set data_sha256=["..."] names it.
"""

from experiments.spec import Experiment
from experiments.specs.upgd.comparison_arms import LABEL_PERMUTED_MINI_IMAGENET, arms, presets

EXPERIMENT = Experiment(
    name="label_permuted_mini_imagenet",
    title="Ten learners on label-permuted mini-ImageNet",
    source="UPGD (arXiv:2404.00781), Figs. 6c and 16",
    figure="continual",
    kind="metrics",
    presets=presets("permuted_mini_imagenet", "labels", 2_500, arms(LABEL_PERMUTED_MINI_IMAGENET), seeds=20),
)
