"""RTU Fig. 2: POPGym's Easy tasks, of which memory is worth little (HigherLower) to all (RepeatFirst).

The package's games; the paper's came from a JAX port in which Autoencode cannot be learnt and CountRecall has two actions
instead of 27. Settings are those of the paper's code (preset `paper`) and of its draft (`draft`). QRC is what the paper calls
Q(lambda). PPO-RTU learns from sequences (`baselines.recurrent_ppo`). The paper's line FFN names no algorithm: here both
learners have a form without memory. In RepeatFirst that is no bar: who repeats its last action, which is in the observation,
needs none. The streaming learners standardise observations but for the last action, as in the paper's code, and preset
`last_action` shows what that choice does; PPO-RTU standardises all that it sees.
"""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.rtu.arms import CODE_BOUND, DRAFT_BOUND, STREAM_AC, Settings, feedforward, recurrent

TASKS = ("AutoencodeEasy", "ConcentrationEasy", "CountRecallEasy", "HigherLowerEasy", "RepeatFirstEasy")
FRAMES, SEEDS, POINTS = 5_000_000, 5, 25
AS_IS = "not_the_action"
CODE: Settings = {**STREAM_AC, **CODE_BOUND, "lamda": 0.95}
DRAFT: Settings = {**STREAM_AC, **DRAFT_BOUND, "lamda": 0.8, "entropy": 0.095}
# Lambda and the length of exploration are the draft's, since the code's file of these settings is not public.
QRC: Settings = {"lamda": 0.95, "max_norm": 1.0, "exploration_fraction": 0.2}
# One environment where the paper has 32; step sizes were not published.
PPO = Arm("PPO-RTU", "recurrent_ppo", {"learning_rate": 3e-4, "max_grad_norm": 1.5})
PPO_STEP_SIZES = (
    Arm("PPO-RTU, step size 1e-4", "recurrent_ppo", {**PPO.hyperparameters, "learning_rate": 1e-4}),
    PPO,
    Arm("PPO-RTU, step size 1e-3", "recurrent_ppo", {**PPO.hyperparameters, "learning_rate": 1e-3}),
)


def stream_ac_rtu(settings: Settings) -> Arm:
    return recurrent("Stream AC-RTU", "stream_ac", settings, 64, 64)


def qrc(schedule: int) -> Arm:
    """Return QRC-RTU that explores over a fifth of so many frames."""
    return recurrent("QRC-RTU", "qrc", QRC, 64, 64, schedule_steps=float(schedule))


def arms(stream_ac: Settings, frames: int) -> tuple[Arm, ...]:
    return (
        stream_ac_rtu(stream_ac),
        qrc(frames),
        PPO,
        feedforward("Stream AC-FFN", "stream_ac", stream_ac, 64, 64),
        feedforward("QRC-FFN", "qrc", QRC, 64, 64, schedule_steps=float(frames)),
    )


def row(
    task: str, given: tuple[Arm, ...], frames: int, seeds: int, bin_width: int, panel: str = "", standardised: str = AS_IS
) -> Row:
    environment, env_id = {"standardised": standardised}, f"popgym-{task}-v0"
    return Row(env_id, given, steps=frames, seeds=seeds, bin_width=bin_width, environment=environment, panel=panel)


def rows(tasks: tuple[str, ...], frames: int, seeds: int, stream_ac: Settings = CODE, points: int = POINTS) -> tuple[Row, ...]:
    given = arms(stream_ac, frames)
    return tuple(row(task, given, frames, seeds, frames // points) for task in tasks)


EXPERIMENT = Experiment(
    name="popgym",
    title="Games that want memory",
    source="RTU (arXiv:2605.24709), Fig. 2",
    figure="popgym",
    presets={
        "paper": Preset("5M frames, 5 seeds; Stream AC as in the paper's code", rows(TASKS, FRAMES, SEEDS)),
        "draft": Preset("5M frames, 5 seeds; Stream AC as in the paper's draft", rows(TASKS, FRAMES, SEEDS, DRAFT)),
        "laptop": Preset(
            "RepeatFirst and Concentration, 500k frames, 3 seeds",
            rows(("ConcentrationEasy", "RepeatFirstEasy"), 500_000, 3, points=20),
        ),
        "schedule": Preset(
            "does QRC explore too briefly in `laptop`? The first 600k frames of the published schedule, 3 seeds",
            tuple(row(task, (qrc(FRAMES),), 600_000, 3, 25_000) for task in ("ConcentrationEasy", "RepeatFirstEasy")),
        ),
        "step_sizes": Preset(
            "does PPO differ in `laptop` by its step size, which was not published? Up to the first published point, 3 seeds",
            # PPO-RTU takes no notice of what is standardised.
            tuple(
                row(task, PPO_STEP_SIZES, 200_000, 3, 25_000, standardised="all")
                for task in ("ConcentrationEasy", "RepeatFirstEasy")
            ),
        ),
        "last_action": Preset(
            "what does it change to standardise the last action, which the paper's code leaves as it is? RepeatFirst, 300k "
            "frames, 3 seeds",
            tuple(
                row("RepeatFirstEasy", (stream_ac_rtu(CODE), qrc(FRAMES)), 300_000, 3, 25_000, panel, standardised)
                for panel, standardised in (("", AS_IS), ("RepeatFirst, standardised", "all"))
            ),
        ),
        "quick": Preset("RepeatFirst, 50k frames, 1 seed", rows(("RepeatFirstEasy",), 50_000, 1, points=10)),
    },
)
