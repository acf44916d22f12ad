"""The tables that are generated from results."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_support import ABLATION, OPTIMISERS, publish

from analysis import readme, report
from experiments.expand import runs_of
from experiments.spec import Experiment, Preset, Row
from experiments.store import Store


def test_readme_lists_checked_in_reports_with_budget_and_final_comparison(tmp_path: Path) -> None:
    results = tmp_path / "results"
    rows = tuple(Row(env_id, ABLATION[:2], steps=2_000_000, seeds=2, bin_width=50_000) for env_id in ("Ant-v4", "Hopper-v4"))
    presets = {name: Preset("", rows) for name in ("anchors", "quick")}
    presets["paper"] = Preset("", tuple(dataclasses.replace(row, seeds=30) for row in rows))
    ablation = Experiment("ablation", "What it is worth", "Stream-X (arXiv:2410.14606v2), Fig. 7", presets, "learning_curves")
    row = Row("Hopper-v4", OPTIMISERS[:1], steps=10_000, seeds=1, bin_width=1000)
    own = Experiment("far", "How far", "ours", {"laptop": Preset("", (row,))}, "overshooting", kind="metrics")
    store = Store(tmp_path / "runs")
    for run in runs_of(ablation, "anchors"):
        episodes = {
            "step": np.array([2_000_000]),
            "episodic_return": np.array([1000.0 + 4 * run.seed]),
            "length": np.ones(1, np.int32),
        }
        publish(store, run, {"episodes": episodes})
    publish(store, runs_of(own, "laptop")[0], {"metrics": {"step": np.array([10_000]), "trace_norm": np.array([3.0])}})
    report.build(ablation, "anchors", store, results)
    report.build(ablation, "quick", store, results)
    report.build(ablation, "anchors", store, results, seeds=1)
    report.build(own, "laptop", store, results)
    finding = "Every part is worth\nsomething.\n"
    (results / "ablation/anchors/finding.txt").write_text(finding)
    report.build(ablation, "anchors", store, results)
    assert (results / "ablation/anchors/finding.txt").read_text() == finding
    text = readme.filled("before\n<!-- experiments -->\nold\n<!-- end -->\nafter\n", results)
    assert text.startswith(
        "before\n<!-- experiments -->\n**What it is worth** (Fig. 7), preset `anchors`. 2M of 2M steps, 2 of 30 seeds."
    )
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    assert "](ablation/anchors/figures/ablation.png)\n\nEvery part is worth something.\n\n|" in text
    # Two runs 4 apart: s = 2.83, t(0.95, 1) = 6.31.
    assert "| Hopper-v4 | 1,002 ± 12.6 (1,786) | 1,002 ± 12.6 (22) |" in text
    assert text.count("**What it is worth**") == 1
    assert text.index("Fig. 7") < text.index("**How far** (ours), preset `laptop`")
    assert "| Hopper-v4, ObGD | 3 |" in text
    assert json.loads((results / "far/laptop/manifest.json").read_text())["rows"][0]["paper"] is None


def test_status_lists_every_experiment_with_what_is_checked_in_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results"
    row = Row("Hopper-v4", ABLATION[:1], steps=500_000, seeds=1, bin_width=50_000)
    presets = {"anchors": Preset("", (row,)), "paper": Preset("", (dataclasses.replace(row, steps=2_000_000),))}
    presets["mixed"] = Preset("", (row, dataclasses.replace(row, env_id="Ant-v4", steps=300_000)))
    made = Experiment("made", "What it is worth", "Stream-X (arXiv:2410.14606v2), Fig. 7", presets, "learning_curves")
    others = [
        Experiment("own", "Our own", "ours", presets, "learning_curves"),
        Experiment("buffer", "A buffer", "AVG (arXiv:2411.15370), Fig. 1", presets, "learning_curves"),
    ]
    store = Store(tmp_path / "runs")
    for run in runs_of(made, "mixed"):
        episodes = {"step": np.array([run.steps]), "episodic_return": np.ones(1), "length": np.ones(1, np.int32)}
        publish(store, run, {"episodes": episodes})
    for preset in ("anchors", "mixed"):
        report.build(made, preset, store, results)
    known = {one.name: one for one in (*others, made)}
    monkeypatch.setattr(readme, "experiment_names", lambda: list(known))
    monkeypatch.setattr(readme, "load_experiment", known.__getitem__)
    assert readme.status_table(results).splitlines()[2:] == [
        "| Fig. 7 | `made` | What it is worth | [anchors](results/made/anchors/figures/made.png), 500k of 2M steps; "
        "[mixed](results/made/mixed/figures/made.png), up to 500k of 2M steps |",
        "| AVG, Fig. 1 | `buffer` | A buffer | nothing yet |",
        "| ours | `own` | Our own | nothing yet |",
    ]


def test_readme_without_a_marker_stays_as_it_is(tmp_path: Path) -> None:
    assert readme.filled("nothing to fill\n", tmp_path) == "nothing to fill\n"


def test_readme_section_is_empty_before_anything_is_checked_in(tmp_path: Path) -> None:
    text = "a\n<!-- experiments -->\n<!-- end -->\nb\n"
    assert readme.filled(text, tmp_path) == text
    assert readme.filled(text.replace("<!-- end", "old\n<!-- end"), tmp_path) == text


def test_stream_x_comes_before_avg_and_ours_last() -> None:
    def place(source: str, name: str = "x") -> Any:
        return readme._place(source, name)

    sources = [
        "Stream-X (arXiv:2410.14606v2), Fig. 2",
        "Stream-X (arXiv:2410.14606v2), Figs. 6 and 12",
        "AVG (arXiv:2411.15370), Fig. 1",
        "ours, quantities of Stream-X (arXiv:2410.14606v2), section 3.2",
    ]
    assert sorted({*sources}, key=place) == sources
