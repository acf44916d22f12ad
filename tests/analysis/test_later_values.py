"""A published value of a step that our curves do not reach is drawn as what it is: a mark, or words where it is far off."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis import panels
from analysis.learner_style import STYLES
from analysis.published import numbers_for
from analysis.statistics import mean_curves
from experiments.spec import Arm, Row

SOURCE = "AVG (arXiv:2411.15370), Figs. 3 and 4"


def drawn(env_id, heights, steps=1_000_000):
    """Draw one panel in which each arm rises to a height; return its axes and the numbers drawn."""
    row = Row(env_id, tuple(Arm(label, "avg") for label in heights), steps, seeds=1, bin_width=steps // 2)
    key = {"panel": env_id, "env_id": env_id, "seed": 0, "episodes": 1}
    curves = pd.DataFrame(
        [
            {**key, "algorithm": label, "step": step, "mean_return": height * step / steps}
            for label, height in heights.items()
            for step in (steps // 2, steps)
        ]
    )
    runs = pd.DataFrame({"panel": env_id, "algorithm": list(heights), "status": "finished", "diverged_at": None})
    axes = Figure().subplots()
    looks = {label: STYLES[label] for label in heights}
    return axes, panels.curves(axes, row, curves, mean_curves(curves), runs, looks, numbers_for(SOURCE))


def test_a_value_near_our_curves_is_a_mark_and_one_far_off_is_named():
    axes, table = drawn("HalfCheetah-v4", {"AVG": 1500.0, "IAC": 100.0})  # published at 10M: 6328 and 1660
    parts = table.set_index("algorithm")["part"]
    assert set(parts["IAC"]) == {"curve", panels.LATER}
    assert set(parts["AVG"]) == {"curve", panels.FAR}
    assert table.loc[table["part"] == panels.LATER, "step"].tolist() == [10_000_000]
    (text,) = axes.texts
    assert text.get_text().startswith("AVG, published at 10M: 6328")
    marks = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_ydata()[0] for line in marks] == [1660]
    assert axes.get_ylim()[1] > 1660


def test_a_value_far_below_points_down():
    axes, _ = drawn("Ant-v4", {"IAC": 10.0})  # published at 10M: -811
    assert axes.texts[0].get_text().endswith("\N{DOWNWARDS ARROW}")


@pytest.mark.parametrize("steps", [10_000_000, 20_000_000])
def test_a_value_that_our_curves_reach_is_no_later_one(steps):
    axes, table = drawn("HalfCheetah-v4", {"AVG": 6000.0}, steps)
    assert set(table["part"]) == {"curve"}
    assert not axes.texts
