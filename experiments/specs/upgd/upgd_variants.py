"""UPGD Figs. 18 to 20: weight-wise and feature-wise UPGD with global and local scaling, and what protects from noise alone.

Settings are those of the authors' lists; on CIFAR-10 there is no feature-wise form. 10 seeds. The baselines
that the paper draws beside them are those of `input_permuted_mnist` and the other streams, and are left out here.
"""

from typing import Any

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.upgd.made_up_files import made_up

LOCAL: dict[str, Any] = {"scaling": "local"}
FEATURE: dict[str, Any] = {"level": "feature"}
FORMS: tuple[dict[str, Any], ...] = ({}, LOCAL, FEATURE, {**FEATURE, **LOCAL})
TOLD = ("UPGD-W", "UPGD-W, local", "UPGD-W, feature-wise", "UPGD-W, feature-wise local")
# Step size, beta, sigma and decay, in the order of the forms: of UPGD-W, and of N-UPGD-W.
MNIST = (
    ((0.01, 0.9999, 0.1, 0.01),) * 4,
    ((0.001, 0.9, 0.1, 0.01), (0.001, 0.999, 0.1, 0.01), (0.001, 0.9, 0.1, 0.01), (0.001, 0.999, 0.1, 0.01)),
)
EMNIST = (
    ((0.01, 0.9, 0.001, 0.0), (0.01, 0.99, 0.01, 0.0), (0.01, 0.9999, 0.01, 0.001), (0.01, 0.9999, 0.01, 0.001)),
    ((0.01, 0.9999, 0.01, 0.001), (0.01, 0.999, 0.01, 0.001), (0.01, 0.99, 0.1, 0.001), (0.01, 0.9999, 0.1, 0.001)),
)
CIFAR10 = (
    ((0.01, 0.999, 0.001, 0.0), (0.01, 0.9999, 0.001, 0.0)),
    ((0.01, 0.99, 0.01, 0.001), (0.01, 0.999, 0.01, 0.001)),
)


def row(env_id: str, permute: str, task: int, values: Any, steps: int, seeds: int) -> Row:
    hidden = (120, 84) if env_id == "permuted_cifar10" else (300, 150)
    arms = []
    for protecting, sets in zip((True, False), values, strict=True):
        for told, form, (size, beta, sigma, decay) in zip(TOLD, FORMS, sets, strict=False):
            settings = {"step_size": size, "beta_utility": beta, "sigma": sigma, "weight_decay": decay}
            own: dict[str, Any] = {"hidden": hidden, "diagnostics": True, "protecting": protecting, **settings, **form}
            arms.append(Arm(told if protecting else f"N-{told}", "upgd", own, emphasised=protecting and not form))
    environment: dict[str, Any] = {"permute": permute, "task_steps": task}
    return Row(env_id, tuple(arms), steps=steps, seeds=seeds, bin_width=4 * task, environment=environment)


def rows(steps: int, seeds: int) -> tuple[Row, ...]:
    return (
        row("permuted_mnist", "inputs", 5_000, MNIST, steps, seeds),
        row("permuted_emnist", "labels", 2_500, EMNIST, steps, seeds),
        row("permuted_cifar10", "labels", 2_500, CIFAR10, steps, seeds),
    )


EXPERIMENT = Experiment(
    name="upgd_variants",
    title="Variants of UPGD",
    source="UPGD (arXiv:2404.00781), Figs. 18 to 20",
    figure="continual",
    kind="metrics",
    presets={
        "paper": Preset("the published protocol: 1M samples, 10 seeds", rows(1_000_000, 10)),
        "laptop": Preset("100k samples, 2 seeds", rows(100_000, 2)),
        "made_up": made_up("100k samples, 2 seeds", rows(100_000, 2)),
        "quick": Preset("permuted MNIST, 20k samples, 1 seed", rows(20_000, 1)[:1]),
    },
)
