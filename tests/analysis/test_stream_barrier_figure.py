"""Stream-X Fig. 2 on synthetic stores."""

from __future__ import annotations

from pathlib import Path

from analysis_support import CLASSIC_Q, DQN1, STREAM_Q, Draw, an_experiment, fill, titled

from experiments.spec import Arm, Row
from experiments.store import Store


def test_bars_of_atari_stand_beside_the_published_dqn(drawn: Draw, tmp_path: Path) -> None:
    control = tuple(Arm(label, label) for label in ("Classic AC", "PPO1", "SAC1", "Stream AC", "PPO", "SAC"))
    atari = (CLASSIC_Q, DQN1, STREAM_Q)
    rows = tuple(
        Row(env_id, control, steps=1_000_000, seeds=2, bin_width=500_000)
        for env_id in ("Hopper-v4", "Walker2d-v4", "dm_control/dog-stand-v0", "dm_control/cheetah-run-v0")
    )
    rows += tuple(
        Row(f"{game}NoFrameskip-v4", atari, steps=1_250_000, seeds=2, bin_width=1_250_000) for game in ("Breakout", "Enduro")
    )
    experiment, store = an_experiment(rows, "stream_barrier"), Store(tmp_path / "runs")
    fill(store, experiment)
    figure, numbers = drawn(experiment, store)
    hollow = numbers[numbers["part"] == "published bar"].set_index("env_id")
    assert hollow["value"].to_dict() == {"BreakoutNoFrameskip-v4": 385, "EnduroNoFrameskip-v4": 729}
    assert set(hollow["algorithm"]) == {"DQN"}
    breakout = titled(figure, "Breakout")
    assert [tick.get_text() for tick in breakout.get_xticklabels()] == ["Classic Q(0.8)", "DQN1", "Stream Q(0.8)", "DQN"]
    # Drawn to scale where there is room, else cut off and marked.
    assert "385" in [text.get_text() for text in breakout.texts]
    enduro = titled(figure, "Enduro")
    assert "729 \N{UPWARDS ARROW}" in [text.get_text() for text in enduro.texts]
    assert enduro.get_ylim()[1] < 729
    assert [tick.get_text() for tick in titled(figure, "Hopper-v4").get_xticklabels()] == [arm.label for arm in control]
    assert any("not run here" in text.get_text() for text in figure.texts)
