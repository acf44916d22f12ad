"""AVG Fig. 5: the gradients of AVG without normalisation and scaling are large and noisy, those of SAC on a buffer decay.

The paper shows AVG- beside SAC; AVG itself and TD3 are here too. Its task is not known: these are one whose episodes end early
and one whose episodes do not. A gradient of AVG is that of one sample, one of SAC and TD3 is averaged over a batch. SAC and TD3
have CleanRL's hyperparameters (our choice).
"""

from dataclasses import replace

from experiments.spec import Arm, Experiment, Preset, Row, Value
from experiments.specs.avg.arms import MINUS, avg
from experiments.specs.baselines import SAC, TD3
from experiments.specs.simulator import as_published

TOLD: dict[str, Value] = {"diagnostics": True}
TASKS = ("Hopper-v4", "HalfCheetah-v4")


def row(env_id: str, steps: int, seeds: int, bin_width: int, **changes: Value) -> Row:
    """Return the row of a task; `changes` are for SAC and TD3."""
    batch: list[Arm] = [replace(arm, hyperparameters={**TOLD, **changes}) for arm in (SAC, TD3)]
    arms = (avg(env_id, changes=TOLD, emphasised=True), avg(env_id, "AVG-", {**MINUS, **TOLD}), *batch)
    return Row(env_id, arms, steps, seeds, bin_width)


EXPERIMENT = Experiment(
    name="avg_gradients",
    title="How large gradients are",
    source="AVG (arXiv:2411.15370), Fig. 5",
    figure="gradients",
    kind="metrics",
    presets={
        "paper": Preset(
            "the published protocol: 10M steps, 30 seeds; bins and tasks are our choice",
            as_published(*(row(env_id, 10_000_000, 30, 100_000) for env_id in TASKS)),
        ),
        "laptop": Preset(
            "60k steps, 2 seeds; SAC and TD3 learn from step 5000 on (our choice)",
            as_published(*(row(env_id, 60_000, 2, 5_000, learning_starts=5_000) for env_id in TASKS)),
        ),
        "quick": Preset(
            "one task, 8k steps, 1 seed; SAC and TD3 learn from step 1000 on (our choice)",
            (row("HalfCheetah-v4", 8_000, 1, 1_000, learning_starts=1_000),),
        ),
    },
)
