"""AVG Fig. 21 and the talk: learning on board of a robot, with the time and the memory that a Jetson Nano has.

Robots are simulated (`experiments.environments.ur_reacher`, `create_mover`) and go on while a learner computes
(`real_time`). How long it computes is in `device_profiles.toml`; what of that is published, and what is ours, is said there.
Hyperparameters, seeds and the robots' changes to SenseAct's tasks were not published. AVG has a configuration of its search on
each robot (`experiments.robot_arms` says which and why), PPO and SAC have CleanRL's numbers: our choice, and so are seeds.
Lengths are those after which policies were shown: 400k steps of UR-Reacher-2 (4.4 hours of motion) and 100k of Create-Mover
(4.2 hours); we read steps as cycles of the robot. The Jetson Nano is told of Create-Mover only; that the arm has it too is our
choice. There AVG takes longer than a cycle and misses every second one.
"""

from experiments.robot_arms import AVG_129, OTHERS, PPO, SAC, SAC_100, SAC_SOON, row
from experiments.spec import Experiment, Preset

UR, CREATE = "UR-Reacher-2-v0", "Create-Mover-v0"

EXPERIMENT = Experiment(
    name="robots",
    title="Learning on board of a robot",
    source="AVG (arXiv:2411.15370), Fig. 21",
    figure="robots",
    kind="metrics",
    presets={
        "paper": Preset(
            "400k cycles of UR-Reacher-2 and 100k of Create-Mover, 30 seeds; at a workstation too",
            (
                row(UR, 400_000, 30, 500, (AVG_129, *OTHERS)),
                row(CREATE, 100_000, 30, 500),
                row(UR, 400_000, 30, 500, (SAC, PPO), "workstation", "UR-Reacher-2-v0, workstation"),
                row(CREATE, 100_000, 30, 500, (SAC, PPO), "workstation", "Create-Mover-v0, workstation"),
            ),
        ),
        "laptop": Preset(
            "400k cycles of UR-Reacher-2 and 100k of Create-Mover, the published lengths, 5 seeds, on board",
            (row(UR, 400_000, 5, 500, (AVG_129, *OTHERS)), row(CREATE, 100_000, 5, 500)),
        ),
        "quick": Preset(
            "16k cycles of either robot, 2 seeds; SAC learns from step 1000 on instead of 5000 (our choice for a short run)",
            tuple(row(env_id, 16_000, 2, 250, (SAC_SOON, SAC_100, PPO)) for env_id in (UR, CREATE)),
        ),
    },
)
