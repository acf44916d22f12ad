"""AVG Fig. 8: AVG with a target network for the value of the next action, which follows the critic by a fraction tau.

With tau = 1 there is none, which is AVG; with tau = 0 it never moves. The paper's values of tau are not known; these are our
choice.
"""

from experiments.spec import Experiment, Row
from experiments.specs.avg.arms import avg, sized

TAUS = (0.5, 0.05, 0.005, 0.0)


def row(env_id: str, steps: int, seeds: int, bin_width: int) -> Row:
    arms = tuple(avg(env_id, f"tau = {tau:g}", {"target_network": True, "tau": tau}) for tau in TAUS)
    return Row(env_id, (avg(env_id, emphasised=True), *arms), steps, seeds, bin_width)


EXPERIMENT = Experiment(
    name="avg_target_network",
    title="AVG with a target network",
    source="AVG (arXiv:2411.15370), Fig. 8",
    figure="learning_curves",
    presets=sized(row),
)
