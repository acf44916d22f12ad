"""Stream-X Fig. 2 on synthetic stores."""

from __future__ import annotations

from pathlib import Path

import pytest
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
    whole = numbers[numbers["part"] == "published bar, whole budget"]
    dqn = whole[whole["algorithm"] == "DQN"].set_index("env_id")
    assert dqn["value"].to_dict() == {"BreakoutNoFrameskip-v4": 385, "EnduroNoFrameskip-v4": 729}
    assert whole.groupby("env_id").size()["Hopper-v4"] == 6
    breakout = titled(figure, "Breakout")
    assert len(breakout.get_xticks()) == 4
    # Ours have 1.25M steps: the paper's bars of 50M have panels of their own, with the names that both share.
    lower = figure.axes[figure.axes.index(breakout) + 3]
    assert [text.get_text() for text in lower.texts if text.get_text() == "385"] == ["385"]
    assert lower.get_ylim()[1] > 385
    # At 1M steps the paper's curves have a value: hollow bars beside ours.
    same = numbers[(numbers["part"] == "published bar") & (numbers["env_id"] == "Hopper-v4")].set_index("algorithm")["value"]
    assert set(same.index) == {arm.label for arm in control}
    assert same["Stream AC"] == pytest.approx(1443.347)
    assert any("not run here" in text.get_text() for text in figure.texts)
