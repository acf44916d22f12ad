"""AVG Fig. 13: what the features of the last hidden layer are normalised by: their length, LayerNorm, RMSNorm, or nothing.

All arms have AVG's configuration of the task; LayerNorm and RMSNorm have no scale and bias (our choice).
"""

from experiments.spec import Experiment, Row
from experiments.specs.avg.arms import avg, sized

OTHERS = {"LayerNorm": "layer_norm", "RMSNorm": "rms_norm", "no pnorm": "none"}


def row(env_id: str, steps: int, seeds: int, bin_width: int) -> Row:
    arms = tuple(avg(env_id, label, {"feature_norm": name}) for label, name in OTHERS.items())
    return Row(env_id, (avg(env_id, emphasised=True), *arms), steps, seeds, bin_width)


EXPERIMENT = Experiment(
    name="avg_feature_normalization",
    title="Alternatives to penultimate normalisation",
    source="AVG (arXiv:2411.15370), Fig. 13",
    figure="learning_curves",
    presets=sized(row),
)
