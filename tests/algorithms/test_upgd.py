"""UPGD against steps worked by hand, official numbers, and its own form as a PyTorch optimizer."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import generator

from algorithms.adam import adam, fresh_adam
from algorithms.agent import LabelledSpaces, Sample, leaves, map_state
from algorithms.chain import chain, forward, loss_of, slopes
from algorithms.hesscale import curvatures
from algorithms.labelled import WEIGHTS
from algorithms.noise import normal_like
from algorithms.upgd import UPGD, AdaUPGD, Scale, exponents, follow_utility, fresh_utility, perturbed, utility
from algorithms.upgd_learners import AdaUPGDLearner, UPGDLearner

OFFICIAL = json.loads((Path(__file__).parent / "oracles" / "upgd_steps.json").read_text())
CASES = [case for case in OFFICIAL["cases"] if "UPGD" in case["optimiser"]]
SIGMOID_1 = 1 / (1 + math.exp(-1))


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def tensors(record):
    return {f"{int(name[7]) - 1}.{name[9:]}": torch.tensor(value, dtype=torch.float64) for name, value in record.items()}


@pytest.mark.parametrize("case", CASES, ids=[case["optimiser"] for case in CASES])
def test_numbers_of_the_official_implementation(case):
    name, hyper = case["optimiser"], case["hyperparameters"]
    layers = chain((5,), (4, 3), case["network"].split()[1])
    scale = Scale("local" if "local" in name else "global")
    parameters = tensors(case["weights_before"])
    memory = fresh_utility(parameters)
    for step in case["steps"]:
        values = forward(layers, parameters, double(*step["input"]))
        loss, slope, curvature = loss_of("cross_entropy", values[-1], torch.tensor(step["target"]))
        gradient, at = slopes(layers, parameters, values, slope)
        diagonal, _ = curvatures(layers, parameters, values, at, curvature)
        assert loss.item() == pytest.approx(step["loss"], rel=1e-12)
        if "second" in name:
            found = map_state(utility, parameters, gradient, diagonal)
            for key, value in tensors(step["hesscale"]).items():
                np.testing.assert_allclose(diagonal[key], value, atol=1e-12)
        else:
            found = map_state(utility, parameters, gradient)
        memory = follow_utility(memory, found, hyper["beta_utility"])
        exponent, _ = exponents(memory, scale)
        noise = tensors(step["standard_normal_noise_before_sigma"])
        parameters = {
            key: perturbed(
                parameters[key],
                gradient[key],
                hyper["sigma"] * noise[key],
                exponent[key],
                hyper["lr"],
                1 - hyper["lr"] * hyper["weight_decay"],
                not name.startswith("N-"),
            )
            for key in parameters
        }
        for key in parameters:
            np.testing.assert_allclose(memory["trace"][key], tensors(step["utility_trace_uncorrected"])[key], atol=1e-12)
            np.testing.assert_allclose(parameters[key], tensors(step["weights_after"])[key], atol=1e-10)


def test_a_step_worked_by_hand():
    """Two weights, one step: U = (-0.4, 0.3), beta 1/2, corrected trace U, eta half of the largest."""
    w, g, noise = {"w": double(2.0, -1.0)}, {"w": double(0.2, 0.3)}, double(0.5, -0.5)
    memory = follow_utility(fresh_utility(w), map_state(utility, w, g), 0.5)
    assert memory["trace"]["w"].tolist() == [-0.2, 0.15]
    exponent, top = exponents(memory, Scale())
    assert top == 0.15
    np.testing.assert_allclose(exponent["w"], [-0.4 / 0.15, 0.3 / 0.15], rtol=1e-12)
    gate = 1 / (1 + np.exp(-np.array([-8 / 3, 2.0])))
    found = perturbed(w["w"], g["w"], noise, exponent["w"], 0.1, 1 - 0.1 * 0.01, True)
    np.testing.assert_allclose(found, [2 * 0.999 - 0.1 * 0.7 * (1 - gate[0]), -0.999 - 0.1 * -0.2 * (1 - gate[1])], rtol=1e-12)
    found = perturbed(w["w"], g["w"], noise, exponent["w"], 0.1, 1.0, False)
    np.testing.assert_allclose(
        found, [2 - 0.1 * (0.2 + 0.5 * (1 - gate[0])), -1 - 0.1 * (0.3 - 0.5 * (1 - gate[1]))], rtol=1e-12
    )


def test_second_order_utility_is_the_loss_of_the_weight_where_the_loss_is_a_parabola():
    for w in (-1.5, 0.3, 2.0):
        g, h = 3.0 * w - 1.0, 3.0  # of 1.5 w^2 - w
        assert utility(double(w), double(g), double(h)).item() == pytest.approx(0 - (1.5 * w * w - w))


traces = st.lists(st.floats(-10, 10).filter(lambda x: abs(x) > 1e-3), min_size=2, max_size=8)


@settings(max_examples=60)
@given(traces, st.floats(0, 0.9999), st.integers(1, 50))
def test_largest_gate_is_sigmoid_1_where_eta_is_corrected(utilities, beta, steps):
    memory = fresh_utility({"w": torch.zeros(len(utilities), dtype=torch.float64)})
    for step in range(steps):
        memory = follow_utility(memory, {"w": double(*utilities) * (1 + step % 3)}, beta)
    exponent, top = exponents(memory, Scale(eta_bias_corrected=True))
    gate = torch.sigmoid(exponent["w"])
    if max(utilities) > 0:
        assert gate.max().item() == pytest.approx(SIGMOID_1, rel=1e-9)
        raw = torch.sigmoid(exponents(memory, Scale())[0]["w"]).max().item()
        assert raw == pytest.approx(1 / (1 + math.exp(-1 / (1 - beta**steps))), rel=1e-6)
        assert raw >= SIGMOID_1 - 1e-12
    else:
        assert top <= 0
        assert (gate <= 0.5).all()


def test_gates_where_no_utility_is_positive():
    memory = follow_utility(fresh_utility({"w": torch.zeros(3)}), {"w": torch.tensor([-2.0, -1.0, 0.0])}, 0.9)
    for guard, eta in (("clamp", None), ("magnitude", 0.2)):
        exponent, top = exponents(memory, Scale(eta_guard=guard))
        gate = torch.sigmoid(exponent["w"])
        assert torch.isfinite(gate).all()
        assert gate[0] <= gate[1] <= gate[2] == 0.5  # the least useful is the most open
        if eta:
            assert top.item() == pytest.approx(eta)
    below = follow_utility(fresh_utility({"w": torch.zeros(2)}), {"w": torch.tensor([-2.0, -1.0])}, 0.9)
    turned = torch.sigmoid(exponents(below, Scale(eta_guard="none"))[0]["w"])
    assert turned[0] > turned[1] > 0.5  # as in the code: the less useful, the more protected
    assert torch.isnan(exponents(memory, Scale(eta_guard="none"))[0]["w"]).any()
    clamped = torch.sigmoid(exponents(below, Scale())[0]["w"])
    assert clamped.tolist() == [0.0, 0.0]


def test_eta_is_the_largest_of_all_layers():
    memory = follow_utility(
        fresh_utility({"a": torch.zeros(2), "b": torch.zeros(1)}),
        {"a": torch.tensor([1.0, -3.0]), "b": torch.tensor([4.0])},
        0.0,
    )
    exponent, top = exponents(memory, Scale())
    assert top == 4
    assert exponent["a"].tolist() == [0.25, -0.75]


def test_local_norms_are_over_the_incoming_weights_of_a_unit():
    u = {"weight": double(3.0, 4.0, 0.0, -2.0).reshape(2, 2), "bias": double(0.0, 0.0)}
    memory = follow_utility(fresh_utility(u), u, 0.9)
    exponent, _ = exponents(memory, Scale("local"))
    np.testing.assert_allclose(exponent["weight"], [[0.6, 0.8], [0.0, -1.0]], rtol=1e-12)
    assert exponent["bias"].tolist() == [0, 0]
    printed, _ = exponents(memory, Scale("local", local_norm_bias_corrected=False))
    np.testing.assert_allclose(printed["weight"], exponent["weight"] / 0.1, rtol=1e-9)


# Learners

SPACES = LabelledSpaces((5,), classes=3, task_steps=10)


def samples(count, seed=0):
    g = generator(seed)
    return [Sample(torch.randn(5, generator=g), torch.randint(3, (), generator=g), torch.zeros(0)) for _ in range(count)]


def course(learner, count=4, seed=3, state=None, spaces=SPACES):
    state = learner.init(generator(seed), spaces) if state is None else state
    states, infos = [state], []
    for sample in samples(count):
        state, info = learner.step(state, sample)
        states.append(state)
        infos.append(info)
    return states, infos


SMALL = {"hidden": (6, 4), "step_size": 0.1, "sigma": 0.2, "beta_utility": 0.9, "weight_decay": 0.05}
FORMS = [
    {},
    {"protecting": False},
    {"scaling": "local"},
    {"order": "second"},
    {"eta_bias_corrected": True},
    {"step_scale": 2.0},
]
OPTIMIZERS = {UPGD: UPGDLearner, AdaUPGD: AdaUPGDLearner}


class Drawn:
    """Hands out noise that has been drawn, in place of torch's."""

    def __init__(self, noise):
        self.noise = iter(noise)

    def __call__(self, shape, dtype=None, device=None, generator=None):
        found = next(self.noise)
        assert found.shape == shape
        return found.to(dtype).clone()


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
def test_optimizer_makes_the_update_of_the_learner(kind, form, monkeypatch):
    learner = OPTIMIZERS[kind](**{**SMALL, "activation": "tanh", **form})
    states, _ = course(learner)
    own = [p.clone().requires_grad_() for p in states[0]["parameters"].values()]
    settings_ = {"lr": 0.1, "weight_decay": 0.05, "beta_utility": 0.9, "sigma": 0.2, "step_scale": learner.step_scale} | form
    optimizer = kind(own, **settings_)
    layers = chain((5,), (6, 4), "tanh")
    for sample, state, after in zip(samples(4), states, states[1:], strict=False):
        named = dict(zip(state["parameters"], own, strict=True))
        values = forward(layers, named, sample.x)
        loss, slope, curvature = loss_of("cross_entropy", values[-1], sample.y)
        optimizer.zero_grad()
        loss.backward(retain_graph=True)
        with torch.no_grad():
            at = slopes(layers, named, values, slope)[1]
            for p, h in zip(own, curvatures(layers, named, values, at, curvature)[0].values(), strict=True):
                p.hesscale = h
        noise = normal_like(state["key"], state["steps"], WEIGHTS, state["parameters"])
        monkeypatch.setattr(torch, "randn", Drawn(noise.values()))
        optimizer.step()
        for p, expected in zip(own, after["parameters"].values(), strict=True):
            np.testing.assert_allclose(p.detach(), expected, rtol=2e-5, atol=2e-6)


