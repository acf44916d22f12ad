"""UPGD Figs. 21 and 22: what weight decay, noise and gates are worth, added to SGD one by one and taken out of UPGD-W.

Each arm has settings of its own, from the authors' lists. SGD with decay is SGDW, with noise PGD, with both S&P. 10 seeds. SGD
alone has the step size of SGDW (our choice).
"""

from dataclasses import replace
from typing import Any

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.upgd.comparison_arms import (
    INPUT_PERMUTED_MNIST,
    LABEL_PERMUTED_CIFAR10,
    LABEL_PERMUTED_EMNIST,
    LABEL_PERMUTED_MINI_IMAGENET,
    Values,
    arms,
)
from experiments.specs.upgd.made_up_files import made_up

NAMES = {"SGDW": "SGD, decay", "PGD": "SGD, noise", "S&P": "SGD, decay and noise", "UPGD-W": "UPGD-W"}
# Of UPGD-W without noise, without decay, and without both: step size, beta, and then (sigma, decay) of each.
WITHOUT = ("no noise", "no decay", "gates alone")
MNIST = (0.001, 0.999, ((0.0, 1e-4), (1e-4, 0.0), (0.0, 0.0)))
EMNIST = (0.01, 0.9, ((0.0, 1e-4), (1e-4, 0.0), (0.0, 0.0)))
MINI_IMAGENET = EMNIST
CIFAR10 = (0.01, 0.999, ((0.0, 1e-4), (0.01, 0.0), (0.0, 0.0)))


def row(env_id: str, permute: str, task: int, values: Values, less: Any, steps: int, seeds: int) -> Row:
    hidden = (120, 84) if env_id == "permuted_cifar10" else (300, 150)
    published = {a.label: a for a in arms(values, hidden)}
    sgdw = published["SGDW"]
    plain = Arm("SGD", sgdw.algorithm, {**sgdw.hyperparameters, "weight_decay": 0.0})
    common = [replace(published[label], label=told) for label, told in NAMES.items()]
    size, beta, pairs = less
    own: dict[str, Any] = {"hidden": hidden, "diagnostics": True, "step_size": size, "beta_utility": beta}
    taken = [
        Arm(f"UPGD-W, {told}", "upgd", {**own, "sigma": sigma, "weight_decay": decay})
        for told, (sigma, decay) in zip(WITHOUT, pairs, strict=True)
    ]
    environment: dict[str, Any] = {"permute": permute, "task_steps": task}
    return Row(env_id, (plain, *common, *taken), steps=steps, seeds=seeds, bin_width=4 * task, environment=environment)


def rows(steps: int, seeds: int) -> tuple[Row, ...]:
    return (
        row("permuted_mnist", "inputs", 5_000, INPUT_PERMUTED_MNIST, MNIST, steps, seeds),
        row("permuted_emnist", "labels", 2_500, LABEL_PERMUTED_EMNIST, EMNIST, steps, seeds),
        row("permuted_cifar10", "labels", 2_500, LABEL_PERMUTED_CIFAR10, CIFAR10, steps, seeds),
        row("permuted_mini_imagenet", "labels", 2_500, LABEL_PERMUTED_MINI_IMAGENET, MINI_IMAGENET, steps, seeds),
    )


EXPERIMENT = Experiment(
    name="upgd_ablation",
    title="What decay, noise and gates are worth",
    source="UPGD (arXiv:2404.00781), Figs. 21 and 22",
    figure="continual",
    kind="metrics",
    presets={
        "paper": Preset("the published protocol: 1M samples, 10 seeds", rows(1_000_000, 10)),
        "laptop": Preset("100k samples, 2 seeds, without mini-ImageNet", rows(100_000, 2)[:3]),
        "made_up": made_up("100k samples, 2 seeds, without mini-ImageNet", rows(100_000, 2)[:3]),
        "quick": Preset("permuted MNIST, 20k samples, 1 seed", rows(20_000, 1)[:1]),
    },
)
