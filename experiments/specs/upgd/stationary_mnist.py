"""UPGD Fig. 9: MNIST as it is, one sample at a time; points are means over 10,000 samples.

Settings are those of the authors' lists, sigma of PGD and S&P as the code has it. UPGD is of first order, with global and local
scaling, weight-wise and feature-wise.
"""

from typing import Any

from experiments.spec import Arm, Experiment, Preset, Row, Value
from experiments.specs.upgd.made_up_files import made_up


def upgd(label: str, step_size: float, beta: float, sigma: float, **settings: Any) -> Arm:
    own = {"step_size": step_size, "beta_utility": beta, "sigma": sigma, "weight_decay": 0.0, **settings}
    return Arm(label, "upgd", own, emphasised=label == "UPGD")


LOCAL, FEATURE, OPEN = {"scaling": "local"}, {"level": "feature"}, {"protecting": False}
ARMS = (
    Arm("SGD", "sgd", {"step_size": 0.01, "weight_decay": 0.0}),
    Arm("PGD", "pgd", {"step_size": 0.01, "sigma": 0.0005}),
    Arm("S&P", "shrink_and_perturb", {"step_size": 0.01, "sigma": 0.005, "weight_decay": 0.001}),
    upgd("UPGD", 0.01, 0.9999, 0.001),
    upgd("UPGD, local", 0.01, 0.99, 0.001, **LOCAL),
    upgd("UPGD, feature-wise", 0.01, 0.9999, 0.001, **FEATURE),
    upgd("UPGD, feature-wise local", 0.01, 0.999, 0.001, **FEATURE, **LOCAL),
    upgd("N-UPGD", 0.001, 0.999, 0.001, **OPEN),
    upgd("N-UPGD, local", 0.001, 0.99, 0.001, **OPEN, **LOCAL),
    upgd("N-UPGD, feature-wise", 0.001, 0.99, 0.01, **OPEN, **FEATURE),
    upgd("N-UPGD, feature-wise local", 0.001, 0.99, 0.01, **OPEN, **FEATURE, **LOCAL),
)


def row(steps: int, seeds: int, arms: tuple[Arm, ...] = ARMS) -> Row:
    environment: dict[str, Value] = {"permute": "nothing", "task_steps": 0}
    return Row("permuted_mnist", arms, steps=steps, seeds=seeds, bin_width=10_000, environment=environment)


EXPERIMENT = Experiment(
    name="stationary_mnist",
    title="MNIST as it is, sample by sample",
    source="UPGD (arXiv:2404.00781), Fig. 9",
    figure="continual",
    kind="metrics",
    presets={
        "paper": Preset("the published protocol: 1M samples, 20 seeds", (row(1_000_000, 20),)),
        "laptop": Preset("100k samples, 3 seeds", (row(100_000, 3),)),
        "made_up": made_up("100k samples, 3 seeds", (row(100_000, 3),)),
        "quick": Preset("SGD and UPGD, 30k samples, 2 seeds", (row(30_000, 2, (ARMS[0], ARMS[3])),)),
    },
)
