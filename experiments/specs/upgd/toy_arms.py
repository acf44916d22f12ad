"""The arms of UPGD's toy regressions, Figs. 10 and 11. It has no experiment of its own.

Networks of two linear layers, 64 and 32 wide as in the code; the paper's text says 300 and 150 (preset `paper_network`).
Hyperparameters are the paper's Table 3 and the code's lists; sigma of PGD and S&P is the code's, half of what the paper prints
(`--set pgd.sigma_scale=2 --set shrink_and_perturb.sigma_scale=2`). UPGD with local scaling or by features, which the code has
here too, is left out. First the changing inputs, then the changing sign.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.spec import Arm, Preset, Row, Value

NETWORK: dict[str, Value] = {"hidden": (64, 32), "activation": "linear", "step_size": 0.01}
WIDE = (300, 150)
TASK = 200
# A point of the figures is the mean over 20 tasks.
POINT = 20 * TASK


def arm(label: str, algorithm: str, emphasised: bool = False, **settings: Any) -> Arm:
    return Arm(label, algorithm, {**NETWORK, **settings}, emphasised)


def upgd(label: str, beta: float, sigma: float, **settings: Any) -> Arm:
    own = {"beta_utility": beta, "sigma": sigma, "weight_decay": 0.0, **settings}
    return arm(label, "upgd", emphasised=settings.get("protecting", True), **own)


COMMON = (
    arm("SGD", "sgd", weight_decay=0.0),
    arm("SGD, one linear layer", "sgd", weight_decay=0.0, hidden=()),
    arm("PGD", "pgd", sigma=0.05),
    arm("S&P", "shrink_and_perturb", sigma=0.5, weight_decay=0.1),
)
SECOND = {"order": "second"}
NOT_PROTECTING = {"protecting": False}


def arms(first_order: tuple[float, float]) -> tuple[Arm, ...]:
    """Return all arms; UPGD of first order has other settings (beta, sigma) in the two problems."""
    return (
        *COMMON,
        upgd("N-UPGD", 0.999, 0.1, **NOT_PROTECTING),
        upgd("N-UPGD, second order", 0.0, 0.1, **NOT_PROTECTING, **SECOND),
        upgd("UPGD", *first_order),
        upgd("UPGD, second order", 0.0, 0.1, **SECOND),
    )


def presets(env_id: str, first_order: tuple[float, float]) -> dict[str, Preset]:
    """Return the presets of one problem."""
    own = arms(first_order)
    # What has no hidden layers has none on the other network either.
    wide = tuple(replace(a, hyperparameters={**a.hyperparameters, "hidden": a.hyperparameters["hidden"] and WIDE}) for a in own)

    def row(steps: int, seeds: int, bin_width: int = POINT, chosen: tuple[Arm, ...] = own) -> Row:
        return Row(env_id, chosen, steps=steps, seeds=seeds, bin_width=bin_width, environment={"task_steps": TASK})

    return {
        "paper": Preset("the published protocol: 1M samples in 5,000 tasks, 20 seeds", (row(1_000_000, 20),)),
        "paper_network": Preset(
            "the same on the network of the paper's text, 300 and 150 units", (row(1_000_000, 20, chosen=wide),)
        ),
        "laptop": Preset("200k samples in 1,000 tasks, 10 seeds", (row(200_000, 10),)),
        "quick": Preset("40k samples in 200 tasks, 3 seeds", (row(40_000, 3, 5 * TASK),)),
    }
