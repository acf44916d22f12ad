"""AVG Figs. 3 and 4: learning curves of AVG and of the incremental learners, with SAC on a full buffer as a
reference (a curve like the others; the paper draws a line at what it has in the end).

Which of eleven tasks the figures show is not known; these are the tasks for which configurations are published. "AVG-" is AVG
without normalisation and scaling, at the same configuration. SAC has CleanRL's hyperparameters, our choice.
"""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.avg.arms import DM_CONTROL, GYMNASIUM, IAC, MINUS, SAC_1, TD3_1, avg
from experiments.specs.baselines import SAC
from experiments.specs.simulator import as_published


def row(env_id: str, arms: tuple[Arm, ...], steps: int, seeds: int, bin_width: int) -> Row:
    # As in AVG's code, in which the time limit of dm_control is an end like any other.
    terminal = {"time_limit_is": "terminal"} if env_id in DM_CONTROL else {}
    return Row(env_id, arms, steps, seeds, bin_width, environment=terminal)


def arms(env_id: str) -> tuple[Arm, ...]:
    return (avg(env_id, emphasised=True), avg(env_id, "AVG-", MINUS), IAC, SAC_1, TD3_1)


EXPERIMENT = Experiment(
    name="avg_learning_curves",
    title="Action value gradient",
    source="AVG (arXiv:2411.15370), Figs. 3 and 4",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "the published protocol: 10M steps, 30 seeds, bins of 10k steps",
            as_published(
                *(
                    row(env_id, (*arms(env_id), SAC), steps=10_000_000, seeds=30, bin_width=10_000)
                    for env_id in GYMNASIUM + DM_CONTROL
                )
            ),
        ),
        "laptop": Preset(
            "all streaming learners, 200k steps, 3 seeds; without the dogs, which are slow to simulate",
            as_published(
                *(
                    row(env_id, arms(env_id), steps=200_000, seeds=3, bin_width=20_000)
                    for env_id in (*GYMNASIUM, *DM_CONTROL[-2:])
                )
            ),
        ),
        "quick": Preset(
            "all streaming learners on one task, 30k steps",
            (Row("HalfCheetah-v4", arms("HalfCheetah-v4"), steps=30_000, seeds=2, bin_width=3_000),),
        ),
        "million": Preset(
            "does AVG learn, and better than the others? 1M steps, 8 seeds, two tasks",
            as_published(
                *(
                    Row(env_id, arms(env_id), steps=1_000_000, seeds=8, bin_width=50_000)
                    for env_id in ("HalfCheetah-v4", "Ant-v4")
                )
            ),
        ),
    },
)
