"""Rank correlations of utilities: against scipy, and against losses that are taken one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from probes import generator
from scipy import stats

from algorithms.agent import LabelledSpaces, Sample
from algorithms.chain import chain, forward, loss_of
from algorithms.utility_quality import UtilityQuality, correlation, loss_without, ranks

NAMES = ("second_order", "first_order", "squared_gradient", "magnitude", "random")
SPACES = LabelledSpaces((5,), y_size=1)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=12))
def test_ranks_are_those_of_scipy(values):
    found = ranks(torch.tensor(values, dtype=torch.float64))
    np.testing.assert_allclose(found + 1, stats.rankdata(values))


def test_constant_vectors_have_no_correlation():
    assert correlation(torch.ones(4), torch.arange(4.0)) == 0


def measured(**settings):
    learner = UtilityQuality(hidden=(7, 6), **settings)
    g = generator(1)
    state = learner.init(g, SPACES)
    sample = Sample(torch.randn(5, generator=g), torch.randn(1, generator=g), torch.zeros(0))
    after, info = learner.step(state, sample)
    return state["parameters"], after["parameters"], sample, info


def true_weights(parameters, layers, sample, whole):
    found = {}
    for name, p in parameters.items():
        found[name] = torch.zeros_like(p)
        for place in np.ndindex(*p.shape):
            changed = {**parameters, name: p.clone()}
            changed[name][place] = 0
            found[name][place] = loss_of("squared", forward(layers, changed, sample.x)[-1], sample.y).loss - whole
    return [torch.cat([found[f"{n}.weight"].flatten(), found[f"{n}.bias"]]) for n in range(3)]


@pytest.mark.parametrize("when", ["before_update", "after_update"])
def test_correlations_of_weights_are_those_with_losses_without_them(when):
    before, after, sample, info = measured(measured=when, activation="tanh")
    layers = chain((5,), (7, 6), "tanh")
    own = before if when == "before_update" else after
    leaves = {name: p.clone().requires_grad_() for name, p in before.items()}
    whole = loss_of("squared", forward(layers, leaves, sample.x)[-1], sample.y).loss
    slopes = dict(zip(before, torch.autograd.grad(whole, list(leaves.values())), strict=True))
    true = true_weights(own, layers, sample, whole.detach())

    def parts(of):
        return [torch.cat([of(f"{n}.weight").flatten(), of(f"{n}.bias")]) for n in range(3)]

    cheap = {
        "first_order": parts(lambda name: -slopes[name] * own[name]),
        "squared_gradient": parts(lambda name: slopes[name] ** 2),
        "magnitude": parts(lambda name: own[name].abs()),
    }
    for name, found in cheap.items():
        expected = stats.spearmanr(torch.cat(true), torch.cat(found)).statistic
        assert info[name].item() == pytest.approx(expected, abs=2e-3), name  # losses are float32: near ties may turn round
        layerwise = np.mean([stats.spearmanr(a, b).statistic for a, b in zip(true, found, strict=True)])
        assert info[f"{name}_layerwise"].item() == pytest.approx(layerwise, abs=5e-3), name
    assert info["second_order"] > 0.9
    assert info["second_order"] > info["first_order"]
    assert abs(info["random"]) < 0.4


def test_features_are_taken_out_by_their_outputs():
    before, _, sample, info = measured(level="feature", activation="tanh")
    layers = chain((5,), (7, 6), "tanh")
    values = forward(layers, before, sample.x)
    whole = loss_of("squared", values[-1], sample.y).loss
    true, slopes = [], []
    for place, rest in ((2, layers[2:]), (4, layers[4:])):
        h = values[place].clone().requires_grad_()
        slopes.append(torch.autograd.grad(loss_of("squared", forward(rest, before, h)[-1], sample.y).loss, h)[0])
        without = values[place] * (1 - torch.eye(len(h)))
        losses = [loss_of("squared", forward(rest, before, row)[-1], sample.y).loss for row in without]
        true.append(torch.stack(losses) - whole)
    first = [-slope * values[place] for slope, place in zip(slopes, (2, 4), strict=True)]
    assert info["first_order"].item() == pytest.approx(stats.spearmanr(torch.cat(true), torch.cat(first)).statistic, abs=5e-3)
    layerwise = np.mean([stats.spearmanr(a, b).statistic for a, b in zip(true, first, strict=True)])
    assert info["first_order_layerwise"].item() == pytest.approx(layerwise, abs=5e-3)
    assert info["second_order"] > 0.9


def test_statistic_of_the_code_is_another_one():
    _, _, _, info = measured(correlation="argsort")
    _, _, _, true = measured()
    assert all(-1 <= info[name] <= 1 for name in NAMES)
    assert info["second_order"] < 0.8 < true["second_order"]


def test_it_needs_hidden_layers():
    with pytest.raises(ValueError, match="needs hidden layers"):
        UtilityQuality(hidden=()).init(generator(0), SPACES)


@pytest.mark.parametrize("when", ["before_update", "after_update"])
@pytest.mark.parametrize("level", ["weight", "feature"])
def test_slopes_and_curvatures_are_those_before_the_update(level, when):
    """With one hidden layer and one output HesScale is exact, so that autograd says what the utilities must be."""
    learner = UtilityQuality(hidden=(9,), activation="tanh", level=level, measured=when, step_size=0.3)
    g = generator(3)
    state = learner.init(g, SPACES)
    sample = Sample(torch.randn(5, generator=g), torch.randn(1, generator=g), torch.zeros(0))
    after, info = learner.step(state, sample)
    before, after, layers = state["parameters"], after["parameters"], chain((5,), (9,), "tanh")
    own = before if when == "before_update" else after
    names, sizes = list(before), [p.numel() for p in before.values()]

    def named(flat):
        return {n: part.reshape(before[n].shape) for n, part in zip(names, flat.split(sizes), strict=True)}

    def loss(flat, gates):
        return loss_without(layers, named(flat), [gates], sample.x, sample.y, "squared")

    flat = {id(p): torch.cat([p[n].flatten() for n in names]) for p in (before, own)}
    at, rated, ones = flat[id(before)], flat[id(own)], torch.ones(9)
    if level == "weight":
        slope, bend = torch.func.grad(loss)(at, ones), torch.func.hessian(loss)(at, ones).diagonal()
        cheap = -slope * rated + bend * rated**2 / 2
        without = [loss(rated.where(torch.arange(len(rated)) != i, 0.0), ones) for i in range(len(rated))]
    else:
        slope, bend = torch.func.grad(loss, 1)(at, ones), torch.func.hessian(loss, 1)(at, ones).diagonal()
        cheap = -slope + bend / 2
        without = [loss(rated, ones.where(torch.arange(9) != i, 0.0)) for i in range(9)]
    expected = stats.spearmanr(torch.stack(without), cheap).statistic
    assert info["second_order"].item() == pytest.approx(expected, abs=2e-3)
