"""Stream-X Figs. 6 and 12: Stream Q on Atari.

Steps here are agent steps of four frames: 200M frames are 50M steps. Fig. 6 shows eight of the panels of Fig. 12. The dashed
DQN lines are those of Hessel et al. (2018), 200M frames.
"""

from experiments.spec import Arm, Experiment, Preset, Row, Value
from experiments.specs.stream_x.arms import (
    ATARI_CLASSIC_Q,
    ATARI_DQN1,
    ATARI_OPTIONS,
    ATARI_STEPS,
    ATARI_STREAM_Q,
    GAMES,
    atari,
)

FIGURE_6 = ("Boxing", "Breakout", "Pong", "Freeway", "Alien", "Enduro", "Asterix", "MsPacman")
# Ways of treating an exploratory action, and of scaling rewards, other than the code's.
ZERO_MEAN: dict[str, Value] = {**ATARI_OPTIONS, "centered_reward_variance": False}
FORMS = (
    Arm("trace never cut", "stream_q", {**ATARI_OPTIONS, "cut": "never"}),
    Arm("as the paper writes", "stream_q", {**ZERO_MEAN, "cut": "before_accumulation"}),
)
ARMS = (ATARI_STREAM_Q, ATARI_CLASSIC_Q, ATARI_DQN1)

EXPERIMENT = Experiment(
    name="stream_q_atari",
    title="Streaming Q-learning on Atari",
    source="Stream-X (arXiv:2410.14606v2), Figs. 6 and 12",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "the published protocol: 16 games, 50M steps (200M frames), 10 seeds, bins of 5M frames",
            tuple(Row(atari(game), ARMS, steps=ATARI_STEPS, seeds=10, bin_width=1_250_000) for game in GAMES),
        ),
        "figure_6": Preset(
            "the published protocol on the eight games of Fig. 6",
            tuple(Row(atari(game), ARMS, steps=ATARI_STEPS, seeds=10, bin_width=1_250_000) for game in FIGURE_6),
        ),
        "laptop": Preset(
            "Pong and Boxing, the first 1.25M steps (5M frames) of the published schedule, 2 seeds of Stream Q and Classic Q",
            tuple(
                Row(atari(game), (ATARI_STREAM_Q, ATARI_CLASSIC_Q), steps=1_250_000, seeds=2, bin_width=125_000)
                for game in ("Pong", "Boxing")
            ),
        ),
        "quick": Preset(
            "does it run? Pong, 20k steps, far too few to learn",
            (Row(atari("Pong"), (ATARI_STREAM_Q, ATARI_CLASSIC_Q), steps=20_000, seeds=2, bin_width=2_000),),
        ),
        "anchors": Preset(
            "is the learner right? Stream Q on Pong, the first 2.5M steps (10M frames) of the published schedule",
            (Row(atari("Pong"), (ATARI_STREAM_Q,), steps=2_500_000, seeds=4, bin_width=1_250_000),),
        ),
        "forms": Preset(
            "is it a form that paper and code do not share? Pong, which learns sooner here than published, 2.5M steps, 2 seeds",
            (Row(atari("Pong"), (ATARI_STREAM_Q, *FORMS), steps=2_500_000, seeds=2, bin_width=1_250_000),),
        ),
    },
)
