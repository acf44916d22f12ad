"""UPGD Fig. 10: the target is the mean of two of 16 inputs, and every 200 samples it is that of the next two.

Averages of the squared error over 20 tasks. The paper: SGD gets worse even where everything is linear, UPGD keeps improving.
"""

from experiments.spec import Experiment
from experiments.specs.upgd.toy_arms import presets

EXPERIMENT = Experiment(
    name="toy_changing_inputs",
    title="A regression whose inputs change",
    source="UPGD (arXiv:2404.00781), Fig. 10",
    figure="continual",
    kind="metrics",
    presets=presets("toy_changing_inputs", first_order=(0.9, 1e-4)),
)
