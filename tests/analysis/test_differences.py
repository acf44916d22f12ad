"""What came out differently is told in words, with the reason that somebody wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis_support import ABLATION, publish_episodes

from analysis import readme, report
from analysis.aggregates import REASONS, read_aggregates
from analysis.differences import NOT_EXPLAINED, differences
from analysis.wording import number
from experiments.errors import UserError
from experiments.expand import runs_of
from experiments.spec import Experiment, Preset, Row
from experiments.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a report of Walker2d: Stream AC at 1,000, published at 2,538, and an arm at 3, published at 3.7."""
    row = Row("Walker2d-v4", ABLATION[:2], steps=2_000_000, seeds=4, bin_width=50_000)
    experiment = Experiment(
        "ablation",
        "What it is worth",
        "Stream-X (arXiv:2410.14606v2), Fig. 7",
        {"anchors": Preset("", (row,))},
        "learning_curves",
    )
    store = Store(tmp_path / "runs")
    for run in runs_of(experiment, "anchors"):
        level = 1000.0 if run.algorithm == ABLATION[0].algorithm else 3.0
        publish_episodes(store, run, [1_990_000, 2_000_000], [level, level + run.seed])
    return report.build(experiment, "anchors", store, tmp_path / "results").folder


def test_only_what_is_outside_is_told_and_its_reason_beside_it(folder: Path) -> None:
    (one,) = differences(read_aggregates(folder))
    assert (one.place, one.verdict, one.why) == ("Stream AC(0.8) on Walker2d-v4", "below", NOT_EXPLAINED)
    assert one.words.startswith("after 2M steps ours is 1,001 ")
    assert "the paper's 2,538 (Fig.\N{NO-BREAK SPACE}7): lower by 1,537" in one.words
    assert one.difference == pytest.approx(1000.75 - 2538, abs=1)

    (folder / REASONS).write_text('"Stream AC(0.8) on Walker2d-v4" = "The floor was slippery."\n')
    (one,) = differences(read_aggregates(folder))
    assert one.why == "The floor was slippery."
    line = readme.differences_section(folder.parents[1])
    assert line.startswith(
        "- **Stream AC(0.8) on Walker2d-v4**, `ablation`, preset [anchors](ablation/anchors/figures/ablation.png), below: "
    )
    assert line.endswith(" The floor was slippery.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Stream AC on Walker2d-v4: it was slippery\n", "is not TOML"),
        ("[Walker2d-v4]\nwhy = 'it was slippery'\n", "has no words for 'Walker2d-v4'"),
    ],
)
def test_reasons_that_cannot_be_read_are_named_with_what_a_line_looks_like(folder: Path, text: str, told: str) -> None:
    (folder / REASONS).write_text(text)
    with pytest.raises(UserError, match=rf'different\.toml {told}.*"ARM on PANEL" = "why"'):
        differences(read_aggregates(folder))


def test_every_checked_in_reason_is_of_an_arm_that_is_outside() -> None:
    written = sorted(readme.RESULTS.glob(f"*/*/{REASONS}"))
    assert written
    for path in written:
        found = read_aggregates(path.parent)
        outside = {f"{one.algorithm} on {one.panel}" for one in differences(found)}
        assert set(found.reasons) <= outside, f"{path} explains what is not outside any more"


@pytest.mark.parametrize(
    ("value", "like", "shown"),
    [
        (1234.4, None, "1,234"),
        (-17.04, None, "\N{MINUS SIGN}17.0"),
        (0.537, None, "0.54"),
        (-0.0099, None, "\N{MINUS SIGN}0.0099"),  # with two decimals it would be a hundredth, or nothing
        (0.0, None, "0.00"),
        (0.0025, -0.18, "0.00"),
        (-0.001, 5.0, "0.00"),
    ],
)
def test_numbers_have_as_many_decimals_as_their_size_deserves(value: float, like: float | None, shown: str) -> None:
    assert number(value, like) == shown
