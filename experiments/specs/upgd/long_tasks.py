"""UPGD Fig. 1b and c: MNIST whose pixels are permuted anew every 60,000 samples, beside Adam that restarts with every task.

Fig. 1c zooms in on four of the tasks, in points of 600 samples, which is the window here. Which four is not known; `zoom` has
the first four, our choice. Seeds were not published: 20 in the
code's other experiments. (The released script has tasks of 5,000 and 1M samples.)
"""

from typing import Any

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.upgd.made_up_files import made_up

WINDOW: dict[str, Any] = {"window": 600}
ADAM: dict[str, Any] = {"step_size": 1e-4, "beta1": 0.9, "beta2": 0.9999, "epsilon": 1e-8, "weight_decay": 0.0, **WINDOW}
UPGD: dict[str, Any] = {"step_size": 0.01, "beta_utility": 0.999, "weight_decay": 0.001, "sigma": 0.01, **WINDOW}
TASK = 60_000


def row(tasks: int, seeds: int, task: int = TASK, bin_width: int = TASK) -> Row:
    arms = (
        Arm("Adam", "adam", ADAM),
        Arm("Adam with restarts", "adam_restarts", {**ADAM, "restart_every": task}),
        Arm("UPGD-W", "upgd", UPGD, emphasised=True),
    )
    environment: dict[str, Any] = {"permute": "inputs", "task_steps": task}
    return Row("permuted_mnist", arms, steps=tasks * task, seeds=seeds, bin_width=bin_width, environment=environment)


EXPERIMENT = Experiment(
    name="long_tasks",
    title="Long tasks, and Adam that restarts with each",
    source="UPGD (arXiv:2404.00781), Fig. 1b and c",
    figure="continual",
    kind="metrics",
    presets={
        "paper": Preset("the published protocol: 250 tasks of 60,000 samples, 20 seeds", (row(250, 20),)),
        "zoom": Preset("four tasks in points of 600 samples, 5 seeds", (row(4, 5, bin_width=600),)),
        "laptop": Preset("10 tasks of 60,000 samples, 2 seeds", (row(10, 2),)),
        "made_up": made_up("10 tasks of 60,000 samples, 2 seeds", (row(10, 2),)),
        "quick": Preset("6 tasks of 6,000 samples, 1 seed", (row(6, 1, task=6_000, bin_width=600),)),
    },
)
