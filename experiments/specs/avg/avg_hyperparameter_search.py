"""AVG Fig. 12: random search, the configurations ranked by the area under their curves.

300 configurations, 10 seeds and 2M steps by a caption that a machine wrote; which three tasks is our choice. The seeds begin at
1000, apart from those of the evaluations. Beside AVG's search there is one for each of the learners that it is compared with
(preset `baselines`): what the paper's search found for them is not known.
"""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.avg.arms import CONFIGURATIONS
from experiments.specs.avg.search import CONFIGURATIONS as THERE_ARE
from experiments.specs.avg.search import drawn
from experiments.specs.simulator import as_published

FIRST_SEED = 1_000
TASKS = ("Ant-v4", "HalfCheetah-v4", "Hopper-v4")
# What a learner calls the draw that is the weight of the entropy in AVG; TD3-1 has no use for it.
OTHERS = {"iac": "entropy", "avg_sac1": "entropy_lr", "avg_td3_1": ""}
NAMES = {"avg": "AVG", "iac": "IAC", "avg_sac1": "SAC-1", "avg_td3_1": "TD3-1"}


def row(env_id: str, numbers: range, steps: int, seeds: int, algorithm: str = "avg") -> Row:
    """Return the search of one learner on one task; AVG's published configuration is emphasised."""
    entropy = OTHERS.get(algorithm, "entropy")
    arms = tuple(
        Arm(
            f"#{number}",
            algorithm,
            {name: value for name, value in drawn(number, entropy).items() if name},
            emphasised=algorithm == "avg" and number == CONFIGURATIONS[env_id],
        )
        for number in numbers
    )
    panel = "" if algorithm == "avg" else f"{env_id}, {NAMES[algorithm]}"
    return Row(env_id, arms, steps, seeds, bin_width=steps // 10, first_seed=FIRST_SEED, panel=panel)


EXPERIMENT = Experiment(
    name="avg_hyperparameter_search",
    title="Random search for AVG",
    source="AVG (arXiv:2411.15370), Fig. 12",
    figure="hyperparameter_search",
    presets={
        "paper": Preset(
            "the published protocol: 300 configurations, 2M steps, 10 seeds",
            as_published(*(row(env_id, range(THERE_ARE), 2_000_000, 10) for env_id in TASKS)),
        ),
        "laptop": Preset(
            "40 configurations, 50k steps, 1 seed, two tasks",
            as_published(*(row(env_id, range(110, 150), 50_000, 1) for env_id in ("HalfCheetah-v4", "Hopper-v4"))),
        ),
        "quick": Preset("12 configurations, 15k steps, 1 seed", (row("HalfCheetah-v4", range(120, 132), 15_000, 1),)),
        "sixty": Preset(
            "60 configurations in a row, 100k steps, 2 seeds, one task", (row("HalfCheetah-v4", range(100, 160), 100_000, 2),)
        ),
        "baselines": Preset(
            "30 configurations of AVG, IAC, SAC-1 and TD3-1 each, 100k steps, 1 seed, one task",
            tuple(row("HalfCheetah-v4", range(120, 150), 100_000, 1, algorithm) for algorithm in NAMES),
        ),
    },
)
