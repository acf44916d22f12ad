"""RTU Fig. 1b: how far back a learner remembers, with exact gradients of recurrence and with those of one step.

QRC(lambda), which the paper calls Q(lambda), with the hyperparameters of its code. Where sources differ, the figure's own are
not known: frames (500k in the draft, 1M in the code: preset `million`) and the width of the layer before the cell (128 in the
code, 64 in the table: preset `narrow`). A bin is an epoch, a 25th of the run, as the paper logs it.
"""

from collections.abc import Mapping

from experiments.spec import Arm, Experiment, Preset, Row, Value

LENGTHS = (2, 4, 8, 16, 32, 48, 64, 128)  # the published axis
FRAMES, SEEDS, EPOCHS = 500_000, 5, 25
CELLS: dict[str, Mapping[str, Value]] = {
    "FFN": {"cell": "none"},
    "GRU-TBPTT(1)": {"cell": "gru", "gradient": "tbptt1"},
    "RTU-TBPTT(1)": {"cell": "rtu", "gradient": "tbptt1"},
    "RTU-RTRL": {"cell": "rtu", "gradient": "rtrl"},
}


def rows(
    lengths: tuple[int, ...], frames: int, seeds: int, epochs: int = EPOCHS, only: tuple[str, ...] = (), **changes: Value
) -> tuple[Row, ...]:
    """Return a row for every length; epsilon falls over a tenth of the frames, whatever their number."""
    arms = tuple(
        Arm(label, "qrc", {**cell, "schedule_steps": float(frames), **changes}, label == "RTU-RTRL")
        for label, cell in CELLS.items()
        if not only or label in only
    )
    return tuple(
        Row(
            "memory/MemoryChain-v0",
            arms,
            steps=frames,
            seeds=seeds,
            bin_width=frames // epochs,
            environment={"length": length},
            panel=f"length {length}",
        )
        for length in lengths
    )


EXPERIMENT = Experiment(
    name="memory_chain",
    title="Remembering a bit along a chain",
    source="RTU (arXiv:2605.24709), Fig. 1b",
    figure="memory_chain",
    presets={
        "paper": Preset("500k frames, 5 seeds, all lengths", rows(LENGTHS, FRAMES, SEEDS)),
        "million": Preset("1M frames, as in the paper's code", rows(LENGTHS, 1_000_000, SEEDS)),
        "narrow": Preset("64 units before the cell, as in the paper's table", rows(LENGTHS, FRAMES, SEEDS, hidden=(64,))),
        "laptop": Preset("lengths up to 32, 200k frames, 3 seeds", rows((2, 4, 8, 16, 32), 200_000, 3)),
        "quick": Preset(
            "lengths 2 and 4, with memory and without, 60k frames, 2 seeds",
            rows((2, 4), 60_000, 2, epochs=12, only=("FFN", "RTU-RTRL")),
        ),
    },
)
