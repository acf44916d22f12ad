"""RTU Fig. 4b: returns on KMemoryChain with stale sensitivities and with corrected ones, of the runs of `rtrl_staleness`.

The most that can be had is 7 K; of the paper's curves no numbers are published.
"""

from experiments.spec import Experiment, Preset
from experiments.specs.rtu.staleness import FRAMES, LAGS, SEEDS, rows

EXPERIMENT = Experiment(
    name="rtrl_staleness_returns",
    title="What stale sensitivities cost",
    source="RTU (arXiv:2605.24709), Fig. 4",
    figure="learning_curves",
    presets={
        "paper": Preset("300k frames, 5 seeds, K of 4, 8 and 16", rows(LAGS, FRAMES, SEEDS)),
        "narrow": Preset(
            "the same with 64 units before the cell, as in the paper's table", rows(LAGS, FRAMES, SEEDS, narrow=True)
        ),
        "laptop": Preset("100k frames, 3 seeds", rows(LAGS, 100_000, 3)),
        "quick": Preset("K of 8, 20k frames, 1 seed", rows((8,), 20_000, 1, epochs=10)),
    },
)
