"""UPGD Fig. 8: returns of PPO with AdaUPGD in the place of Adam, on MuJoCo.

PPO is CleanRL's. Two things were not published. Which tasks there are beside Humanoid, HumanoidStandup and HalfCheetah: the
others are our choice. And how long runs are: `paper` has the 1M steps that are the code's default, `long` ten times as many,
for the claim that returns of Adam rise and then fall. Seeds are 40 in the caption and 30 in the code's README: 30 here. The
step size is annealed to zero over a run, whatever its length. The weight decay of AdaUPGD is the code's default.
"""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.baselines import PPO
from experiments.specs.simulator import as_published

TASKS = ("HalfCheetah-v4", "Hopper-v4", "Walker2d-v4", "Ant-v4", "Humanoid-v4", "HumanoidStandup-v4")
# Where the paper has another decay of the utility trace.
SHORT_MEMORY = ("Humanoid-v4", "HumanoidStandup-v4")


def row(env_id: str, steps: int, seeds: int, bin_width: int) -> Row:
    changes = {"beta_utility": 0.9} if env_id in SHORT_MEMORY else {}
    arms = (Arm("Adam", PPO.algorithm, PPO.hyperparameters), Arm("AdaUPGD", "adaupgd_ppo", changes, emphasised=True))
    return Row(env_id, arms, steps=steps, seeds=seeds, bin_width=bin_width)


EXPERIMENT = Experiment(
    name="adaupgd_ppo",
    title="PPO with AdaUPGD",
    source="UPGD (arXiv:2404.00781), Fig. 8",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "six tasks, the code's default of 1M steps, 30 seeds",
            as_published(*(row(env_id, 1_000_000, 30, 50_000) for env_id in TASKS)),
        ),
        "long": Preset(
            "does Adam's return fall, and AdaUPGD's not? 10M steps, 30 seeds",
            as_published(*(row(env_id, 10_000_000, 30, 200_000) for env_id in TASKS)),
        ),
        "laptop": Preset(
            "three tasks, 300k steps, 4 seeds", as_published(*(row(env_id, 300_000, 4, 20_000) for env_id in TASKS[:3]))
        ),
        "quick": Preset("HalfCheetah-v4, 40k steps, 2 seeds", (row("HalfCheetah-v4", 40_000, 2, 8_000),)),
    },
)
