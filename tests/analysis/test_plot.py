"""Colours and text of figures."""

from __future__ import annotations

import numpy as np
import pytest
from analysis_support import ABLATION
from matplotlib.colors import to_rgb

from analysis import plot


def luminance(colour: str) -> float:
    return float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))


def test_a_method_has_one_colour_and_its_second_arm_a_lighter_shade() -> None:
    figure_8 = plot.colours([["Stream AC(0.8)", "Stream AC(0)", "Classic AC(0.8)", "Classic AC(0)"]])
    assert figure_8["Stream AC(0.8)"] == plot.COLOURS["Stream AC"]
    assert figure_8["Classic AC(0.8)"] == plot.COLOURS["Classic AC"]
    assert luminance(figure_8["Stream AC(0)"]) > luminance(figure_8["Stream AC(0.8)"]) + 0.15
    assert luminance(figure_8["Classic AC(0)"]) > luminance(figure_8["Classic AC(0.8)"]) + 0.15
    # Alike in different panels, as in Fig. 2, but never in one.
    figure_2 = plot.colours([["Stream AC", "PPO1"], ["Stream Q", "DQN1"]])
    assert figure_2["Stream Q"] == figure_2["Stream AC"]
    assert figure_2["DQN1"] == figure_2["PPO1"]
    together = plot.colours([["Stream Q(0.8)", "Stream SARSA(0.8)", "mine", "mine, faster", "yours"]])
    assert len(set(together.values())) == 5


def test_ablated_arms_are_told_apart_in_grey() -> None:
    colours = plot.colours([[arm.label for arm in ABLATION]])
    levels = sorted(luminance(colour) for colour in colours.values())
    assert np.diff(levels).min() > 0.04


@pytest.mark.parametrize("width", [1.5, 4.0])
def test_wrapped_lines_fit_and_keep_every_word(width: float) -> None:
    text = "Hopper-v4, Walker2d-v4, dm_control/dog-stand-v0: 20M of 20M steps, 30 of 30 seeds (PPO 2, SAC1 2)."
    lines = plot.wrap(text, width, 6.5)
    assert " ".join(lines) == text
    assert len(lines) > 1
    assert all(plot.text_inches(line, 6.5) <= width + 0.02 for line in lines)
