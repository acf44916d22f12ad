"""Stream-X Fig. 11: Stream SARSA on Atari. Steps are agent steps of four frames."""

from experiments.spec import Arm, Experiment, Preset, Row
from experiments.specs.stream_x.arms import ATARI_DQN1, ATARI_OPTIONS, ATARI_STEPS, GAMES, atari

STREAM_SARSA = Arm("Stream SARSA(0.8)", "stream_sarsa", ATARI_OPTIONS, emphasised=True)
CLASSIC_SARSA = Arm("Classic SARSA(0.8)", "classic_sarsa", ATARI_OPTIONS)
ARMS = (STREAM_SARSA, CLASSIC_SARSA, ATARI_DQN1)

EXPERIMENT = Experiment(
    name="stream_sarsa_atari",
    title="Streaming SARSA on Atari",
    source="Stream-X (arXiv:2410.14606v2), Fig. 11",
    figure="learning_curves",
    presets={
        "paper": Preset(
            "the published protocol: 16 games, 50M steps (200M frames), 10 seeds, bins of 5M frames",
            tuple(Row(atari(game), ARMS, steps=ATARI_STEPS, seeds=10, bin_width=1_250_000) for game in GAMES),
        ),
        "laptop": Preset(
            "Pong and Boxing, the first 1.25M steps (5M frames) of the published schedule, 2 seeds",
            tuple(
                Row(atari(game), (STREAM_SARSA, CLASSIC_SARSA), steps=1_250_000, seeds=2, bin_width=125_000)
                for game in ("Pong", "Boxing")
            ),
        ),
        "quick": Preset(
            "does it run? Pong, 20k steps, far too few to learn",
            (Row(atari("Pong"), (STREAM_SARSA, CLASSIC_SARSA), steps=20_000, seeds=2, bin_width=2_000),),
        ),
    },
)
