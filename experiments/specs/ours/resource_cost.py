"""What learning costs: time of an action and of an update against an action cycle, and memory against stored samples.

Measured are all learners of the suite at their published sizes (`experiments.resource_arms`), each in a process of its own, on
one core; `experiments.training.resources` says what exactly. For a slower device:

    python -m experiments.run resource_cost --set algorithm=arithmetic      on both, then divide: how many times slower is it?
    python -m experiments.run resource_cost --set slowdown=12               shows the times there beside those here

Background: AVG (arXiv:2411.15370) and the talk on it, which put the costs of SAC on a robot beside a cycle of 45 ms.
"""

from experiments.resource_arms import TASKS, memory_arms, time_arms
from experiments.spec import Arm, Experiment, Preset, Row

SAMPLES = (1, 100, 1_000, 10_000, 100_000, 1_000_000)
MEMORY_TASKS = {"HalfCheetah-v4": (), "Humanoid-v4": ("stream_ac", "sac", "td3"), "PongNoFrameskip-v4": ()}
FEW = ("stream_ac", "ppo", "sac", "sac1")


def row(env_id: str, arms: tuple[Arm, ...], repeats: int) -> Row:
    return Row(env_id, arms, steps=repeats, seeds=1, bin_width=1)


def rows(repeats: int, seconds: float, memory_repeats: int) -> tuple[Row, ...]:
    return (
        row("ETTm2-generated", (Arm("arithmetic", "arithmetic", {"seconds": seconds}),), repeats),
        *(row(env_id, time_arms(env_id, seconds), repeats) for tasks in TASKS.values() for env_id in tasks),
        *(row(env_id, memory_arms(env_id, SAMPLES, only), memory_repeats) for env_id, only in MEMORY_TASKS.items()),
    )


EXPERIMENT = Experiment(
    name="resource_cost",
    title="What learning costs in time and memory",
    source="ours, after the talk on AVG (arXiv:2411.15370)",
    figure="resource_cost",
    kind="measurement",
    presets={
        "paper": Preset("all learners, 5 repeats of 1 s; memory up to 10^6 samples", rows(5, 1.0, 3)),
        "laptop": Preset("all learners, 3 repeats of 0.3 s; memory up to 10^6 samples", rows(3, 0.3, 1)),
        "quick": Preset(
            "Stream AC, PPO, SAC and SAC1 on HalfCheetah-v4; memory of Stream AC and SAC up to 10^4 samples",
            (
                row("ETTm2-generated", (Arm("arithmetic", "arithmetic", {"seconds": 0.3}),), 3),
                row("HalfCheetah-v4", time_arms("HalfCheetah-v4", 0.3, FEW, engines=False), 3),
                row("HalfCheetah-v4", memory_arms("HalfCheetah-v4", (1, 100, 10_000), ("stream_ac", "sac")), 1),
            ),
        ),
    },
)
