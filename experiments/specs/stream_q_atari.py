"""Stream-X Figs. 6 and 12: Stream Q on Atari.

Steps here are agent steps of four frames: 200M frames are 50M steps. Fig. 6 shows eight of the panels of Fig. 12. The dashed
DQN lines are those of Hessel et al. (2018), 200M frames. At the cap of 108,000 frames the official code keeps the value
of S' and the trace, as after any step; so do the learners here.
"""

from baselines.dqn import ATARI1
from experiments.spec import Arm, Experiment, Preset, Row

GAMES = (  # the order of the panels of Fig. 12
    *("Alien", "Amidar", "Assault", "Asterix", "BankHeist", "MsPacman", "Bowling", "Boxing"),
    *("Breakout", "Enduro", "Freeway", "Frostbite", "Pong", "Qbert", "Seaquest", "SpaceInvaders"),
)
FIGURE_6 = ("Boxing", "Breakout", "Pong", "Freeway", "Alien", "Enduro", "Asterix", "MsPacman")
STEPS = 50_000_000
TRUNCATION = {"bootstrap_on_truncation": True, "reset_trace_on_truncation": False}
SCHEDULE = {"exploration_fraction": 0.05, "schedule_steps": float(STEPS)}

STREAM_Q = Arm("Stream Q(0.8)", "stream_q", {**SCHEDULE, **TRUNCATION})
CLASSIC_Q = Arm("Classic Q(0.8)", "classic_q", {**SCHEDULE, **TRUNCATION})
DQN1 = Arm("DQN1", "dqn1", {**ATARI1, "schedule_steps": float(STEPS)})
ARMS = (STREAM_Q, CLASSIC_Q, DQN1)


def atari(game: str) -> str:
    return f"{game}NoFrameskip-v4"


EXPERIMENT = Experiment(
    name="stream_q_atari",
    title="Streaming Q-learning on Atari",
    source="Stream-X (arXiv:2410.14606v2), Figs. 6 and 12",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "the published protocol: 16 games, 50M steps (200M frames), 10 seeds, bins of 5M frames",
            tuple(Row(atari(game), ARMS, steps=STEPS, seeds=10, bin_width=1_250_000) for game in GAMES),
        ),
        "figure_6": Preset(
            "the published protocol on the eight games of Fig. 6",
            tuple(Row(atari(game), ARMS, steps=STEPS, seeds=10, bin_width=1_250_000) for game in FIGURE_6),
        ),
        "laptop": Preset(
            "Pong and Boxing, the first 1.25M steps (5M frames) of the published schedule, 2 seeds of Stream Q and Classic Q",
            tuple(
                Row(atari(game), (STREAM_Q, CLASSIC_Q), steps=1_250_000, seeds=2, bin_width=250_000)
                for game in ("Pong", "Boxing")
            ),
        ),
        "quick": Preset(
            "does it run? Pong, 20k steps, far too few to learn",
            (Row(atari("Pong"), (STREAM_Q, CLASSIC_Q), steps=20_000, seeds=2, bin_width=5_000),),
        ),
        "anchors": Preset(
            "is the learner right? Stream Q on Pong, the first 2.5M steps (10M frames) of the published schedule",
            (Row(atari("Pong"), (STREAM_Q,), steps=2_500_000, seeds=4, bin_width=1_250_000),),
        ),
    },
)
