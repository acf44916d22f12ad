"""RTU Fig. 4a: how far sensitivities that were made with earlier parameters are from those that the present ones would make.

Told once in an episode, at its last step: |S - S*| / |S*|, with all that the cell saw in the episode and its present
parameters. The paper's numbers are not published, only their order: next to nothing at K = 4, more with K, more with Stream AC
than with QRC. Fig. 4b, the returns of the same runs, is the experiment `rtrl_staleness_returns`.
"""

from experiments.spec import Experiment
from experiments.specs.rtu.staleness import PRESETS

EXPERIMENT = Experiment(
    name="rtrl_staleness",
    title="How stale sensitivities are",
    source="RTU (arXiv:2605.24709), Fig. 4",
    figure="rtrl_staleness",
    kind="metrics",
    presets=PRESETS,
)
