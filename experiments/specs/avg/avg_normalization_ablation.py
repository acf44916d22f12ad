"""AVG Fig. 6: standardised observations, penultimate normalisation and scaled TD errors, in all eight combinations.

Every combination has AVG's configuration of the task. In the paper each has its own best one of a random search: not known.
"""

from experiments.spec import Arm, Experiment, Row, Value
from experiments.specs.avg.arms import MINUS, avg, sized

# What an arm does without, by its label.
WITHOUT: dict[str, tuple[str, ...]] = {
    "no obs norm": ("normalize_obs",),
    "no pnorm": ("feature_norm",),
    "no TD scaling": ("scale_td_error",),
    "obs norm only": ("feature_norm", "scale_td_error"),
    "pnorm only": ("normalize_obs", "scale_td_error"),
    "TD scaling only": ("normalize_obs", "feature_norm"),
    "AVG-": tuple(MINUS),
}


def without(parts: tuple[str, ...]) -> dict[str, Value]:
    return {part: MINUS[part] for part in parts}


def row(env_id: str, steps: int, seeds: int, bin_width: int) -> Row:
    arms: list[Arm] = [avg(env_id, label, without(parts)) for label, parts in WITHOUT.items()]
    return Row(env_id, (avg(env_id, emphasised=True), *arms), steps, seeds, bin_width)


EXPERIMENT = Experiment(
    name="avg_normalization_ablation",
    title="What normalisation and scaling are worth in AVG",
    source="AVG (arXiv:2411.15370), Fig. 6",
    figure="learning_curves",
    presets=sized(row),
)
