"""Tasks, hyperparameters and arms that the experiments of AVG share.

The six configurations are the ones that the official code's documentation gives as the paper's: numbers of its random search,
from which `search` derives them again. Those behind the published curves of IAC, SAC-1 and TD3-1 are not known; theirs are the
defaults of the learners (`baselines.avg_settings`). Other forms of AVG have AVG's configuration of the task, which is not tuned
for them.
"""

from collections.abc import Callable, Mapping

from baselines.avg_settings import PLUS
from experiments.spec import Arm, Preset, Row, Value
from experiments.specs.avg.search import drawn
from experiments.specs.simulator import as_published

GYMNASIUM = ("Ant-v4", "HalfCheetah-v4", "Hopper-v4", "Humanoid-v4", "Walker2d-v4")
DM_CONTROL = tuple(
    f"dm_control/{task}-v0" for task in ("dog-run", "dog-stand", "dog-trot", "dog-walk", "finger-spin", "reacher-hard")
)
# By task, the number of its configuration in the search.
CONFIGURATIONS: Mapping[str, int] = {
    **dict.fromkeys(("Hopper-v4", "Walker2d-v4"), 122),
    **dict.fromkeys(("Ant-v4", "HalfCheetah-v4", "Humanoid-v4"), 129),
    **dict.fromkeys((f"dm_control/dog-{gait}-v0" for gait in ("walk", "trot", "stand")), 57),
    **{"dm_control/reacher-hard-v0": 12, "dm_control/finger-spin-v0": 145, "dm_control/dog-run-v0": 223},
}
# Those on which the published step sizes are large, so that much is learnt in a short run.
TWO_TASKS = ("HalfCheetah-v4", "Ant-v4")
NOTHING: Mapping[str, Value] = {}
# AVG without what makes its update safe.
MINUS: Mapping[str, Value] = {"normalize_obs": False, "feature_norm": "none", "scale_td_error": False}

IAC = Arm("IAC", "iac")
SAC_1, TD3_1 = Arm("SAC-1", "avg_sac1"), Arm("TD3-1", "avg_td3_1")
IAC_PLUS, SAC_1_PLUS, TD3_1_PLUS = (Arm(f"{arm.label}+", arm.algorithm, PLUS) for arm in (IAC, SAC_1, TD3_1))


def avg(env_id: str, label: str = "AVG", changes: Mapping[str, Value] = NOTHING, emphasised: bool = False) -> Arm:
    """Return AVG as published for a task, or changed."""
    return Arm(label, "avg", {**drawn(CONFIGURATIONS[env_id]), **changes}, emphasised)


def sized(rows: Callable[[str, int, int, int], Row], shown: tuple[str, ...] = GYMNASIUM) -> dict[str, Preset]:
    """Return the presets that studies of AVG's parts have in common.

    Args:
        rows: makes the row of a task from its id, steps, seeds and bin width.
        shown: the tasks of the published protocol; which ones the paper shows is not known.
    """
    return {
        "paper": Preset(
            "the published protocol: 10M steps, 30 seeds; bins, and tasks that are not known, are our choice",
            as_published(*(rows(env_id, 10_000_000, 30, 100_000) for env_id in shown)),
        ),
        "laptop": Preset(
            "all arms on two tasks, 100k steps, 3 seeds",
            as_published(*(rows(env_id, 100_000, 3, 10_000) for env_id in TWO_TASKS)),
        ),
        "quick": Preset("all arms on one task, 15k steps, 2 seeds", (rows("HalfCheetah-v4", 15_000, 2, 1_000),)),
        "two_tasks": Preset(
            "where the arms have parted: two tasks, 300k steps, 5 seeds",
            as_published(*(rows(env_id, 300_000, 5, 25_000) for env_id in TWO_TASKS)),
        ),
    }
