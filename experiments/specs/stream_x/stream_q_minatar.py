"""Stream-X Fig. 4: Stream Q on MinAtar.

Exploration falls over 20 % of the steps, as in the code behind the figure (the paper's text says 5 %). The dashed DQN lines of
the paper are those of Young and Tian (2019).
"""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.stream_x.arms import MINATAR, MINATAR_DQN1, short

SCHEDULE = {"exploration_fraction": 0.2, "schedule_steps": 5e6}

STREAM_Q = Arm("Stream Q(0.8)", "stream_q", SCHEDULE, emphasised=True)
CLASSIC_Q = Arm("Classic Q(0.8)", "classic_q", SCHEDULE)
ARMS = (STREAM_Q, CLASSIC_Q, MINATAR_DQN1)

EXPERIMENT = Experiment(
    name="stream_q_minatar",
    title="Streaming Q-learning on MinAtar",
    source="Stream-X (arXiv:2410.14606v2), Fig. 4",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "the published protocol: 5M steps, 30 seeds, bins of 125k steps",
            tuple(Row(game, ARMS, steps=5_000_000, seeds=30, bin_width=125_000) for game in MINATAR),
        ),
        "laptop": Preset(
            "all games, the first 1M steps of the published schedule, 4 seeds",
            tuple(Row(game, ARMS, steps=1_000_000, seeds=4, bin_width=25_000, fewer_seeds={"DQN1": 1}) for game in MINATAR),
        ),
        "quick": Preset(
            "Breakout, 100k steps with a schedule of that length",
            (
                Row(
                    "MinAtar/Breakout-v1",
                    tuple(short(arm, 100_000) for arm in ARMS[:2]),
                    steps=100_000,
                    seeds=2,
                    bin_width=10_000,
                ),
            ),
        ),
        "anchors": Preset(
            "is the learner right? Stream Q on three games, the first 1M steps of the published schedule",
            tuple(
                Row(f"MinAtar/{game}-v1", (STREAM_Q,), steps=1_000_000, seeds=4, bin_width=125_000)
                for game in ("Breakout", "SpaceInvaders", "Asterix")
            ),
        ),
    },
)
