"""The rows of `robots`: learners on a robot, each for about as many of the robot's cycles, whatever it misses of them.

A run counts the steps of its learner. One that misses cycles takes fewer of them in the same time, by the device's profile.
"""

from __future__ import annotations

from collections.abc import Mapping

from experiments import devices, registry
from experiments.spec import Arm, Row

DEVICE = "jetson_nano"
# Seconds of a cycle, as in the environments.
CYCLES: Mapping[str, float] = {"UR-Reacher-2-v0": 0.04, "Create-Mover-v0": 0.15}

# AVG with the configuration of Ant, HalfCheetah and Humanoid. SAC-100 is SAC-1 with a buffer of 100, so with a batch of one.
# What it costs to take the whole buffer as the batch, as `sizes=derived` does, is another arm.
AVG = Arm("AVG", "avg", emphasised=True)
SAC = Arm("SAC", "sac")
SAC_100 = Arm("SAC-100", "sac1", {"buffer_size": 100})
SAC_100_BATCH = Arm("SAC-100, batch 100", "sac", {"buffer_size": 100, "sizes": "derived"})
PPO = Arm("PPO", "ppo")
ARMS = (AVG, SAC, SAC_100, SAC_100_BATCH, PPO)
# For a run that would be over before SAC begins to learn; from when on it does so there is our choice.
SAC_SOON = Arm("SAC", "sac", {"learning_starts": 1_000})


def row(
    env_id: str, cycles: int, seeds: int, bin_width: int, arms: tuple[Arm, ...] = ARMS, device: str = DEVICE, panel: str = ""
) -> Row:
    """Return the row of a robot whose learners compute on a device.

    Args:
        env_id: the robot.
        cycles: about how many every learner has.
        seeds: of every arm.
        bin_width: in steps of the learner.
        arms: the learners.
        device: of the profiles.
        panel: the name of the panel, where it is not the robot's.
    """
    steps = {}
    for arm in arms:
        settings = registry.algorithm(arm.algorithm).settings(**dict(arm.hyperparameters))
        computing = devices.computing(device, arm.algorithm, settings)
        steps[arm.label] = computing.steps_within(cycles, CYCLES[env_id])
    most = max(steps.values())
    fewer = {label: number for label, number in steps.items() if number < most}
    return Row(env_id, arms, most, seeds, bin_width, {"device": device}, fewer_steps=fewer, panel=panel)
