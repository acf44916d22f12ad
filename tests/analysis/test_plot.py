"""Text and files of figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis import plot


def test_the_same_figure_gives_the_same_bytes_in_every_format(tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        with plot.style():
            figure = Figure(figsize=(2, 1), layout="constrained")
            figure.subplots().plot([0, 1], [0, 1], label="line")
            made.append([path.read_bytes() for path in plot.save(figure, tmp_path / name)])
    assert made[0] == made[1]
    assert [path.suffix for path in sorted(tmp_path.glob("one.*"))] == [".pdf", ".png", ".svg"]
    pdf = (tmp_path / "one.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"CreationDate" not in pdf


@pytest.mark.parametrize("width", [1.5, 4.0])
def test_wrapped_lines_fit_and_keep_every_word(width: float) -> None:
    text = "Hopper-v4, Walker2d-v4, dm_control/dog-stand-v0: 20M of 20M steps, 30 of 30 seeds (PPO 2, SAC1 2)."
    lines = plot.wrap(text, width, 6.5)
    assert " ".join(lines) == text
    assert len(lines) > 1
    assert all(plot.text_inches(line, 6.5) <= width + 0.02 for line in lines)
