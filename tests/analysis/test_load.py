"""Reading runs out of a store."""

from __future__ import annotations

from pathlib import Path

from analysis_support import STREAM, barrier, publish_episodes

from analysis import load
from experiments.expand import labelled_runs
from experiments.spec import Arm
from experiments.store import Store


def test_episodes_frame_has_every_episode_of_every_run(tmp_path: Path) -> None:
    experiment, store = barrier(arms=(STREAM, Arm("the same again", "stream_ac")), steps=30, width=10), Store(tmp_path)
    for run in dict.fromkeys(run for _, _, run in labelled_runs(experiment.preset("quick"))):
        if run.seed:
            publish_episodes(store, run, [10, 30], [1.0, run.seed])
    loaded = load.load(experiment.preset("quick"), store)
    columns = ["panel", "env_id", "algorithm", "run_id", "seed", "step", "episodic_return", "length", "status"]
    assert loaded.episodes.columns.tolist() == columns
    assert len(loaded.episodes) == 8
    assert loaded.episodes["length"].tolist() == [10, 20] * 4
    assert loaded.episodes.groupby("algorithm", observed=True)["episodic_return"].sum().tolist() == [5.0, 5.0]
    assert len(loaded.missing) == 1
    assert "-s0-" in loaded.missing[0]