def test_optimizer_learns_and_resumes_from_its_state_dict():
    def begun():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        return net, UPGD(net.parameters(), lr=0.05, sigma=0.01, generator=generator(1))

    def go_on(net, optimizer, count):
        x = torch.randn(16, 3, generator=generator(5))
        for _ in range(count):
            loss = (net(x).squeeze() - x.sum(1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    net, optimizer = begun()
    first, last = go_on(net, optimizer, 1), go_on(net, optimizer, 400)
    assert last < 0.2 * first
    saved = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
    again, other = begun()
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    other._generator.set_state(optimizer._generator.get_state())
    assert go_on(again, other, 5) == go_on(net, optimizer, 5)


def test_optimizer_says_what_is_wrong_with_its_settings():
    p = [torch.nn.Parameter(torch.ones(2))]
    with pytest.raises(ValueError, match="sigma must be at least 0; -1 is not"):
        UPGD(p, sigma=-1)
    with pytest.raises(ValueError, match="beta_utility must be less than 1"):
        AdaUPGD(p, beta_utility=1.0)
    p[0].grad = torch.ones(2)
    with pytest.raises(ValueError, match="hesscale"):
        UPGD(p, order="second").step()


def test_groups_share_eta_and_differ_in_the_rest():
    a, b = torch.nn.Parameter(torch.tensor([1.0])), torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = UPGD(
        [{"params": [a]}, {"params": [b], "lr": 0.2}], lr=0.1, sigma=0, weight_decay=0, beta_utility=0, step_scale=1
    )
    a.grad, b.grad = torch.tensor([-1.0]), torch.tensor([-4.0])
    optimizer.step()
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    assert a.item() == pytest.approx(1 + 0.1 * (1 - sigmoid(0.25)))
    assert b.item() == pytest.approx(1 + 0.2 * 4 * (1 - sigmoid(1)))


def test_adaupgd_without_noise_and_gates_is_adam_at_half_the_step():
    """Utilities that are zero leave every gate at 1/2, as where weights are zero."""
    p = torch.nn.Parameter(torch.zeros(3))
    optimizer = AdaUPGD([p], lr=0.1, sigma=0, weight_decay=0, step_scale=2, eta_guard="magnitude")
    p.grad = torch.tensor([1.0, -2.0, 0.5])
    optimizer.step()
    _, expected = adam(fresh_adam({"w": torch.zeros(3)}), {"w": torch.zeros(3)}, {"w": p.grad}, torch.tensor(0.1), 1e-5)
    np.testing.assert_allclose(p.detach(), expected["w"], rtol=1e-5)


def test_feature_utility_gates_the_weights_that_lead_to_the_feature():
    learner = UPGDLearner(**{**SMALL, "level": "feature", "beta_utility": 0.0, "activation": "tanh"})
    (before, after), _ = course(learner, 1)
    (sample,) = samples(1)
    parameters = before["parameters"]
    layers = chain((5,), (6, 4), "tanh")
    values = forward(layers, parameters, sample.x)
    gradient, at = slopes(layers, parameters, values, loss_of("cross_entropy", values[-1], sample.y).slope)
    features = {"0": -values[2] * at[2], "1": -values[4] * at[4]}
    eta = max(u.max() for u in features.values())
    assert eta > 0
    noise = normal_like(before["key"], before["steps"], WEIGHTS, parameters)
    for number, u in features.items():
        open_ = 1 - torch.sigmoid(u / eta)
        for kind, gate in (("weight", open_.unsqueeze(1)), ("bias", open_)):
            name = f"{number}.{kind}"
            expected = 0.995 * parameters[name] - 0.1 * (gradient[name] + 0.2 * noise[name]) * gate
            np.testing.assert_allclose(after["parameters"][name], expected, rtol=1e-5, atol=1e-7)
    for name in ("2.weight", "2.bias"):  # the output has no gate, and no noise
        np.testing.assert_allclose(
            after["parameters"][name], 0.995 * parameters[name] - 0.1 * gradient[name], rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize("wrong", [{"level": "feature", "activation": "linear"}, {"level": "feature", "hidden": ()}])
def test_feature_utility_needs_features(wrong):
    with pytest.raises(ValueError, match="choose level=weight"):
        UPGDLearner(**{**SMALL, **wrong}).init(generator(0), SPACES)


def test_noise_depends_on_key_and_step_and_not_on_the_stream():
    """With gates that never open for a gradient of zero the weights move by noise alone, whatever the samples were."""
    learner = UPGDLearner(**{**SMALL, "weight_decay": 0.0})
    state = learner.init(generator(3), SPACES)
    other = {**state, "key": state["key"] + 1}
    draws = [normal_like(s["key"], torch.tensor(n), WEIGHTS, s["parameters"]) for s in (state, other) for n in (0, 1)]
    flat = [torch.cat([x.flatten() for x in leaves(draw)]) for draw in draws]
    assert len({tuple(x.tolist()) for x in flat}) == 4
    quiet = {**state, "hyper": {**state["hyper"], "sigma": torch.tensor(0.0, dtype=torch.float64)}}
    moved = []
    for sample in samples(2, seed=8):
        loud, silent = learner.step(state, sample)[0], learner.step(quiet, sample)[0]
        memory = loud["memory"]["utility"]
        gate = torch.sigmoid(exponents(memory, Scale())[0]["0.weight"])
        moved.append((silent["parameters"]["0.weight"] - loud["parameters"]["0.weight"]) / (1 - gate) / 0.1 / 0.2)
    np.testing.assert_allclose(moved[0], moved[1], rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(moved[0], draws[0]["0.weight"], rtol=1e-2, atol=1e-3)


def test_what_is_told_is_what_the_paper_defines():
    learner = UPGDLearner(**{**SMALL, "diagnostics": True})
    states, infos = course(learner, 3)
    layers = chain((5,), (6, 4), "relu")
    for sample, before, after, info in zip(samples(3), states, states[1:], infos, strict=False):
        values, later = (forward(layers, s["parameters"], sample.x) for s in (before, after))
        loss, slope, _ = loss_of("cross_entropy", values[-1], sample.y)
        gradient, _ = slopes(layers, before["parameters"], values, slope)
        assert info["loss"] == loss
        assert info["accuracy"] == float(values[-1].argmax() == sample.y)
        new = loss_of("cross_entropy", later[-1], sample.y).loss
        assert info["plasticity"].item() == pytest.approx(min(max(1 - (new / loss).item(), 0), 1), abs=1e-6)
        hidden = torch.cat([later[2], later[4]])
        assert info["zero_activations"].item() == pytest.approx((hidden == 0).float().mean().item())
        w = torch.cat([p.flatten() for name, p in after["parameters"].items() if "weight" in name])
        g = torch.cat([p.flatten() for name, p in gradient.items() if "weight" in name])
        assert info["weight_l1"].item() == pytest.approx(w.abs().sum().item(), rel=1e-5)
        assert info["weight_l2"].item() == pytest.approx(w.norm().item(), rel=1e-5)
        assert info["gradient_l0"].item() == pytest.approx((g != 0).float().mean().item(), rel=1e-5)
        assert info["gradient_l1"].item() == pytest.approx(g.abs().sum().item(), rel=1e-5)
        assert info["gradient_l2"].item() == pytest.approx(g.norm().item(), rel=1e-5)
