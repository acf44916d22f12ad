"""Stream-X Figs. 5 and 14: twenty million steps on 26 tasks, without stopping and without a buffer.

Fig. 5 shows eight of the panels of Fig. 14. SAC's implementation was not published; CleanRL's hyperparameters are our choice.
"""

from experiments.spec import Experiment, Preset, Row
from experiments.specs.baselines import PPO, PPO1, SAC, SAC1
from experiments.specs.simulator import as_published
from experiments.specs.stream_x.arms import STREAM_AC

ARMS = (STREAM_AC, PPO1, PPO, SAC, SAC1)
DM_CONTROL = (
    *("cartpole-balance", "point_mass-hard", "cartpole-swingup", "cheetah-run", "dog-stand", "dog-walk", "dog-trot"),
    *("finger-spin", "finger-turn_easy", "finger-turn_hard", "fish-upright", "hopper-hop", "humanoid-stand", "humanoid-walk"),
    *("quadruped-run", "quadruped-walk", "reacher-hard", "walker-run", "walker-stand", "walker-walk"),
)
MUJOCO = ("Ant-v4", "HalfCheetah-v4", "Walker2d-v4", "Hopper-v4", "Humanoid-v4", "HumanoidStandup-v4")
TASKS = (*(f"dm_control/{task}-v0" for task in DM_CONTROL), *MUJOCO)  # the order of the panels of Fig. 14
FIGURE_5 = (
    *("dm_control/dog-stand-v0", "dm_control/dog-walk-v0", "Humanoid-v4", "Walker2d-v4"),
    *("dm_control/walker-run-v0", "dm_control/cheetah-run-v0", "Ant-v4", "HumanoidStandup-v4"),
)

EXPERIMENT = Experiment(
    name="stream_ac_long_run",
    title="Long runs of streaming actor-critic",
    source="Stream-X (arXiv:2410.14606v2), Figs. 5 and 14",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "the published protocol: 26 tasks, 20M steps, 30 seeds, bins of 500k steps",
            as_published(*(Row(env_id, ARMS, steps=20_000_000, seeds=30, bin_width=500_000) for env_id in TASKS)),
        ),
        "figure_5": Preset(
            "the published protocol on the eight tasks of Fig. 5",
            as_published(*(Row(env_id, ARMS, steps=20_000_000, seeds=30, bin_width=500_000) for env_id in FIGURE_5)),
        ),
        "laptop": Preset(
            "Stream AC on all 26 tasks, 300k steps, 4 seeds",
            as_published(*(Row(env_id, (STREAM_AC,), steps=300_000, seeds=4, bin_width=10_000) for env_id in TASKS)),
        ),
        "first_bin": Preset(
            "the first published bin of the 20 dm_control tasks, 500k steps, 3 seeds of Stream AC",
            tuple(Row(env_id, (STREAM_AC,), steps=500_000, seeds=3, bin_width=20_000) for env_id in TASKS[: len(DM_CONTROL)]),
        ),
        "quick": Preset(
            "Stream AC and PPO1 on two tasks, 40k steps",
            tuple(
                Row(env_id, (STREAM_AC, PPO1), steps=40_000, seeds=4, bin_width=4_000, fewer_seeds={"PPO1": 1})
                for env_id in ("dm_control/walker-stand-v0", "HalfCheetah-v4")
            ),
        ),
    },
)
