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
from baselines.continual import PGD, SGD, Adam, AdamRestarts, ShrinkAndPerturb
from baselines.continual_importance import StreamingEWC, StreamingMAS, StreamingRWalk, StreamingSI
from baselines.continual_replacement import ContinualBackprop, GenerateAndTest

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


# Methods against forgetting, each beside its formula written for one weight in plain numbers.

GRADIENTS = [(0.5, 3.0), (-1.0, 0.1), (0.2, -2.0), (0.4, 0.4)]
BETA_I, BETA_W, KAPPA, ALPHA, DAMPING = 0.8, 0.9, 0.7, 0.1, 1e-3


def ewc(past, g, w, t):
    past["f"] = BETA_I * past.get("f", 0) + (1 - BETA_I) * g * g
    return past["f"] / (1 - BETA_I**t)


def mas(past, g, w, t):
    past["f"] = BETA_I * past.get("f", 0) + (1 - BETA_I) * abs(g)
    return past["f"] / (1 - BETA_I**t)


def si(past, g, w, t):
    before = past.get("w", past["start"])
    past["o"] = BETA_I * past.get("o", 0) + (1 - BETA_I) * g * (before - w)
    past["d"] = BETA_I * past.get("d", 0) + (1 - BETA_I) * (before - w)
    past["w"] = w
    c = 1 - BETA_I**t
    return (past["o"] / c) / ((past["d"] / c) ** 2 + DAMPING)


def rwalk_code(past, g, w, t):
    before = past.get("w", past["start"])
    score = max(0, g * (before - w) / (0.5 * past.get("f", 0) * (w - before) ** 2 + DAMPING))
    past["f"] = BETA_I * past.get("f", 0) + (1 - BETA_I) * w * w
    past["w"] = w
    return 0.5 * score + past["f"] / (1 - BETA_I**t)


def rwalk_paper(past, g, w, t):
    before, c = past.get("w", past["start"]), 1 - BETA_I**t
    past["f"] = BETA_I * past.get("f", 0) + (1 - BETA_I) * g * g
    past["o"] = BETA_I * past.get("o", 0) + (1 - BETA_I) * g * (before - w)
    past["w"] = w
    score = past["o"] / c / (0.5 * past["f"] / c * (w - before) ** 2 + DAMPING)
    past["s"] = 0.5 * past.get("s", 0) + 0.5 * score
    return past["s"] + past["f"] / c


PULLS = [
    (StreamingEWC, {}, ewc),
    (StreamingMAS, {}, mas),
    (StreamingSI, {}, si),
    (StreamingSI, {"first_step_from": "initial_weights"}, si),
    (StreamingRWalk, {}, rwalk_code),
    (StreamingRWalk, {"rwalk_variant": "paper", "first_step_from": "initial_weights"}, rwalk_paper),
]


