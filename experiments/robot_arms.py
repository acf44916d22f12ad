"""The rows of `robots`: learners on a robot, each for about as many of the robot's cycles, whatever it misses of them.

A run counts the steps of its learner. One that misses cycles takes fewer of them in the same time, by the device's profile.
"""

from __future__ import annotations

from collections.abc import Mapping

from experiments import devices, registry
from experiments.spec import Arm, Row
from experiments.specs.avg.search import drawn

DEVICE = "jetson_nano"
# Seconds of a cycle, as in the environments.
CYCLES: Mapping[str, float] = {"UR-Reacher-2-v0": 0.04, "Create-Mover-v0": 0.15}

# Configurations of AVG are numbers of its search. 129, that of Ant, HalfCheetah and Humanoid, is our choice for robots. On the
# arm it learns and then forgets: of 145, 223 and 129, tried for 40k to 100k steps with seed 0, 145 was best, and is AVG there.
# So no figure shows seed 0. SAC-100 is SAC1, CleanRL's SAC with a batch of one, with a buffer of 100. AVG's paper has its own
# one-sample SAC (`avg_sac1`) there, in another form and with other step sizes.
# What it costs to take the whole buffer as the batch, as `sizes=derived` does, is another arm.
AVG = {
    "UR-Reacher-2-v0": Arm("AVG", "avg", drawn(145), emphasised=True),
    "Create-Mover-v0": Arm("AVG", "avg", drawn(129), emphasised=True),
}
AVG_129 = Arm("AVG, 129", "avg", drawn(129))
FIRST_SEED = 1
SAC = Arm("SAC", "sac")
SAC_100 = Arm("SAC-100", "sac1", {"buffer_size": 100})
SAC_100_BATCH = Arm("SAC-100, batch 100", "sac", {"buffer_size": 100, "sizes": "derived"})
PPO = Arm("PPO", "ppo")
OTHERS = (SAC, SAC_100, SAC_100_BATCH, PPO)
# For a run that would be over before SAC begins to learn; from when on it does so there is our choice.
SAC_SOON = Arm("SAC", "sac", {"learning_starts": 1_000})


def row(
    env_id: str,
    cycles: int,
    seeds: int,
    bin_width: int,
    others: tuple[Arm, ...] = OTHERS,
    device: str = DEVICE,
    panel: str = "",
) -> Row:
    """Return the row of a robot whose learners compute on a device.

    Args:
        env_id: the robot.
        cycles: about how many every learner has.
        seeds: of every arm.
        bin_width: in steps of the learner.
        others: the learners beside AVG.
        device: of the profiles.
        panel: the name of the panel, where it is not the robot's.
    """
    steps, arms = {}, (AVG[env_id], *others)
    for arm in arms:
        settings = registry.algorithm(arm.algorithm).settings(**dict(arm.hyperparameters))
        computing = devices.computing(device, arm.algorithm, settings)
        steps[arm.label] = computing.steps_within(cycles, CYCLES[env_id])
    most = max(steps.values())
    fewer = {label: number for label, number in steps.items() if number < most}
    return Row(env_id, arms, most, seeds, bin_width, {"device": device}, fewer_steps=fewer, first_seed=FIRST_SEED, panel=panel)
