"""AVG Figs. 2 and 11: what tanh does to the entropy of a normal distribution, and how the squashed one looks.

Computed, not trained: no environment, no seeds. A wide normal distribution has a large entropy; squashed, it piles up at the
bounds and its entropy falls again, so that more entropy does not mean ever larger deviations. The deviations are our choice.
"""

from experiments.spec import Arm, Experiment, Preset, Row

LOGARITHMIC = tuple(round(0.05 * 10 ** (i / 40), 6) for i in range(81))  # 0.05 to 5
ENTROPY = Arm("entropy", "squashed_normal", {"quantity": "entropy", "deviations": LOGARITHMIC})
DENSITY = Arm("density", "squashed_normal", {"quantity": "density"})
# A row names an environment; this one needs no simulator, and nothing is asked of it.
ROWS = tuple(Row("ETTm2-generated", (arm,), steps=1, seeds=1, bin_width=1, panel=arm.label) for arm in (ENTROPY, DENSITY))

EXPERIMENT = Experiment(
    name="squashed_normal_entropy",
    title="The entropy of a squashed normal distribution",
    source="AVG (arXiv:2411.15370), Figs. 2 and 11",
    figure="squashed_normal",
    kind="measurement",
    presets={
        "paper": Preset("both figures, in a second", ROWS),
        "laptop": Preset("the same", ROWS),
        "quick": Preset("the same", ROWS),
    },
)