@pytest.mark.parametrize(("kind", "options", "importance"), PULLS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_weights_are_drawn_back_by_their_importance(kind, options, importance):
    learner = kind(step_size=ALPHA, kappa=KAPPA, beta_importance=BETA_I, beta_weight=BETA_W, **options)
    courses, _ = moved(learner, W, [{"0.weight": double(*row)} for row in GRADIENTS])
    for place, start in enumerate(W["0.weight"].tolist()):
        w, mean, past = start, 0.0, {"start": start if "first_step_from" in options else 0.0}
        for t, (row, after) in enumerate(zip(GRADIENTS, courses, strict=True), 1):
            mean = BETA_W * mean + (1 - BETA_W) * w
            omega = importance(past, row[place], w, t)
            w -= ALPHA * (row[place] + KAPPA * omega * (w - mean / (1 - BETA_W**t)))
            assert after["0.weight"][place].item() == pytest.approx(w, rel=1e-9)


# Learners that replace units.

SPACES = LabelledSpaces((3,), classes=2, task_steps=10)


def course(learner, count, spaces=SPACES):
    g = generator(2)
    states, infos = [learner.init(generator(1), spaces)], []
    for number in range(count):
        form = (learner.form(number),) if hasattr(learner, "form") else ()
        sample = Sample(torch.randn(3, generator=g), torch.randint(2, (), generator=g), torch.zeros(0))
        state, info = learner.step(states[-1], sample, *form)
        states.append(state)
        infos.append(info)
    return states, infos


def test_continual_backprop_replaces_the_least_useful_mature_unit():
    settings = {"hidden": (4,), "step_size": 0.0, "contribution": "plain", "beta_utility": 0.5, "maturity": 2.0}
    learner = ContinualBackprop(**settings, replacement_rate=0.25)
    states, infos = course(learner, 3)
    assert [info["replaced_units"].item() for info in infos] == [0, 0, 1]  # 0.25 of 4 units is one, once they are mature
    before, after = states[2]["parameters"], states[3]["parameters"]
    g = generator(2)
    h = []
    for _ in range(3):
        x = torch.randn(3, generator=g)
        torch.randint(2, (), generator=g)
        h.append((before["0.weight"] @ x + before["0.bias"]).relu())
    utility = (0.125 * h[0] + 0.25 * h[1] + 0.5 * h[2]) * before["1.weight"].abs().mean(0)
    worst = int(utility.argmin())
    others = [unit for unit in range(4) if unit != worst]
    for name in ("0.weight", "0.bias"):
        np.testing.assert_array_equal(after[name][others], before[name][others])
    assert not torch.equal(after["0.weight"][worst], before["0.weight"][worst])
    assert after["0.weight"][worst].abs().max() <= 3**-0.5
    assert after["0.bias"][worst] == 0
    np.testing.assert_array_equal(after["1.weight"][:, worst], [0, 0])
    np.testing.assert_array_equal(after["1.weight"][:, others], before["1.weight"][:, others])
    mean = (0.125 * h[0] + 0.25 * h[1] + 0.5 * h[2])[worst] / 0.875
    np.testing.assert_allclose(after["1.bias"] - before["1.bias"], before["1.weight"][:, worst] * mean, rtol=1e-5, atol=1e-7)
    memory = states[3]["memory"]
    assert memory["age"]["0"].tolist() == [0 if unit == worst else 3 for unit in range(4)]
    assert memory["utility"]["0"][worst] == memory["due"]["0"] == 0


def test_contribution_may_be_measured_from_the_mean_and_by_what_comes_in():
    learner = ContinualBackprop(hidden=(2,))
    h, mean = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.5])
    incoming, outgoing = torch.tensor([[1.0, -1.0], [0.5, 0.5]]), torch.tensor([[2.0, 1.0], [-4.0, 1.0]])
    assert learner._worth(h, mean, incoming, outgoing).tolist() == [2 * 3 / 1, 0.5 * 1 / 0.5]


def test_generate_and_test_trains_the_output_alone_and_replaces_by_its_weights():
    learner = GenerateAndTest(hidden=(4,), step_size=0.1, maturity=2.0, replacement_rate=0.25)
    states, _ = course(learner, 3)
    first, before, after = (states[i]["parameters"] for i in (0, 2, 3))
    np.testing.assert_array_equal(first["0.weight"], before["0.weight"])
    assert not torch.equal(first["1.weight"], before["1.weight"])
    changed = (after["0.weight"] != before["0.weight"]).any(1)
    assert changed.sum() == 1
    trained, _ = course(GenerateAndTest(hidden=(4,), step_size=0.1, train_features=True), 1)
    assert not torch.equal(trained[0]["parameters"]["0.weight"], trained[1]["parameters"]["0.weight"])


def test_restarts_come_after_the_first_update_of_a_task_and_keep_the_moments():
    settings = {"hidden": (4,), "step_size": 0.01, "restart_every": 3}
    states, _ = course(AdamRestarts(**settings), 7)
    plain, _ = course(Adam(hidden=(4,), step_size=0.01, beta1=0.9, beta2=0.9999), 7)
    w, p = ([s["parameters"]["0.weight"] for s in found] for found in (states, plain))
    for n in range(4):
        np.testing.assert_array_equal(w[n], p[n])
    assert (w[4] - w[3]).abs().max() > 0.1  # the fourth sample is the first of a new task
    assert w[4].abs().max() <= 3**-0.5
    assert states[4]["memory"]["count"] == 4
    assert (w[7] - w[6]).abs().max() > 0.1
    assert not torch.equal(w[4], w[7])
    before, _ = course(AdamRestarts(**settings, restart="before_task", reset_moments=True), 4)
    assert before[4]["memory"]["count"] == 1
    assert (before[4]["parameters"]["0.weight"] - before[3]["parameters"]["0.weight"]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("learner", "said"),
    [
        (ContinualBackprop(hidden=()), "hidden layers"),
        (ContinualBackprop(activation="linear"), "activation"),
        (GenerateAndTest(hidden=(4, 4)), "one hidden layer"),
        (AdamRestarts(restart_every=0), "positive number"),
    ],
)
def test_forms_that_mean_nothing_are_refused(learner, said):
    with pytest.raises(ValueError, match=said):
        learner.init(generator(0), SPACES)
