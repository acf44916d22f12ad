"""RTU Fig. 4b: returns on KMemoryChain with stale sensitivities and with corrected ones, of the runs of `rtrl_staleness`.

The most that can be had is 7 K; of the paper's curves no numbers are published.
"""

from experiments.spec import Experiment
from experiments.specs.rtu.staleness import PRESETS

EXPERIMENT = Experiment(
    name="rtrl_staleness_returns",
    title="What stale sensitivities cost",
    source="RTU (arXiv:2605.24709), Fig. 4",
    figure="learning_curves",
    presets=PRESETS,
)
