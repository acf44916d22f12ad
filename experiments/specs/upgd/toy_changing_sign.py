"""UPGD Fig. 11: the target is plus or minus the mean of two of 16 inputs, and every 200 samples the sign changes.

Averages of the squared error over 20 tasks. The paper: SGD gets worse even where everything is linear, UPGD keeps improving.
"""

from experiments.spec import Experiment
from experiments.specs.upgd.toy_arms import presets

EXPERIMENT = Experiment(
    name="toy_changing_sign",
    title="A regression whose sign changes",
    source="UPGD (arXiv:2404.00781), Fig. 11",
    figure="continual",
    kind="metrics",
    presets=presets("toy_changing_sign", first_order=(0.9, 0.1)),
)
