"""The ten learners of UPGD's main comparisons on four streams, Figs. 3 to 6 and 13 to 16. It has no experiment of its own.

Settings are those of the authors' lists of plotted runs. These differ from the paper's Tables 2 and 3 in some places:

- sigma of PGD and S&P is half of what is printed (`--set pgd.sigma_scale=2`, `--set shrink_and_perturb.sigma_scale=2`);
- on CIFAR-10, sigma of UPGD-W and N-UPGD-W is 0.001 and 0.01, printed as 0, decay of UPGD-W is 0, printed as 1e-4, and beta of
  N-UPGD-W is 0.99, printed as 0.999;
- on EMNIST and mini-ImageNet, S-MAS has kappa 10, printed as 1, and S-RWalk beta_w 0.999, printed as 0.9999;
- on mini-ImageNet, S-SI has step size 0.01, printed as 0.0001, and S-RWalk beta_I 0.99, printed as 0.9.
"""

from typing import Any

from experiments.spec import Arm, Preset, Row, Value
from experiments.specs.upgd.made_up_files import made_up

# Of a learner: label, algorithm, names of its settings. Their values by stream stand below, in the same order.
LEARNERS = (
    ("SGDW", "sgd", ("step_size", "weight_decay")),
    ("PGD", "pgd", ("step_size", "sigma")),
    ("S&P", "shrink_and_perturb", ("step_size", "sigma", "weight_decay")),
    ("AdamW", "adam", ("step_size", "beta1", "beta2", "weight_decay")),
    ("UPGD-W", "upgd", ("step_size", "sigma", "beta_utility", "weight_decay")),
    ("N-UPGD-W", "upgd", ("step_size", "sigma", "beta_utility", "weight_decay")),
    ("S-EWC", "s_ewc", ("step_size", "beta_importance", "beta_weight", "kappa")),
    ("S-MAS", "s_mas", ("step_size", "beta_importance", "beta_weight", "kappa")),
    ("S-SI", "s_si", ("step_size", "beta_importance", "beta_weight", "kappa")),
    ("S-RWalk", "s_rwalk", ("step_size", "beta_importance", "beta_weight", "kappa")),
)
Values = tuple[tuple[float, ...], ...]
INPUT_PERMUTED_MNIST: Values = (
    (0.001, 0.001),
    (0.001, 0.05),
    (0.001, 0.05, 0.01),
    (1e-4, 0.0, 0.99, 0.0),
    (0.01, 0.1, 0.9999, 0.01),
    (0.001, 0.1, 0.9, 0.01),
    (0.001, 0.9999, 0.99, 0.001),
    (0.001, 0.9999, 0.999, 0.1),
    (0.001, 0.9999, 0.999, 0.1),
    (0.001, 0.99, 0.999, 10.0),
)
LABEL_PERMUTED_EMNIST: Values = (
    (0.01, 1e-4),
    (0.01, 0.005),
    (0.01, 0.005, 0.001),
    (1e-4, 0.0, 0.9999, 0.1),
    (0.01, 0.001, 0.9, 0.0),
    (0.01, 0.01, 0.9999, 0.001),
    (0.01, 0.999, 0.999, 1.0),
    (0.01, 0.999, 0.999, 10.0),
    (0.01, 0.9, 0.9, 0.1),
    (0.01, 0.9, 0.999, 0.1),
)
LABEL_PERMUTED_CIFAR10: Values = (
    (0.01, 0.001),
    (0.001, 0.005),
    (0.01, 0.005, 0.001),
    (0.001, 0.0, 0.9999, 0.01),
    (0.01, 0.001, 0.999, 0.0),
    (0.01, 0.01, 0.99, 0.001),
    (0.01, 0.9999, 0.999, 10.0),
    (0.01, 0.9999, 0.999, 10.0),
    (0.001, 0.99, 0.99, 0.01),
    (0.001, 0.9, 0.999, 10.0),
)
LABEL_PERMUTED_MINI_IMAGENET: Values = (
    (0.01, 0.001),
    (0.01, 0.005),
    (0.01, 0.005, 0.001),
    (1e-4, 0.9, 0.9999, 0.1),
    (0.01, 0.001, 0.9, 0.0),
    (0.01, 0.01, 0.999, 1e-4),
    (0.01, 0.999, 0.999, 1.0),
    (0.01, 0.999, 0.999, 10.0),
    (0.01, 0.9, 0.99, 0.01),
    (0.01, 0.99, 0.999, 0.1),
)


def arms(values: Values, hidden: tuple[int, ...] = (300, 150)) -> tuple[Arm, ...]:
    """Return the ten learners with their settings on a stream."""
    found = []
    for (label, algorithm, names), own in zip(LEARNERS, values, strict=True):
        settings: dict[str, Any] = {"hidden": hidden, "diagnostics": True, **dict(zip(names, own, strict=True))}
        if label == "N-UPGD-W":
            settings["protecting"] = False
        found.append(Arm(label, algorithm, settings, emphasised=label == "UPGD-W"))
    return tuple(found)


def presets(env_id: str, permute: str, task: int, learners: tuple[Arm, ...], seeds: int) -> dict[str, Preset]:
    """Return the presets of a stream that has a million samples; a bin is two tasks, as in the paper's Fig. 7."""

    def row(steps: int, seeds: int, arms: tuple[Arm, ...] = learners) -> Row:
        environment: dict[str, Value] = {"permute": permute, "task_steps": task}
        return Row(env_id, arms, steps=steps, seeds=seeds, bin_width=2 * task, environment=environment)

    few = tuple(arm for arm in learners if arm.label in ("UPGD-W", "AdamW"))
    return {
        "paper": Preset(f"the published protocol: 1M samples, {seeds} seeds", (row(1_000_000, seeds),)),
        "laptop": Preset("100k samples, 3 seeds", (row(100_000, 3),)),
        "made_up": made_up("100k samples, 3 seeds", (row(100_000, 3),)),
        "quick": Preset("UPGD-W and AdamW, six tasks, 2 seeds", (row(6 * task, 2, few),)),
    }
