"""AVG Figs. 14 and 15: where entropy counts in IAC: nowhere, in the actor's loss, or in the reward.

The paper's forms are known by name only; see `baselines.iac` for what they do here. Its task dot_reacher_hard is left out.
"""

from experiments.spec import Arm, Experiment, Row
from experiments.specs.avg.arms import sized

TASKS = ("Reacher-v4", "InvertedDoublePendulum-v4", "Ant-v4", "HalfCheetah-v4", "Hopper-v4")
LABELS = {"none": "no entropy", "actor": "distribution in actor", "sample": "sample", "distribution": "distribution"}
ARMS = tuple(Arm(label, "iac", {"entropy_form": form}, form == "actor") for form, label in LABELS.items())


def row(env_id: str, steps: int, seeds: int, bin_width: int) -> Row:
    return Row(env_id, ARMS, steps, seeds, bin_width)


EXPERIMENT = Experiment(
    name="iac_entropy",
    title="Entropy in incremental actor-critic",
    source="AVG (arXiv:2411.15370), Figs. 14 and 15",
    figure="learning_curves",
    presets=sized(row, TASKS),
)
