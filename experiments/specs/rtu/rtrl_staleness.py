"""RTU Fig. 4a: how far sensitivities that were made with earlier parameters are from those that the present ones would make.

Told once in an episode, at its last step: |S - S*| / |S*|, with all that the cell saw in the episode and its present
parameters. The paper's numbers are not published, only their order: next to nothing at K = 4, more with K, more with Stream AC
than with QRC. Fig. 4b, the returns of the same runs, is the experiment `rtrl_staleness_returns`.
"""

from experiments.spec import Experiment, Preset
from experiments.specs.rtu.staleness import FRAMES, LAGS, SEEDS, rows

EXPERIMENT = Experiment(
    name="rtrl_staleness",
    title="How stale sensitivities are",
    source="RTU (arXiv:2605.24709), Fig. 4",
    figure="rtrl_staleness",
    kind="metrics",
    presets={
        "paper": Preset("300k frames, 5 seeds, K of 4, 8 and 16", rows(LAGS, FRAMES, SEEDS)),
        "narrow": Preset(
            "the same with 64 units before the cell, as in the paper's table", rows(LAGS, FRAMES, SEEDS, narrow=True)
        ),
        "laptop": Preset("100k frames, 3 seeds", rows(LAGS, 100_000, 3)),
        "quick": Preset("K of 8, 20k frames, 1 seed", rows((8,), 20_000, 1, epochs=10)),
    },
)
