"""The experiments of UPGD: settings derived from their search."""

from pathlib import Path

from analysis.aggregates import folders, read_aggregates
from experiments.specs.upgd.digits_arms import BEST, LEARNERS, searched

ROOT = Path(__file__).parents[2]


def test_settings_for_the_digits_are_the_best_of_the_search_by_mean_online_accuracy():
    (folder,) = folders("permuted_digits", ROOT / "results", "search")
    found = read_aggregates(folder)
    curves = found.curves[found.curves["metric"] == "accuracy"]
    runs = curves.groupby(["algorithm", "seed"], observed=True)["value"].agg(["mean", "count"])
    whole = runs[runs["count"] == curves["step"].nunique()]  # the others diverged
    scores = whole["mean"].groupby("algorithm", observed=True).mean()
    arms = {arm.label: arm.hyperparameters for arm in searched()}
    assert len(arms) == sum(1 for run in found.manifest["rows"][0]["arms"])
    for label, _, _, grid in LEARNERS:
        best = scores[[name for name in scores.index if name.partition(",")[0] == label]].idxmax()
        assert BEST[label] == {name: arms[best][name] for name in grid}
