"""How far does one update go? Effective step size and overshooting of ObGD, plain SGD and Adam in the same learner.

Ours: the paper defines the quantities (section 3.2, appendix C) and shows no figure of them. All three arms have Stream AC's
normalisation, LayerNorm and sparse initialisation and differ in the optimiser only. The step of SGD, and the larger of
Adam's, are our choice; the smaller one is classic AC's.
"""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.simulator import as_published

OBGD = Arm("ObGD", "stream_ac", {"diagnostics": True}, emphasised=True)
SGD = Arm("SGD, 1e-3", "stream_ac", {"diagnostics": True, "optimizer": "sgd", "alpha_policy": 1e-3, "alpha_value": 1e-3})
ADAM = Arm("Adam, 3e-4", "stream_ac", {"diagnostics": True, "optimizer": "adam", "alpha_policy": 3e-4, "alpha_value": 3e-4})
SMALL_ADAM = Arm(
    "Adam, 1e-7", "stream_ac", {"diagnostics": True, "optimizer": "adam", "alpha_policy": 1e-7, "alpha_value": 1e-7}
)
ARMS = (OBGD, SGD, ADAM, SMALL_ADAM)
TASKS = ("HalfCheetah-v4", "Hopper-v4")

EXPERIMENT = Experiment(
    name="overshooting",
    title="How far an update goes",
    source="ours, quantities of Stream-X (arXiv:2410.14606v2), section 3.2",
    figure="overshooting",
    kind="metrics",
    presets={
        "paper": Preset(
            "two tasks, 1M steps, 10 seeds",
            as_published(*(Row(env_id, ARMS, steps=1_000_000, seeds=10, bin_width=50_000) for env_id in TASKS)),
        ),
        "laptop": Preset(
            "two tasks, 200k steps, 4 seeds",
            tuple(Row(env_id, ARMS, steps=200_000, seeds=4, bin_width=10_000) for env_id in TASKS),
        ),
        "quick": Preset("HalfCheetah, 40k steps", (Row("HalfCheetah-v4", ARMS, steps=40_000, seeds=2, bin_width=4_000),)),
    },
)
