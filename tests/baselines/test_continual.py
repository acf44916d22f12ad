"""Rules that UPGD is compared with: a step worked by hand each, official numbers, and torch's own optimizers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from algorithms.agent import LabelledSpaces, Sample, hyperparameters
from algorithms.chain import LossValue
from algorithms.labelled import WEIGHTS, Pass
from algorithms.noise import normal_like
from baselines import continual
from baselines.continual import PGD, SGD, Adam, ShrinkAndPerturb

ORACLES = Path(__file__).parents[1] / "algorithms" / "oracles" / "upgd_steps.json"
CASES = [case for case in json.loads(ORACLES.read_text())["cases"] if "UPGD" not in case["optimiser"]]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def double(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def moved(learner, parameters, gradients):
    """Return the parameters after updates by given gradients, and the noise of each."""
    memory = learner._fresh(parameters, LabelledSpaces((2,), classes=2))
    state = {"hyper": hyperparameters(learner), "parameters": parameters, "memory": memory}
    courses, noises = [], []
    for number, gradient in enumerate(gradients):
        state |= {"key": torch.tensor(5), "steps": torch.tensor(number)}
        noises.append(normal_like(state["key"], state["steps"], WEIGHTS, parameters))
        passed = Pass((), [], LossValue(*[torch.zeros(())] * 3), gradient, [])
        state["memory"], state["parameters"], _ = learner._update(state, passed)
        courses.append(state["parameters"])
    return courses, noises


W, G = {"0.weight": double(2.0, -1.0)}, {"0.weight": double(0.5, 3.0)}


def test_sgd_by_hand():
    (after,), _ = moved(SGD(step_size=0.1, weight_decay=0.5), W, [G])
    np.testing.assert_allclose(after["0.weight"], [2 - 0.1 * (0.5 + 0.5 * 2), -1 - 0.1 * (3 - 0.5)], rtol=1e-12)


def test_pgd_by_hand():
    (after,), (noise,) = moved(PGD(step_size=0.1, sigma=0.2, sigma_scale=0.5), W, [G])
    n = noise["0.weight"].double()
    assert n.abs().min() > 0
    np.testing.assert_allclose(after["0.weight"], [2 - 0.1 * (0.5 + 0.1 * n[0]), -1 - 0.1 * (3 + 0.1 * n[1])], rtol=1e-12)


def test_shrink_and_perturb_by_hand():
    (after,), (noise,) = moved(ShrinkAndPerturb(step_size=0.1, sigma=0.2, weight_decay=0.5), W, [G])
    n = noise["0.weight"].double()
    expected = [0.95 * 2 - 0.1 * (0.5 + 0.2 * n[0]), 0.95 * -1 - 0.1 * (3 + 0.2 * n[1])]
    np.testing.assert_allclose(after["0.weight"], expected, rtol=1e-12)


def test_adam_is_adamw_of_torch():
    gradients = [{"0.weight": double(*row)} for row in ((0.5, 3.0), (-1.0, 0.1), (0.2, 0.0))]
    settings = {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-3, "weight_decay": 0.3}
    courses, _ = moved(Adam(step_size=0.1, **settings), W, gradients)
    own = W["0.weight"].clone().requires_grad_()
    optimizer = torch.optim.AdamW([own], lr=0.1, betas=(0.9, 0.99), eps=1e-3, weight_decay=0.3)
    for gradient, after in zip(gradients, courses, strict=True):
        own.grad = gradient["0.weight"].clone()
        optimizer.step()
        np.testing.assert_allclose(after["0.weight"], own.detach(), rtol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=[case["optimiser"] for case in CASES])
def test_numbers_of_the_official_implementation(case, monkeypatch):
    hyper = case["hyperparameters"]
    kind, more = (PGD, {}) if case["optimiser"] == "PGD" else (ShrinkAndPerturb, {"weight_decay": hyper["decay"]})
    learner = kind(step_size=hyper["lr"], sigma=hyper["sigma"], hidden=(4, 3), **more)

    def tensors(record):
        return {f"{int(name[7]) - 1}.{name[9:]}": torch.tensor(value, dtype=torch.float64) for name, value in record.items()}

    state = learner.init(generator(0), LabelledSpaces((5,), classes=2))
    state["parameters"] = tensors(case["weights_before"])
    for step in case["steps"]:
        noise = tensors(step["standard_normal_noise_before_sigma"])
        monkeypatch.setattr(continual, "normal_like", lambda *_, noise=noise: noise)
        state, info = learner.step(state, Sample(double(*step["input"]), torch.tensor(step["target"]), torch.zeros(0)))
        assert info["loss"].item() == pytest.approx(step["loss"], rel=1e-12)
        for name, value in tensors(step["weights_after"]).items():
            np.testing.assert_allclose(state["parameters"][name], value, atol=1e-10)
