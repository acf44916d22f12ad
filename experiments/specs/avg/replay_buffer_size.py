"""AVG Fig. 1: what happens to SAC, TD3 and PPO when the replay buffer shrinks, and learners that need none.

AVG has its published configurations, IAC that of an example (`baselines.avg_settings`); both learn from the newest transition.
CleanRL's hyperparameters: the paper names CleanRL for PPO and TD3, for SAC it is our choice. How batch and learning starts
follow a small buffer was not published: see `baselines.batch`. That PPO's buffer is its rollout is inferred; it has 32
mini-batches whatever the rollout, as in CleanRL. A size of 1 is the one-sample form of each learner and CleanRL's size its
plain form, the runs of other figures.
"""

from experiments.spec import Arm, Experiment, Preset, Row, Value
from experiments.specs.avg.arms import IAC, avg
from experiments.specs.baselines import LANES
from experiments.specs.simulator import as_published

TASKS = ("Ant-v4", "HalfCheetah-v4", "Hopper-v4", "Humanoid-v4")  # the order of the panels
NAMES = {1: "1", 10: "10", 100: "100", 1_000: "1k", 2_048: "2048", 10_000: "10k", 100_000: "100k", 1_000_000: "1M"}
FEWER = (1, 10, 100, 1_000, 100_000)
# Learners that store nothing, markers at size 1.
STREAMING = (Arm("Stream AC", "stream_ac", emphasised=True),)
ONE_SAMPLE = {"sac": "sac1", "td3": "td3_1", "ppo": "ppo1"}
CLEANRL = {"sac": 1_000_000, "td3": 1_000_000, "ppo": 2_048}


def sized(algorithm: str, size: int, **changes: Value) -> Arm:
    """Return a batch learner with a buffer, or a rollout, of a size; `changes` are for sizes above 1."""
    label = f"{algorithm.upper()}, {NAMES[size]}"
    if size == 1:
        return Arm(label, ONE_SAMPLE[algorithm], LANES)
    given: dict[str, Value] = {"buffer_size": size, "sizes": "derived"}
    if algorithm == "ppo":
        given = {"rollout_steps": size, "sizes": "cleanrl"}
    return Arm(label, algorithm, ({} if size == CLEANRL[algorithm] else given) | changes)


def arms(buffers: tuple[int, ...], rollouts: tuple[int, ...], **changes: Value) -> tuple[Arm, ...]:
    """Return SAC and TD3 with each of the buffers, PPO with each of the rollouts, and those that store nothing."""
    replaying = (sized(algorithm, size, **changes) for algorithm in ("sac", "td3") for size in buffers)
    return (*replaying, *(sized("ppo", size) for size in rollouts), *STREAMING)


def incremental(env_id: str) -> tuple[Arm, ...]:
    """Return the learners of the paper that store nothing."""
    return (avg(env_id, emphasised=True), IAC)


PAPER = arms((1, 10, 100, 1_000, 10_000, 100_000, 1_000_000), (1, 100, 1_000, 2_048, 10_000))
LAPTOP = arms(FEWER, (1, 100, 1_000, 2_048), learning_starts=5_000)
NEWEST = (*(sized(algorithm, 1) for algorithm in ONE_SAMPLE), *STREAMING)
FEW = dict.fromkeys((arm.label for arm in NEWEST), 3)
QUICK = arms((1, 10, 100_000), (1, 100, 1_000), learning_starts=1_000)

EXPERIMENT = Experiment(
    name="replay_buffer_size",
    title="What a smaller replay buffer costs",
    source="AVG (arXiv:2411.15370), Fig. 1",
    figure="replay_buffer",
    presets={
        "paper": Preset(
            "the published protocol: 10M steps, 30 seeds; the value is the mean return of the last 10k steps",
            as_published(
                *(Row(env_id, PAPER + incremental(env_id), steps=10_000_000, seeds=30, bin_width=10_000) for env_id in TASKS)
            ),
        ),
        "laptop": Preset(
            "60k steps of HalfCheetah, 30k of Hopper, 3 seeds (after 30k of HalfCheetah TD3 has not yet learnt what a small"
            " buffer could spoil); TD3 learns from step 5000 on instead of 25,000 (our choice for a short run)",
            as_published(
                Row("HalfCheetah-v4", LAPTOP, steps=60_000, seeds=3, bin_width=10_000),
                Row("Hopper-v4", LAPTOP, steps=30_000, seeds=3, bin_width=10_000),
            ),
        ),
        "newest": Preset(
            "those that learn from the newest transition alone, 1M steps, 8 seeds, two tasks",
            as_published(
                *(
                    Row(env_id, NEWEST + incremental(env_id), steps=1_000_000, seeds=8, bin_width=10_000, fewer_seeds=FEW)
                    for env_id in ("HalfCheetah-v4", "Ant-v4")
                )
            ),
        ),
        "quick": Preset(
            "the message in minutes: one task, 12k steps, 2 seeds; SAC and TD3 learn from step 1000 on (our choice)",
            (Row("HalfCheetah-v4", QUICK + incremental("HalfCheetah-v4"), steps=12_000, seeds=2, bin_width=2_000),),
        ),
    },
)
