"""Stream-X Fig. 3: sample efficiency of Stream AC beside PPO and SAC, and their one-sample forms.

Stream AC on Ant and Walker2d are the runs of Fig. 7. SAC's implementation was not published; CleanRL's hyperparameters are
our choice.
"""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.baselines import PPO, PPO1, SAC, SAC1
from experiments.specs.simulator import as_published
from experiments.specs.stream_x.arms import SAMPLE_EFFICIENCY, STREAM_AC

ARMS = (STREAM_AC, PPO1, PPO, SAC, SAC1)
FEW = {"PPO": 2, "SAC": 1, "SAC1": 2}  # the slow ones, where time is short
# Annealed over the published 2M steps, the step size falls by a quarter in the first 500k.
STEADY = {**PPO1.hyperparameters, "anneal_learning_rate": False}
STEADY_PPO1 = (Arm("PPO1", "ppo1", STEADY), Arm("PPO1, step size / 3", "ppo1", {**STEADY, "learning_rate": 1e-4}))

EXPERIMENT = Experiment(
    name="stream_ac_sample_efficiency",
    title="Sample efficiency of streaming actor-critic",
    source="Stream-X (arXiv:2410.14606v2), Fig. 3",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "the published protocol: 5M steps on Humanoid, 2M elsewhere, 30 seeds",
            as_published(*(Row(env_id, ARMS, steps=s, seeds=30, bin_width=w) for env_id, (s, w) in SAMPLE_EFFICIENCY.items())),
        ),
        "laptop": Preset(
            "all algorithms and tasks, 200k steps; fewer seeds for the slow batch learners",
            as_published(
                *(Row(env_id, ARMS, steps=200_000, seeds=8, bin_width=10_000, fewer_seeds=FEW) for env_id in SAMPLE_EFFICIENCY)
            ),
        ),
        "steady": Preset(
            "is PPO1 early on Ant in `laptop` because its step size is annealed over 200k steps there and over 2M in the paper,"
            " or is the paper's smaller? Without annealing, 500k steps, 4 seeds",
            as_published(Row("Ant-v4", STEADY_PPO1, steps=500_000, seeds=4, bin_width=10_000)),
        ),
        "third": Preset(
            "a third of PPO1's step size lets Ant rise in `steady` when the paper's does; does it also let it fall when the"
            " paper's does? Other seeds, 1.5M steps; PPO1 as it is beside it for 500k",
            as_published(
                Row(
                    "Ant-v4",
                    STEADY_PPO1,
                    steps=1_500_000,
                    seeds=4,
                    bin_width=50_000,
                    first_seed=4,
                    fewer_seeds={"PPO1": 2},
                    fewer_steps={"PPO1": 500_000},
                )
            ),
        ),
        "quick": Preset(
            "all but SAC on one task, 40k steps",
            (Row("Walker2d-v4", (STREAM_AC, PPO1, PPO, SAC1), steps=40_000, seeds=4, bin_width=4_000, fewer_seeds=FEW),),
        ),
    },
)
