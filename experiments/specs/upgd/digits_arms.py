"""The arms of permuted digits: ten learners with the settings that a search has found, and all settings of that search.

The grids follow the paper's Table 1, thinned out to 9 to 81 settings of a learner. It has no experiment of its own.
"""

from itertools import product
from typing import Any

from experiments.spec import Arm, Row, Value

NETWORK: dict[str, Value] = {"hidden": (128, 64), "diagnostics": True}

# Label, algorithm, what makes it what it is, and what the search varies.
Grid = dict[str, tuple[float, ...]]
SIZES = (0.1, 0.01, 0.001)
UPGD: Grid = {
    "step_size": SIZES,
    "sigma": (0.001, 0.01, 0.1),
    "beta_utility": (0.9, 0.999, 0.9999),
    "weight_decay": (0.0, 0.001, 0.01),
}
PULL: Grid = {
    "step_size": SIZES,
    "kappa": (0.01, 0.1, 1.0, 10.0),
    "beta_importance": (0.9, 0.999),
    "beta_weight": (0.99, 0.9999),
}
ADAM: Grid = {
    "step_size": (0.01, 0.001, 0.0001),
    "beta1": (0.0, 0.9),
    "beta2": (0.99, 0.9999),
    "weight_decay": (0.0, 0.01, 0.1),
}
NOISE = (0.005, 0.05, 0.5)
LEARNERS: tuple[tuple[str, str, dict[str, Any], Grid], ...] = (
    ("SGDW", "sgd", {}, {"step_size": SIZES, "weight_decay": (0.0, 0.001, 0.01)}),
    ("PGD", "pgd", {}, {"step_size": SIZES, "sigma": NOISE}),
    ("S&P", "shrink_and_perturb", {}, {"step_size": SIZES, "sigma": NOISE, "weight_decay": (0.001, 0.01, 0.1)}),
    ("AdamW", "adam", {"epsilon": 1e-8}, ADAM),
    ("UPGD-W", "upgd", {}, UPGD),
    ("N-UPGD-W", "upgd", {"protecting": False}, UPGD),
    ("S-EWC", "s_ewc", {}, PULL),
    ("S-MAS", "s_mas", {}, PULL),
    ("S-SI", "s_si", {}, PULL),
    ("S-RWalk", "s_rwalk", {}, PULL),
)
# What the search has found, by label: results/permuted_digits/search, from which a test derives it again.
BEST: dict[str, dict[str, float]] = {
    "SGDW": {"step_size": 0.01, "weight_decay": 0.001},
    "PGD": {"step_size": 0.01, "sigma": 0.05},
    "S&P": {"step_size": 0.01, "sigma": 0.05, "weight_decay": 0.001},
    "AdamW": {"step_size": 0.001, "beta1": 0.0, "beta2": 0.99, "weight_decay": 0.1},
    "UPGD-W": {"step_size": 0.01, "sigma": 0.1, "beta_utility": 0.999, "weight_decay": 0.001},
    "N-UPGD-W": {"step_size": 0.01, "sigma": 0.1, "beta_utility": 0.999, "weight_decay": 0.001},
    "S-EWC": {"step_size": 0.01, "kappa": 1.0, "beta_importance": 0.999, "beta_weight": 0.9999},
    "S-MAS": {"step_size": 0.01, "kappa": 1.0, "beta_importance": 0.999, "beta_weight": 0.9999},
    "S-SI": {"step_size": 0.01, "kappa": 1.0, "beta_importance": 0.9, "beta_weight": 0.99},
    "S-RWalk": {"step_size": 0.01, "kappa": 1.0, "beta_importance": 0.9, "beta_weight": 0.9999},
}
SHORT = {
    "step_size": "alpha",
    "sigma": "sigma",
    "beta_utility": "beta_u",
    "weight_decay": "lambda",
    "beta1": "beta1",
    "beta2": "beta2",
    "kappa": "kappa",
    "beta_importance": "beta_I",
    "beta_weight": "beta_w",
}


def best() -> tuple[Arm, ...]:
    return tuple(
        Arm(label, algorithm, {**NETWORK, **fixed, **BEST[label]}, emphasised=label == "UPGD-W")
        for label, algorithm, fixed, _ in LEARNERS
    )


def finer() -> tuple[Arm, ...]:
    """Return UPGD with step sizes between those of the search, with and without protection."""
    return tuple(
        Arm(f"{label}, step_size={size:g}", algorithm, {**NETWORK, **fixed, **BEST[label], "step_size": size})
        for label, algorithm, fixed, _ in LEARNERS
        if algorithm == "upgd"
        for size in (0.01, 0.02, 0.03, 0.05)
    )


def searched() -> tuple[Arm, ...]:
    arms = []
    for label, algorithm, fixed, grid in LEARNERS:
        for values in product(*grid.values()):
            chosen = dict(zip(grid, values, strict=True))
            told = " ".join(f"{SHORT[name]} {value:g}" for name, value in chosen.items())
            arms.append(Arm(f"{label}, {told}", algorithm, {**NETWORK, "diagnostics": False, **fixed, **chosen}))
    return tuple(arms)


TASK = 500


def row(arms: tuple[Arm, ...], tasks: int, seeds: int, bin_tasks: int, first_seed: int = 0) -> Row:
    return Row(
        "permuted_digits",
        arms,
        steps=tasks * TASK,
        seeds=seeds,
        bin_width=bin_tasks * TASK,
        environment={"task_steps": TASK},
        first_seed=first_seed,
        panel="permuted digits (stand-in)",
    )
