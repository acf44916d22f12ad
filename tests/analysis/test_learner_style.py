"""Every two learners that meet in a figure are told apart: by colour, also without red or green, or else by marker or dash."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from colour_vision import VISIONS, Vision, ciede2000, distance

from analysis import learner_style
from analysis.learner_style import STYLES, Style, styles
from experiments import catalog
from experiments.spec import Preset

# From this CIEDE2000 distance on colours alone tell learners apart; two neighbouring colours of Okabe and Ito have about 10.
APART = 10.0
# Figures that write each learner's name beside its own row need nothing else.
NAMED = ("throughput", "resource_cost", "upgd_update_time", "hyperparameter_search")
# Figures in which the settings of a method are the points of one line.
BY_METHOD = (*NAMED, "replay_buffer", "rtrl_cost")
SEEN_IN_COLOUR: tuple[Vision, ...] = ("normal", "protanopia", "deuteranopia")


def means(one: Style, other: Style, vision: Vision) -> tuple[str, ...]:
    """Return by what two learners are told apart."""
    found = ["colour"] if distance(one.colour, other.colour, vision) >= APART else []
    found += ["marker"] if one.marker != other.marker else []
    return (*found, "dash") if one.dash != other.dash else tuple(found)


def shown(name: str) -> dict[str, Preset]:
    """Return the presets of an experiment that are no search, in which each learner is one row of dots."""
    presets = catalog.load_experiment(name).presets
    return {key: preset for key, preset in presets.items() if max(len(row.arms) for row in preset.rows) < 40}


def learners_of(preset: Preset, figure: str = "") -> list[list[str]]:
    # How fast the machine calculates is told in words.
    panels = [[arm.label for arm in row.arms if arm.label != "arithmetic"] for row in preset.rows]
    return [list(dict.fromkeys(map(learner_style.method, panel))) for panel in panels] if figure in BY_METHOD else panels


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, -1.0, 2.0), (50.0, 0.0, 0.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
        ((50.0, -0.001, 2.49), (50.0, 0.0011, -2.49), 4.7461),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_has_the_published_values(one: tuple[float, ...], other: tuple[float, ...], expected: float) -> None:
    assert ciede2000(np.array(one), np.array(other)) == pytest.approx(expected, abs=5e-5)


def test_simulated_vision_leaves_grey_as_it_is_and_takes_red_from_green() -> None:
    for vision in VISIONS:
        assert distance("#777777", "#777777", vision) == pytest.approx(0, abs=1e-9)
        assert distance("#000000", "#ffffff", vision) == pytest.approx(100, abs=0.1)
    # Of the same luminance: far apart for most, near for some.
    red, green = "#d62728", "#5f7a1c"
    assert distance(red, green) > 50
    assert distance(red, green, "deuteranopia") < 20
    assert distance(red, green, "grey") < 3


@pytest.mark.parametrize("name", [n for n in catalog.experiment_names() if n != "avg_hyperparameter_search"])
def test_learners_that_meet_in_a_figure_are_told_apart(name: str) -> None:
    for preset in shown(name).values():
        looks = styles(learners_of(preset, catalog.load_experiment(name).figure))
        for one, other in combinations(looks, 2):
            for vision in VISIONS:
                by = means(looks[one], looks[other], vision)
                assert by, f"{name}: {one} and {other} are alike under {vision}"


@pytest.mark.parametrize("name", [n for n in catalog.experiment_names() if catalog.load_experiment(n).figure not in NAMED])
def test_colours_alone_tell_learners_of_a_panel_apart_for_people_without_red_or_green(name: str) -> None:
    for preset in shown(name).values():
        for panel in learners_of(preset):
            # Settings of one learner share its hue; markers and dashes are for them.
            methods = {learner_style.method(label): label for label in reversed(panel)}
            for (a, one), (b, other) in combinations(methods.items(), 2):
                for vision in SEEN_IN_COLOUR:
                    apart = distance(STYLES[a].colour, STYLES[b].colour, vision)
                    assert apart >= APART, f"{name}: {one} and {other} are {apart:.1f} apart under {vision}"


def test_ten_learners_of_one_panel_in_grey_are_told_apart_by_markers() -> None:
    preset = shown("input_permuted_mnist")["paper"]
    looks = styles(learners_of(preset))
    pairs = list(combinations(looks.values(), 2))
    by_colour = [pair for pair in pairs if distance(pair[0].colour, pair[1].colour, "grey") >= APART]
    assert 0 < len(by_colour) < len(pairs)  # what colours alone cannot do
    assert len({look.marker for look in looks.values()}) == len(looks) == 10


def test_six_learners_of_the_ablation_in_grey_have_markers_of_their_own() -> None:
    looks = styles(learners_of(shown("stream_ac_ablation")["paper"]))
    assert len({look.marker for look in looks.values()}) == len(looks) == 6
    assert looks["Stream AC(0.8)"].dash == learner_style.SOLID
    assert {looks[label].dash for label in looks if label.startswith("no ")} == {learner_style.DASHDOT}


def test_settings_of_a_learner_derive_from_it_and_are_told_apart() -> None:
    panel = ["UPGD-W, local", "UPGD-W", "UPGD-W, feature-wise", "UPGD-W, feature-wise local"]
    looks = styles([panel])
    assert looks["UPGD-W"] == STYLES["UPGD-W"]
    assert {look.marker for look in looks.values()} == {"o"}
    assert len({look.dash for look in looks.values()}) == 4
    # Alike in different panels, never in one.
    apart = styles([["Stream AC(0.8)"], ["Stream AC(0)"]])
    assert apart["Stream AC(0.8)"] == apart["Stream AC(0)"] == STYLES["Stream AC"]


def test_a_learner_has_one_look_in_all_figures() -> None:
    seen: dict[str, set[Style]] = {}
    for name in catalog.experiment_names():
        for preset in shown(name).values():
            for label, look in styles(learners_of(preset)).items():
                if label in STYLES:
                    seen.setdefault(label, set()).add(look)
    assert len(seen) > 50
    assert {label: looks for label, looks in seen.items() if len(looks) > 1} == {}


def test_learners_of_ones_own_have_looks_of_their_own() -> None:
    looks = styles([["Stream Q(0.8)", "Stream SARSA(0.8)", "mine", "mine, faster", "yours"]])
    assert len({(look.colour, look.dash) for look in looks.values()}) == 5
    known = {look.colour for look in STYLES.values()}
    assert looks["mine"].colour not in known
    assert looks["yours"].colour not in known
