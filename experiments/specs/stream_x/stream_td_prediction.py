"""Stream-X Figs. 9 and 10: predicting the oil temperature of a transformer from its sensors, one reading at a time.

The paper's data is ETTm2; `quick` runs on a generated series of the same shape, which is not a reproduction. 68,000 steps as in
the code and the figure (appendix F.1 says 6,700).
"""

from experiments.spec import Arm, Experiment, Preset, Row

STREAM_TD = Arm("Stream TD(0.8)", "stream_td", emphasised=True)
CLASSIC_TD = Arm("Classic TD(0.8)", "classic_td")
ARMS = (STREAM_TD, CLASSIC_TD)

EXPERIMENT = Experiment(
    name="stream_td_prediction",
    title="Predicting a stream of sensor readings",
    source="Stream-X (arXiv:2410.14606v2), Figs. 9 and 10",
    figure="prediction",
    kind="metrics",
    presets={
        "paper": Preset(
            "the published protocol: ETTm2, 68,000 steps, 30 seeds",
            (Row("ETTm2", ARMS, steps=68_000, seeds=30, bin_width=1_000),),
        ),
        "laptop": Preset(
            "the generated series, the published length, 30 seeds",
            (Row("ETTm2-generated", ARMS, steps=68_000, seeds=30, bin_width=1_000),),
        ),
        "quick": Preset(
            "the generated series, the published length, 4 seeds",
            (Row("ETTm2-generated", ARMS, steps=68_000, seeds=4, bin_width=1_000),),
        ),
    },
)
