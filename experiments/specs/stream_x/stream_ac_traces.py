"""Stream-X Fig. 8: what eligibility traces are worth, with and without the parts of Stream-X.

Stream AC(0.8) and Classic AC(0.8) are the runs of Fig. 7.
"""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.simulator import as_published
from experiments.specs.stream_x.arms import ABLATION_TASKS, CLASSIC_AC, STREAM_AC

STREAM_AC_0 = Arm("Stream AC(0)", "stream_ac", {"lamda": 0.0}, emphasised=True)
CLASSIC_AC_0 = Arm("Classic AC(0)", "classic_ac", {"lamda": 0.0})
ARMS = (STREAM_AC, STREAM_AC_0, CLASSIC_AC, CLASSIC_AC_0)
# On Hopper and Walker2d the paper's classic AC diverged with step sizes down to 1e-11; those shown had 1e-7 (F.4).
CLASSIC_STEP_SIZES = (
    CLASSIC_AC,
    Arm("Classic AC, step size 1e-9", "classic_ac", {"alpha_policy": 1e-9, "alpha_value": 1e-9}),
    Arm("Classic AC, step size 1e-11", "classic_ac", {"alpha_policy": 1e-11, "alpha_value": 1e-11}),
)

EXPERIMENT = Experiment(
    name="stream_ac_traces",
    title="What eligibility traces are worth",
    source="Stream-X (arXiv:2410.14606v2), Fig. 8",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "the published protocol: 2M steps, 30 seeds, bins of 50k steps",
            as_published(*(Row(env_id, ARMS, steps=2_000_000, seeds=30, bin_width=50_000) for env_id in ABLATION_TASKS)),
        ),
        "laptop": Preset(
            "all arms and tasks, 400k steps, 6 seeds",
            as_published(*(Row(env_id, ARMS, steps=400_000, seeds=6, bin_width=10_000) for env_id in ABLATION_TASKS)),
        ),
        "step_sizes": Preset(
            "is classic AC's step size smaller in the paper on Hopper and Walker2d, where ours rises and the paper's does not? "
            "400k steps, 6 seeds",
            as_published(
                *(
                    Row(env_id, CLASSIC_STEP_SIZES, steps=400_000, seeds=6, bin_width=10_000)
                    for env_id in ("Hopper-v4", "Walker2d-v4")
                )
            ),
        ),
        "quick": Preset(
            "all arms on one task, 60k steps",
            (Row("HalfCheetah-v4", ARMS, steps=60_000, seeds=3, bin_width=5_000),),
        ),
    },
)
