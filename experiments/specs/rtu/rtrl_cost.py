"""RTU Fig. 1a: what a learning step costs by exact real-time recurrent learning, against the number of units.

A layer on 64 inputs (our choice: the paper does not say) and a linear head, one stream, one core. At 512 units the
sensitivities of the GRU are 1.8 GB and those of the LSTM 4.8 GB, and a step holds them twice: without 11 GB to spare these two
runs fail and say so. They take some minutes, the others seconds and the time to compile.
"""

from experiments.spec import Arm, Experiment, Preset, Row

SIZES = (8, 16, 32, 64, 128, 256, 512)  # the published axis
CELLS = {"FFN": "none", "GRU": "gru", "LSTM": "lstm", "RTU": "rtu"}


def arms(sizes: tuple[int, ...], seconds: float) -> tuple[Arm, ...]:
    return tuple(
        Arm(f"{label}, {units}", "learning_step", {"cell": cell, "units": units, "seconds": seconds}, label == "RTU")
        for label, cell in CELLS.items()
        for units in sizes
    )


def row(sizes: tuple[int, ...], seconds: float, repeats: int) -> Row:
    # Nothing is done with the environment: a measurement names one as every run does.
    return Row("memory/MemoryChain-v0", arms(sizes, seconds), steps=repeats, seeds=1, bin_width=1)


EXPERIMENT = Experiment(
    name="rtrl_cost",
    title="What exact gradients of recurrence cost",
    source="RTU (arXiv:2605.24709), Fig. 1a",
    figure="rtrl_cost",
    kind="measurement",
    presets={
        "paper": Preset("the published axis, 8 to 512 units; 3 repeats of 1 s, or of three steps", (row(SIZES, 1.0, 3),)),
        "laptop": Preset("the published axis, 8 to 512 units; once, for 0.5 s or three steps", (row(SIZES, 0.5, 1),)),
        "quick": Preset("16, 64 and 128 units, 2 repeats of 0.2 s", (row((16, 64, 128), 0.2, 2),)),
    },
)
