"""AVG Fig. 7: IAC, SAC-1 and TD3-1 with normalisation and scaling, which the paper marks with a plus, and without.

Both forms of a learner have the same configuration, the default of `baselines.avg_settings`. In the paper each has its own best
one of a random search: not known.
"""

from experiments.spec import Experiment, Row
from experiments.specs.avg.arms import IAC, IAC_PLUS, SAC_1, SAC_1_PLUS, TD3_1, TD3_1_PLUS, sized

ARMS = (IAC, IAC_PLUS, SAC_1, SAC_1_PLUS, TD3_1, TD3_1_PLUS)


def row(env_id: str, steps: int, seeds: int, bin_width: int) -> Row:
    return Row(env_id, ARMS, steps, seeds, bin_width)


EXPERIMENT = Experiment(
    name="incremental_plus",
    title="Normalisation and scaling in other incremental learners",
    source="AVG (arXiv:2411.15370), Fig. 7",
    figure="learning_curves",
    presets=sized(row),
)
