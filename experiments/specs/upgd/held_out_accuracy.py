"""UPGD Fig. 1a: what is known of each task at its end, beside online accuracy, on label-permuted EMNIST.

A network is judged on the first 250 test samples, relabelled as the task's own, before the first update of the next task. The
code does it after that update, which `--set held_out_at=after_update` does too. The figure shows the first 80 of 400 tasks.
"""

from dataclasses import replace
from typing import Any

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.upgd.comparison_arms import LABEL_PERMUTED_EMNIST, arms
from experiments.specs.upgd.made_up_files import made_up

TASK, HELD_OUT = 2_500, 250


def row(tasks: int, seeds: int, bin_tasks: int = 1) -> Row:
    learners: tuple[Arm, ...] = tuple(
        replace(arm, hyperparameters={**arm.hyperparameters, "diagnostics": False})
        for arm in arms(LABEL_PERMUTED_EMNIST)
        if arm.label in ("AdamW", "UPGD-W")
    )
    environment: dict[str, Any] = {"permute": "labels", "task_steps": TASK, "held_out": HELD_OUT}
    return Row("permuted_emnist", learners, tasks * TASK, seeds, bin_width=bin_tasks * TASK, environment=environment)


EXPERIMENT = Experiment(
    name="held_out_accuracy",
    title="What is known at the end of each task",
    source="UPGD (arXiv:2404.00781), Fig. 1a",
    figure="continual",
    kind="metrics",
    presets={
        "paper": Preset("the published protocol: 1M samples, 20 seeds", (row(400, 20, 4),)),
        "laptop": Preset("the 80 tasks that the figure shows, 3 seeds", (row(80, 3),)),
        "made_up": made_up("the 80 tasks that the figure shows, 3 seeds", (row(80, 3),)),
        "quick": Preset("six tasks, 2 seeds", (row(6, 2),)),
    },
)
