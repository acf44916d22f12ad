"""UPGD Figs. 2 and 12: how well cheap utilities rank weights and features, while a network learns by SGD.

Fig. 2 is the first panel of ours. 30 seeds and 2,000 samples as in the code.
Correlations are Spearman's, of utilities and losses before the update. The code has another statistic, taken after it:

    python -m experiments.run utility_quality --set correlation=argsort --set measured=after_update
"""

from experiments.spec import Arm, Experiment, Preset, Row, Value

ACTIVATIONS = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "tanh": "Tanh"}
LEVELS: dict[str, tuple[str, tuple[int, ...]]] = {"weight": ("weights", (50,)), "feature": ("features", (50, 50))}


def rows(activations: tuple[str, ...], levels: tuple[str, ...], steps: int, seeds: int) -> tuple[Row, ...]:
    found = []
    for activation in activations:
        for level in levels:
            plural, hidden = LEVELS[level]
            settings: dict[str, Value] = {"step_size": 0.01, "activation": activation, "level": level, "hidden": hidden}
            arm = Arm("SGD", "utility_quality", settings, emphasised=True)
            panel = f"{ACTIVATIONS[activation]}, {plural}"
            found.append(Row("utility_quality", (arm,), steps=steps, seeds=seeds, bin_width=10, panel=panel))
    return tuple(found)


EXPERIMENT = Experiment(
    name="utility_quality",
    title="How well utilities rank weights and features",
    source="UPGD (arXiv:2404.00781), Figs. 2 and 12",
    figure="utility_quality",
    kind="metrics",
    presets={
        "paper": Preset("the published networks, 2,000 samples, 30 seeds", rows(tuple(ACTIVATIONS), tuple(LEVELS), 2_000, 30)),
        "laptop": Preset("the same with 8 seeds", rows(tuple(ACTIVATIONS), tuple(LEVELS), 2_000, 8)),
        "quick": Preset("weights of the ReLU network, 2,000 samples, 4 seeds", rows(("relu",), ("weight",), 2_000, 4)),
    },
)
