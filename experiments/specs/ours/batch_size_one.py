"""Each batch learner beside its one-sample form: what is left of it without a buffer and a batch. Ours.

On MuJoCo the protocol is that of Stream-X Fig. 3, whose PPO, PPO1, SAC and SAC1 are the same runs; nobody published TD3 there.
On MinAtar it is that of Fig. 4, whose DQN1 is the same; the paper takes DQN from the literature, here it is run with CleanRL's
hyperparameters.
"""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.baselines import PPO, PPO1, SAC, SAC1, TD3, TD3_1
from experiments.specs.simulator import as_published
from experiments.specs.stream_x.arms import MINATAR_DQN1, SAMPLE_EFFICIENCY, short

DQN = Arm("DQN", "dqn", MINATAR_DQN1.hyperparameters)
ARMS = (PPO, PPO1, SAC, SAC1, TD3, TD3_1)
CHOICES = (DQN, MINATAR_DQN1)
# Annealed over the published 2M steps, the step size has hardly fallen after the first 100k.
STEADY_PPO = Arm("PPO", "ppo", {"anneal_learning_rate": False})
BREAKOUT = "MinAtar/Breakout-v1"
FEW = {"SAC": 2, "TD3": 2}  # the slow ones, where time is short


def soon(steps: int) -> tuple[Arm, ...]:
    """Return the arms with fewer random steps, for runs hardly longer than the 25,000 of CleanRL's TD3."""
    begin = {"learning_starts": steps}
    return (PPO, PPO1, Arm("SAC", "sac", begin), SAC1, Arm("TD3", "td3", begin), TD3_1)


EXPERIMENT = Experiment(
    name="batch_size_one",
    title="Batch learners with a batch of one",
    source="ours, with the protocols of Stream-X",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "MuJoCo as in Stream-X Fig. 3, MinAtar Breakout as in its Fig. 4, 30 seeds; TD3 and DQN are ours",
            as_published(
                *(Row(env_id, ARMS, steps=s, seeds=30, bin_width=w) for env_id, (s, w) in SAMPLE_EFFICIENCY.items()),
                Row(BREAKOUT, CHOICES, steps=5_000_000, seeds=30, bin_width=125_000),
            ),
        ),
        "laptop": Preset(
            "30k steps on two tasks, 200k on Breakout with the whole schedule of exploration; TD3 learns from step 5000 on"
            " instead of 25,000 (our choice)",
            as_published(
                *(
                    Row(env_id, soon(5_000), steps=30_000, seeds=3, bin_width=5_000, fewer_seeds=FEW)
                    for env_id in ("HalfCheetah-v4", "Hopper-v4")
                ),
                Row(BREAKOUT, tuple(short(arm, 200_000) for arm in CHOICES), steps=200_000, seeds=3, bin_width=10_000),
            ),
        ),
        "quick": Preset(
            "one task, 12k steps, 2 seeds; SAC and TD3 learn from step 1000 on (our choice)",
            (Row("HalfCheetah-v4", soon(1_000), steps=12_000, seeds=2, bin_width=1_000),),
        ),
        "anchors": Preset(
            "do PPO, SAC and TD3 learn as they should? Walker2d-v4 stands beside Fig. 3; PPO's step size is not annealed",
            tuple(
                Row(env_id, (STEADY_PPO, SAC, TD3), steps=100_000, seeds=3, bin_width=50_000)
                for env_id in ("Walker2d-v4", "HalfCheetah-v4")
            ),
        ),
    },
)
