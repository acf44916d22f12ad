"""Stream-X Fig. 4: Stream Q on MinAtar.

Exploration falls over 20 % of the steps, as in the code behind the figure (the paper's text says 5 %). The dashed DQN lines of
the paper are those of Young and Tian (2019). DQN1's network was not published; the same torso, dense and without LayerNorm, is
our choice.
"""

from experiments.spec import Arm, Experiment, Preset, Row

GAMES = tuple(f"MinAtar/{game}-v1" for game in ("Asterix", "Breakout", "Seaquest", "SpaceInvaders"))  # the order of the panels
SCHEDULE = {"exploration_fraction": 0.2, "schedule_steps": 5e6}

STREAM_Q = Arm("Stream Q(0.8)", "stream_q", SCHEDULE)
CLASSIC_Q = Arm("Classic Q(0.8)", "classic_q", SCHEDULE)
DQN1 = Arm("DQN1", "dqn1", {"schedule_steps": 5e6})
ARMS = (STREAM_Q, CLASSIC_Q, DQN1)


def short(arm: Arm, steps: int) -> Arm:
    """Return an arm whose exploration falls within a run of so many steps."""
    return Arm(arm.label, arm.algorithm, {**arm.hyperparameters, "schedule_steps": float(steps)})


EXPERIMENT = Experiment(
    name="stream_q_minatar",
    title="Streaming Q-learning on MinAtar",
    source="Stream-X (arXiv:2410.14606v2), Fig. 4",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "the published protocol: 5M steps, 30 seeds, bins of 125k steps",
            tuple(Row(game, ARMS, steps=5_000_000, seeds=30, bin_width=125_000) for game in GAMES),
        ),
        "laptop": Preset(
            "all games, the first 1M steps of the published schedule, 4 seeds",
            tuple(Row(game, ARMS, steps=1_000_000, seeds=4, bin_width=125_000, fewer_seeds={"DQN1": 1}) for game in GAMES),
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
