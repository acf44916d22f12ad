"""TensorBoard files hold what the runs recorded, read back record by record."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from analysis_support import barrier, fill_as_published
from tensorboardX.proto.event_pb2 import Event
from typer.testing import CliRunner

from analysis import load, report, tensorboard
from experiments import catalog
from experiments.store import Store


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars of the one file in a folder, (step, value) by name."""
    (path,) = folder.glob("events.out.tfevents.*")
    content, found = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_every_finished_run_has_a_file_of_its_episodes(tmp_path):
    experiment, store = barrier(), Store(tmp_path / "runs")
    fill_as_published(store, experiment, skip={"SAC": 2, "Stream AC": 1})
    preset = experiment.preset("quick")
    places = tensorboard.write(preset, store, tmp_path / "events")
    runs = load.planned(preset)
    runs = runs[runs["run_id"].isin(store.finished())]
    assert len(places) == len(runs) == 5
    for place, run in zip(places, runs.itertuples(), strict=True):
        assert place == tmp_path / "events" / run.panel.replace("/", "_") / run.algorithm / f"seed {run.seed}"
        (stored,) = load.read(store, [run.run_id])
        found = scalars(place)
        assert [value for _, value in found["episodic_return"]] == pytest.approx(list(stored.episodes["episodic_return"]))
        assert [step for step, _ in found["length"]] == list(stored.episodes["step"])


def test_files_are_written_anew_and_not_beside_the_old_ones(tmp_path):
    experiment, store = barrier(), Store(tmp_path / "runs")
    fill_as_published(store, experiment)
    for _ in range(2):
        (place, *_) = tensorboard.write(experiment.preset("quick"), store, tmp_path / "events")
        scalars(place)  # of one file


def test_report_writes_them_where_it_is_asked_to(tmp_path, monkeypatch):
    experiment, store = barrier(), Store(tmp_path / "runs")
    fill_as_published(store, experiment)
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    words = ["barrier", "--store", str(store.root), "--results", str(tmp_path / "results")]
    answer = CliRunner().invoke(report.app, [*words, "--tensorboard", str(tmp_path / "events")])
    assert answer.exit_code == 0, answer.output
    assert f"TensorBoard files of {len(store.finished())} runs" in " ".join(answer.output.split())
    (tmp_path / "taken").write_text("")
    refused = CliRunner().invoke(report.app, [*words, "--tensorboard", str(tmp_path / "taken")])
    assert refused.exit_code == 2
    assert "choose another --tensorboard" in " ".join(refused.output.split())
