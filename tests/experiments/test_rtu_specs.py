"""The experiments of RTU: the arms that explain a figure differ from those they explain in one thing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from algorithms.agent import leaves
from experiments.catalog import load_experiment
from experiments.expand import labelled_runs
from experiments.plan import spaces_of
from experiments.registry import make_learner
from experiments.spec import Run


def first_runs(preset: str) -> Mapping[str, Run]:
    """Return a run of every arm of Walker2d's velocities, of the first seed, by label."""
    runs = labelled_runs(load_experiment("masked_mujoco").presets[preset])
    return {arm.label: run for row, arm, run in runs if row.panel == "Walker2d, V" and run.seed == 0}


def weights(run: Run) -> int:
    state = make_learner(run).init(torch.Generator().manual_seed(0), spaces_of(run.env_id, run.environment))
    return sum(leaf.numel() for name in ("actor", "critic") for leaf in leaves(state[name]))


@pytest.mark.parametrize("preset", ["width", "bound"])
def test_arms_that_are_explained_are_runs_of_the_figure(preset):
    """Theirs is the network with LayerNorm in all layers, which preset `readout` has beside that of the figure."""
    readout, explaining = first_runs("readout"), first_runs(preset)
    explained = {label: readout[f"{label}, LN in all"].run_id for label in ("Stream AC-RTU", "Stream AC-FFN")}
    assert {label: explaining[label].run_id for label in explained} == explained


def test_layer_norm_behind_the_cell_is_all_that_preset_readout_compares():
    readout, million = first_runs("readout"), first_runs("million")
    for label in million:
        own, other = (dict(readout[name].hyperparameters) for name in (label, f"{label}, LN in all"))
        assert own == dict(million[label].hyperparameters)
        assert own == {**other, "normalized_layers": 1}


def test_wide_network_is_as_large_as_that_with_rtus():
    runs = first_runs("width")
    sizes = {label: weights(run) for label, run in runs.items()}
    assert sizes == {"Stream AC-RTU": 101_965, "Stream AC-FFN": 11_085, "Stream AC-FFN, wide": 101_965}
    assert "cell" not in dict(runs["Stream AC-FFN, wide"].hyperparameters)


def test_looser_bound_is_all_that_its_arms_change():
    runs = first_runs("bound")
    loose = {label: run for label, run in runs.items() if label.endswith(", kappa/4")}
    assert len(loose) == 3
    for label, run in loose.items():
        changed = dict(run.hyperparameters)
        twin = dict(runs[label.removesuffix(", kappa/4")].hyperparameters)
        for kappa in ("kappa_policy", "kappa_value"):
            assert 4 * changed.pop(kappa) == twin.pop(kappa)
        assert changed == twin


@pytest.mark.parametrize("preset", ["paper", "draft", "laptop", "schedule", "quick"])
def test_last_action_is_not_standardised_in_figure_2(preset):
    runs = [run for _, _, run in labelled_runs(load_experiment("popgym").presets[preset])]
    assert runs
    for run in runs:
        spaces = spaces_of(run.env_id, run.environment)
        assert spaces.as_is == spaces.action_size


def test_standardising_the_last_action_is_all_that_preset_last_action_compares():
    runs = labelled_runs(load_experiment("popgym").presets["last_action"])
    by_panel = [{(run.algorithm, run.seed): run for row, _, run in runs if bool(row.panel) == named} for named in (False, True)]
    as_it_is, standardised = by_panel
    assert as_it_is.keys() == standardised.keys()
    for key, run in as_it_is.items():
        other = standardised[key]
        assert (run.env_id, run.steps, run.hyperparameters) == (other.env_id, other.steps, other.hyperparameters)
        assert [spaces_of(r.env_id, r.environment).as_is for r in (run, other)] == [4, 0]
