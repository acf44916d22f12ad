"""Where the time goes: the parts of a profile add up, and bad input is told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.profile import app

WHOLE = ["environment", "learner", "loop around them"]


@pytest.mark.parametrize(
    ("learner", "env_id", "settings"),
    [
        pytest.param("stream_q", "CartPole-v1", ["hidden=[4]"], marks=pytest.mark.slow),
        # Several compiled forms of one step.
        pytest.param("td3_1", "Pendulum-v1", ["implementation=lanes", "hidden=[4]"], marks=pytest.mark.slow),
    ],
)
def test_parts_add_up(learner: str, env_id: str, settings: list[str], tmp_path: Path):
    csv = tmp_path / "profile.csv"
    options = [part for setting in settings for part in ("--set", setting)]
    result = CliRunner().invoke(app, [learner, env_id, "--lanes", "2", "--seconds", "0.2", "--csv", str(csv), *options])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(csv).set_index("part")
    assert list(table.index[:3]) == WHOLE
    assert (table["microseconds"] >= 0).all()
    assert table.loc[WHOLE, "share"].sum() == pytest.approx(1, rel=0.01)
    of_learner = table[table.index.str.startswith("learner: ")]
    assert of_learner["microseconds"].sum() == pytest.approx(table.loc["learner", "microseconds"], rel=0.01)
    assert of_learner["share"].sum() == pytest.approx(table.loc["learner", "share"], rel=0.01)
    assert of_learner.index.is_unique
    for part in table.index:
        assert part.partition(" (")[0] in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nosuch", "CartPole-v1"], "there is no algorithm 'nosuch'"),
        (["sac", "HalfCheetah-v4"], "sac does not run in lanes"),
        (["sac1", "HalfCheetah-v4"], "sac1 does not run in lanes"),
        (["stream_q", "HalfCheetah-v4"], "stream_q gives a choice"),
        (["stream_q", "CartPole-v1", "--lanes", "0"], "--lanes must be"),
        (["stream_q", "CartPole-v1", "--seconds", "-1"], "--seconds must be"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], told: str, capfd: pytest.CaptureFixture[str]):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    said = result.output + capfd.readouterr().err
    assert told in said
    assert "Traceback" not in said
