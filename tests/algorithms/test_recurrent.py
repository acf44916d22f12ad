"""Recurrent cells: exact gradients against backpropagation through time, and what learners carry, keep and forget."""

import dataclasses
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import ChoiceStream, RandomStream, generator, run_alone, same_bits, transition
from torch.func import grad

from algorithms.agent import Spaces, leaves, map_state
from algorithms.gated import GRU, LSTM
from algorithms.lanes import Lanes
from algorithms.qrc import QRC
from algorithms.recurrent import advance
from algorithms.recurrent_network import recurrent_network, reset_carry, staleness
from algorithms.rtu import RTU
from algorithms.settings import CellSettings
from algorithms.stream_ac import StreamAC
from algorithms.stream_q import StreamQ

ORACLE = json.loads((Path(__file__).parent / "oracles" / "rtu_rtrl.json").read_text())
CELLS = {
    "rtu": RTU(3, 4),
    "rtu_tanh": RTU(3, 4, "tanh", "linear"),
    "rtu_relu": RTU(3, 4, "relu", "linear"),
    "gru": GRU(3, 4),
    "lstm": LSTM(3, 4),
}


def doubles(parameters):
    return {name: p.double() for name, p in parameters.items()}


def fresh(cell, seed=0):
    """Return float64 parameters, none of them zero, and the carry an episode begins with."""
    rng = generator(seed)
    parameters = {name: p + 0.1 * torch.randn(p.shape, generator=rng) for name, p in cell.init_parameters(rng).items()}
    parameters = doubles(parameters)
    return parameters, {"hidden": cell.init_hidden().double(), **cell.init_tracking(parameters)}


def loss_and_gradients(cell, parameters, carry, x, weights):
    """Return the gradient of weights . output of one step, and the carry after it."""

    def loss(p):
        hidden, new_carry = advance(cell, p, carry, x)
        return (weights * cell.output(hidden)).sum(), new_carry

    return grad(loss, has_aux=True)(parameters)


def backpropagated(cell, parameters, xs, weights):
    """Return the gradient of weights . output of the last step, through all steps."""

    def loss(p):
        hidden = cell.init_hidden().double()
        for x in xs:
            hidden = cell.step(p, hidden, x)
        return (weights * cell.output(hidden)).sum()

    return grad(loss)(parameters)


# Exact gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), resets=st.sets(st.integers(1, 9), max_size=2))
def test_gradient_is_that_of_backpropagation_through_the_whole_episode(name, seed, resets):
    cell = CELLS[name]
    parameters, carry = fresh(cell, seed)
    rng = generator(seed + 1)
    xs = torch.randn(12, cell.inputs, generator=rng, dtype=torch.float64)
    weights = torch.randn(12, cell.features, generator=rng, dtype=torch.float64)
    began = 0
    for t in range(12):
        carry = reset_carry(carry, torch.tensor(t in resets))
        began = t if t in resets else began
        gradient, carry = loss_and_gradients(cell, parameters, carry, xs[t], weights[t])
        expected = backpropagated(cell, parameters, xs[began : t + 1], weights[t])
        for parameter in parameters:
            torch.testing.assert_close(gradient[parameter], expected[parameter], rtol=1e-9, atol=1e-9)
    if name != "rtu_relu":  # whose units may all be off
        assert all(g.abs().max() > 0 for g in expected.values())


@pytest.mark.parametrize("name", CELLS)
def test_gradient_of_one_step_is_that_of_the_step_with_the_past_held_fixed(name):
    cell = CELLS[name]
    parameters, carry = fresh(cell)
    carry = {"hidden": torch.full_like(carry["hidden"], 0.3)}  # nothing is tracked
    x, weights = torch.ones(3, dtype=torch.float64), torch.ones(cell.features, dtype=torch.float64)
    gradient, new_carry = loss_and_gradients(cell, parameters, carry, x, weights)
    assert set(new_carry) == {"hidden"}
    for parameter, p in parameters.items():  # finite differences, one entry of each parameter
        moved = {**parameters, parameter: p.clone()}
        moved[parameter].view(-1)[1] += 1e-6
        values = [(weights * cell.output(cell.step(q, carry["hidden"], x))).sum() for q in (parameters, moved)]
        assert gradient[parameter].reshape(-1)[1] == pytest.approx((values[1] - values[0]).item() / 1e-6, abs=1e-5)


@pytest.mark.parametrize("inputs", [64, 128])
def test_sensitivities_of_an_rtu_are_twice_as_many_as_its_parameters(inputs):
    cell = RTU(inputs, 192)
    parameters = cell.init_parameters(generator(0))
    numbers = sum(p.numel() for p in parameters.values())
    assert numbers == {64: 24_960, 128: 49_536}[inputs]
    assert sum(s.numel() for s in leaves(cell.init_tracking(parameters)["sensitivities"])) == 2 * numbers


@pytest.mark.parametrize(("cell", "rows"), [(CELLS["gru"], 4), (CELLS["lstm"], 8)])
def test_sensitivities_of_gated_cells_are_one_row_for_each_number_of_the_hidden_state(cell, rows):
    parameters = cell.init_parameters(generator(0))
    for name, s in cell.init_tracking(parameters)["sensitivities"].items():
        assert s.shape == (rows, *parameters[name].shape)


def test_gru_and_lstm_are_those_of_pytorch():
    x, h = torch.randn(3, generator=generator(1)), torch.randn(2, 4, generator=generator(2))
    for cell, twin, order in ((GRU(3, 4), torch.nn.GRUCell(3, 4), (0, 1, 2)), (LSTM(3, 4), torch.nn.LSTMCell(3, 4), range(4))):
        parameters = cell.init_parameters(generator(3))
        with torch.no_grad():
            twin.weight_ih.copy_(parameters["input"].flatten(0, 1))
            twin.weight_hh.copy_(parameters["recurrent"].flatten(0, 1))
            twin.bias_hh.zero_()
            twin.bias_ih.copy_(torch.arange(4.0 * len(order)) / 10)
            parameters["bias"] = twin.bias_ih.view(len(order), 4).clone()
            if "recurrent_bias" in parameters:
                parameters["recurrent_bias"] = torch.tensor([0.1, -0.2, 0.3, 0.4])
                twin.bias_hh[8:] = parameters["recurrent_bias"]
            expected = twin(x, h[0]).unsqueeze(0) if cell.parts == 1 else torch.stack(twin(x, (h[0], h[1])))
        torch.testing.assert_close(cell.step(parameters, h[: cell.parts], x), expected)


@pytest.mark.parametrize("name", CELLS)
def test_gradient_of_a_look_ahead_is_exact_and_tracks_nothing(name):
    cell = CELLS[name]
    parameters, carry = fresh(cell)
    xs = torch.randn(5, cell.inputs, generator=generator(1), dtype=torch.float64)
    weights = torch.randn(cell.features, generator=generator(2), dtype=torch.float64)
    for x in xs[:3]:
        _, carry = loss_and_gradients(cell, parameters, carry, x, weights)

    def ahead(p):
        _, new_carry = advance(cell, p, carry, xs[3])
        hidden, unchanged = advance(cell, p, new_carry, xs[4], track=False)
        return (weights * cell.output(hidden)).sum(), (new_carry["sensitivities"], unchanged["sensitivities"])

    gradient, (tracked, unchanged) = grad(ahead, has_aux=True)(parameters)
    assert same_bits(tracked, unchanged)
    expected = backpropagated(cell, parameters, xs, weights)
    for parameter in parameters:
        torch.testing.assert_close(gradient[parameter], expected[parameter], rtol=1e-9, atol=1e-9)


# Official numbers -----------------------------------------------------------------------------------------------------

FORMS = {  # activation inside the recurrence, and on the output
    "linear, tanh on output (config/cell/rtu.yaml)": ("linear", "tanh"),
    "linear, identity output": ("linear", "linear"),
    "nonlinear tanh inside": ("tanh", "linear"),
    "nonlinear relu inside": ("relu", "linear"),
    "NonLinear relu (released default)": ("relu", "linear"),
    "NonLinear tanh": ("tanh", "linear"),
    "Linear, relu output (released default)": ("linear", "relu"),
    "Linear, tanh output": ("linear", "tanh"),
    "Linear, linear output": ("linear", "linear"),
}
THEIRS = {"nu_log": "nu_log", "theta_log": "theta_log", "real": "W1_real", "imaginary": "W2_imag"}


def near(actual, expected, tolerance=1e-10):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=tolerance)


def official(case):
    """Go through one case; yield what they printed at each step, our gradients, carry and output."""
    given_ = {**ORACLE, "W1_real": ORACLE["W1_real_nxd"], "W2_imag": ORACLE["W2_imag_nxd"]}
    parameters = {name: torch.tensor(given_[theirs], dtype=torch.float64) for name, theirs in THEIRS.items()}
    cell = RTU(ORACLE["d"], ORACLE["n"], *FORMS[case["variant"]])
    carry = {"hidden": cell.init_hidden().double(), **cell.init_tracking(parameters)}
    for t, step in enumerate(case["steps"]):
        carry = reset_carry(carry, torch.tensor(case.get("done", [False] * ORACLE["T"])[t]))
        x, weights = (torch.tensor(ORACLE[key][t], dtype=torch.float64) for key in ("inputs", "output_cotangents"))
        gradient, carry = loss_and_gradients(cell, parameters, carry, x, weights)
        yield step, gradient, carry, cell.output(carry["hidden"]), parameters


@pytest.mark.parametrize("case", ORACLE["code_A"], ids=lambda case: f"{case['variant'][:20]}-{case['reset'][:5]}")
def test_states_sensitivities_and_gradients_are_those_of_the_streaming_papers_code(case):
    for step, gradient, carry, output, _ in official(case):
        near(carry["hidden"][0], step["state_real"])
        near(carry["hidden"][1], step["state_imag"])
        near(output, step["output"])
        for name, theirs in THEIRS.items():
            near(gradient[name], step[f"grad_{theirs}"])
            near(carry["sensitivities"][name], step[f"S_{theirs}"])


@pytest.mark.parametrize("case", ORACLE["code_B"], ids=lambda case: case["variant"][:20])
def test_states_and_gradients_are_those_of_the_first_papers_code_with_its_two_differences(case):
    for step, gradient, carry, output, parameters in official(case):
        near(carry["hidden"][0], step["state_real"])
        near(carry["hidden"][1], step["state_imag"])
        near(output, step["output"])
        near(gradient["real"], step["grad_W1_real"])
        near(gradient["imaginary"], step["grad_W2_imag"])
        near(gradient["nu_log"], step["grad_nu_log"], 3e-8)  # its epsilon enters the derivative of the normaliser elsewhere
        near(gradient["theta_log"], step["grad_theta_log_corrected"])
        released = torch.tensor(step["grad_theta_log_as_released"], dtype=torch.float64)
        near(gradient["theta_log"], released * torch.exp(parameters["theta_log"]))  # the factor it leaves out


# Stale sensitivities --------------------------------------------------------------------------------------------------


def stale_error(step_size, taylor):
    """Return how far the sensitivities of nu_log are from those whose immediate terms are all made with the last nu_log."""
    cell = RTU(3, 4, "tanh", "linear", taylor_correction=taylor)
    parameters, carry = fresh(cell)
    rng = generator(5)
    xs = torch.randn(8, 3, generator=rng, dtype=torch.float64)
    path = [parameters]
    for _ in range(7):
        change = step_size * torch.randn(4, generator=rng, dtype=torch.float64)
        path.append({**path[-1], "nu_log": path[-1]["nu_log"] + change})
    steps = []
    for p, x in zip(path, xs, strict=True):
        _, new_carry = advance(cell, p, carry, x)
        steps.append((p, carry["hidden"], x))
        carry = new_carry
    ideal = torch.zeros(2, 4, dtype=torch.float64)
    for p, hidden, x in steps:
        jacobian = torch.func.jacrev(lambda h, p=p, x=x: cell.step(p, h, x))(hidden)  # [2, n, 2, n], as it was
        ideal = torch.einsum("aubu,bu->au", jacobian, ideal)
        last = {**p, "nu_log": path[-1]["nu_log"]}
        immediate = torch.func.jacrev(lambda nu, last=last, h=hidden, x=x: cell.step({**last, "nu_log": nu}, h, x))
        ideal = ideal + torch.diagonal(immediate(last["nu_log"]), dim1=1, dim2=2)
    return (carry["sensitivities"]["nu_log"] - ideal).abs().max().item()


def test_corrected_sensitivities_are_right_to_first_order_and_stale_ones_are_not():
    assert stale_error(0.0, taylor=False) < 1e-12
    assert stale_error(0.0, taylor=True) < 1e-12
    stale, corrected = ([stale_error(size, taylor) for size in (1e-2, 1e-3, 1e-4)] for taylor in (False, True))
    for large, small in pairwise(stale):
        assert large / small == pytest.approx(10, rel=0.2)
    for large, small in pairwise(corrected):
        assert large / small == pytest.approx(100, rel=0.3)
    assert corrected[0] < stale[0] / 5


def test_second_derivatives_are_those_of_the_step():
    cell = RTU(3, 4, "tanh", "linear", taylor_correction=True)
    parameters, carry = fresh(cell)
    hidden, x = torch.full((2, 4), 0.4, dtype=torch.float64), torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    new = cell.track(parameters, {k: v for k, v in carry.items() if k != "hidden"}, hidden, x, cell.step(parameters, hidden, x))
    for name, p in parameters.items():
        size = 1e-4
        for entry in range(p.numel()):
            values = []
            for sign in (-1, 0, 1):
                moved = {**parameters, name: p.clone()}
                moved[name].view(-1)[entry] += sign * size
                values.append(cell.step(moved, hidden, x))
            second = (values[0] - 2 * values[1] + values[2]) / size**2
            unit = entry // (p.numel() // 4)
            near(new["curvature"][name].flatten(1)[:, entry], second[:, unit], 1e-6)


# The network around the cell ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("normalized", "expected"), [(0, (True, True)), (1, (True, False)), (2, (True, True))])
def test_layers_behind_the_cell_are_counted_on(normalized, expected):
    cell = CellSettings(cell="rtu", units=3, readout=(4,))
    net = recurrent_network((5,), (6,), {"q": 2}, True, "tanh", cell, normalized)
    assert (*net.encoder.norms, *net.readout.norms) == expected
    without = recurrent_network((5,), (6,), {"q": 2}, False, "tanh", cell, normalized)
    assert (*without.encoder.norms, *without.readout.norms) == (False, False)


def test_encoder_gets_the_gradient_of_the_present_step_alone_and_the_cell_that_of_all():
    net = recurrent_network((5,), (6,), {"q": 2}, True, "leaky_relu", CellSettings(cell="rtu", units=3, readout=(4,)))
    parameters = doubles(net.init_parameters(generator(0), 0.0, False))
    xs = torch.randn(4, 5, generator=generator(1), dtype=torch.float64)

    def value(p, carry, x, track=True):
        heads, carry = net.evaluate(p, carry, x, track)
        return heads["q"][0], carry

    carry = map_state(torch.Tensor.double, net.init_carry(parameters))
    for x in xs:
        before = carry
        gradient, carry = grad(value, has_aux=True)(parameters, before, x)

    def unrolled(p, encoders):
        """Evaluate with the encoder of the past held fixed."""
        state = {"hidden": torch.zeros(2, 3, dtype=torch.float64)}
        for x in xs[:-1]:
            _, state = net.evaluate({**p, **encoders}, state, x, True)
        return value(p, state, xs[-1])[0]

    fixed = {name: p for name, p in parameters.items() if name.startswith("encoder.")}
    expected = grad(unrolled)(parameters, fixed)
    for name in parameters:
        torch.testing.assert_close(gradient[name], expected[name], rtol=1e-9, atol=1e-9)
        assert gradient[name].abs().max() > 0
    # Without tracking the value is the same, and the sensitivities are left alone.
    untracked, after = value(parameters, before, xs[-1], track=False)
    torch.testing.assert_close(untracked, value(parameters, before, xs[-1])[0], rtol=0, atol=0)
    assert same_bits(after["sensitivities"], before["sensitivities"])


def test_radius_of_a_fresh_rtu_lies_in_its_range_and_is_the_root_of_a_uniform_number():
    radius = torch.exp(-torch.exp(RTU(2, 20_000).init_parameters(generator(0))["nu_log"]))
    assert radius.mean() == pytest.approx(2 / 3, abs=0.01)
    assert (radius < 1).all()
    narrow = RTU(2, 500, least_radius=0.9, greatest_radius=0.99).init_parameters(generator(0))
    radius = torch.exp(-torch.exp(narrow["nu_log"]))
    assert ((radius > 0.8999) & (radius < 0.9901)).all()


@pytest.mark.parametrize(("fan", "deviation"), [("units", 192**-0.5), ("inputs", 64**-0.5)])
def test_input_weights_of_a_fresh_rtu_have_the_variance_of_their_fan(fan, deviation):
    weight = RTU(64, 192, fan=fan).init_parameters(generator(0))["real"]
    assert weight.std() == pytest.approx(deviation, rel=0.02)


# Learners -------------------------------------------------------------------------------------------------------------

CHOICE, VECTOR = Spaces((5,), 3, discrete=True), Spaces((5,), 2)
SMALL = {"hidden": (6,), "units": 4, "sparsity": 0.0}


def carried(learner, spaces, steps=6, seed=0):
    """Return a state in the midst of an episode, and the moment to come."""
    stream = (
        ChoiceStream(spaces, seed, learner.noise(spaces).shape[0], 0, 0)
        if spaces.discrete
        else RandomStream(spaces, seed, 0, 0)
    )
    return list(run_alone(learner, spaces, stream, steps, learner.init(generator(seed), spaces)))[-1]


def moved_on(learner, state, action, noise, **ending):
    moment = transition(np.ones(5), action.numpy(), 1.0, np.full(5, 2.0), acting_obs=np.full(5, 0.5), **ending)
    return learner.step(state, moment, noise)


@pytest.mark.parametrize(
    ("learner", "spaces", "traces"),
    [
        (StreamAC(cell="rtu", **SMALL), VECTOR, ("actor_optimizer", "critic_optimizer")),
        (StreamAC(cell="gru", **SMALL), CHOICE, ("actor_optimizer", "critic_optimizer")),
        (QRC(**SMALL), CHOICE, ("q_trace", "h_trace")),
    ],
    ids=["ac_vector", "ac_choice", "qrc"],
)
def test_state_and_sensitivities_are_forgotten_together_where_an_episode_ends(learner, spaces, traces):
    state, action, _, noise, _ = carried(learner, spaces)
    assert all(leaf.abs().max() > 0 for carry in state["carry"].values() for leaf in (carry["hidden"],))
    going_on, *_ = moved_on(learner, state, action, noise)
    for ending in ({"terminated": True}, {"truncated": True}):
        ended, *_ = moved_on(learner, state, action, noise, **ending)
        assert all((leaf == 0).all() for leaf in leaves(ended["carry"]))
        assert ended.get("cut", False) or all((leaf == 0).all() for name in traces for leaf in leaves(ended[name]))
    assert all(leaf.abs().max() > 0 for carry in going_on["carry"].values() for leaf in leaves(carry))


def test_lost_life_cuts_the_trace_and_forgets_nothing():
    learner = StreamAC(cell="rtu", **SMALL)
    state, action, _, noise, _ = carried(learner, VECTOR)
    lost, *_ = moved_on(learner, state, action, noise, terminated=True, restarted=False)
    assert all((leaf == 0).all() for leaf in leaves(lost["critic_optimizer"]))
    assert lost["carry"]["critic"]["hidden"].abs().max() > 0


@pytest.mark.parametrize("learner", [QRC(**SMALL), StreamQ(cell="rtu", **SMALL)], ids=["qrc", "stream_q"])
def test_exploratory_action_cuts_the_trace_and_nothing_else(learner):
    state, action, _, noise, _ = carried(learner, CHOICE)
    results = []
    for exploring in (False, True):
        moment = transition(np.ones(5), action.numpy(), 1.0, np.full(5, 2.0))
        after, *_ = learner.step({**state, "exploring": torch.tensor(exploring)}, moment, noise)
        results.append(after)
    greedy, explored = results
    assert same_bits(greedy["carry"], explored["carry"])
    assert same_bits(greedy["q"], explored["q"])
    if "cut" in state:
        assert explored["cut"]
        assert not greedy["cut"]
    else:  # the next action's gradient is in the trace already, and nothing but it
        decay, old = 0.99 * 0.8, state["optimizer"]["trace"]
        for name, z in greedy["optimizer"]["trace"].items():
            torch.testing.assert_close(z - explored["optimizer"]["trace"][name], decay * old[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["critic", "actor"])
def test_trace_of_a_learner_that_stands_still_is_the_gradient_through_the_whole_episode(name):
    learner = StreamAC(
        cell="rtu", lamda=0.0, alpha_policy=0.0, alpha_value=0.0, entropy=0.0, normalize_obs=False, **{**SMALL, "hidden": ()}
    )
    stream, initial = RandomStream(VECTOR, 3, 0, 0), learner.init(generator(3), VECTOR)
    moments = []
    for state, _, moment, _, _ in run_alone(learner, VECTOR, stream, 6, initial):
        moments.append(moment)
        trace = state[f"{name}_optimizer"]["trace"]
    parameters = doubles(state[name])
    heads = {"value": 1} if name == "critic" else {"mean": 2, "std": 2}
    net = recurrent_network((5,), (), heads, True, "leaky_relu", learner)

    def objective(p):
        hidden = {"hidden": torch.zeros(2, 4, dtype=torch.float64)}
        for moment in moments:
            outputs, hidden = net.evaluate(p, hidden, moment.obs, True)
        if name == "critic":
            return outputs["value"][0]
        normal = torch.distributions.Normal(outputs["mean"], torch.nn.functional.softplus(outputs["std"]), validate_args=False)
        return normal.log_prob(moments[-1].action.double()).sum()

    expected = grad(objective)(parameters)
    for parameter, z in trace.items():
        torch.testing.assert_close(z.double(), expected[parameter], rtol=2e-4, atol=2e-5)


def test_learner_without_a_recurrent_cell_carries_nothing():
    for learner, spaces in ((StreamAC(), VECTOR), (StreamQ(), CHOICE), (QRC(cell="none"), CHOICE)):
        assert "carry" not in carried(learner, spaces, steps=2)[0]


def test_unit_that_forgets_nothing_makes_the_learner_diverge_and_not_fail():
    learner = StreamAC(cell="rtu", **SMALL)
    state = learner.init(generator(0), VECTOR)
    state["critic"]["cell.nu_log"][0] = -40.0  # r is 1 to the last digit, and the derivative of the normaliser infinite
    lanes = Lanes(learner, VECTOR, [state, learner.init(generator(1), VECTOR)], compiled=False)
    streams = [RandomStream(VECTOR, seed) for seed in range(2)]
    for lane, stream in enumerate(streams):
        lanes.acting_obs[lane], lanes.noise[lane] = stream.reset(), stream.noise()
    lanes.start()
    for _ in range(3):
        for lane, stream in enumerate(streams):
            lanes.next_obs[lane], lanes.reward[lane], *_ = stream.step(lanes.action[lane])
            lanes.acting_obs[lane], lanes.noise[lane] = lanes.next_obs[lane], stream.noise()
        lanes.step()
    assert lanes.sound().tolist() == [False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "units must be a positive number"),
        ({"rtu_radius": (0.5, 1.5)}, "rtu_radius must be two numbers"),
        ({"readout": (0,)}, "readout must be a list of positive widths"),
    ],
)
def test_cell_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        StreamAC(cell="rtu", **options)


def test_recurrent_cell_for_images_is_refused():
    with pytest.raises(ValueError, match="sees vectors"):
        StreamQ(cell="rtu").init(generator(0), Spaces((4, 10, 10), 3, discrete=True))


def test_cut_traces_begin_anew_with_the_next_update():
    learner = QRC(**SMALL)
    state, action, _, noise, _ = carried(learner, CHOICE)
    state = {**state, "cut": torch.tensor(True), "exploring": torch.tensor(False)}
    empty = map_state(torch.zeros_like, {name: state[name] for name in ("q_trace", "h_trace", "bias_trace")})
    moment = transition(np.ones(5), action.numpy(), 1.0, np.full(5, 2.0))
    after, fresh_one = (learner.step(s, moment, noise)[0] for s in (state, {**state, **empty, "cut": torch.tensor(False)}))
    for name in ("q", "h", "q_trace", "h_trace"):
        assert all(torch.equal(a, b) for a, b in zip(leaves(after[name]), leaves(fresh_one[name]), strict=True))
    assert after["bias_trace"] == fresh_one["bias_trace"] != 0


# Staleness ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 5, 8])
def test_sensitivities_made_anew_are_those_that_were_tracked_with_the_same_parameters(steps):
    cell = RTU(3, 4)
    parameters, carry = fresh(cell, 3)
    xs = torch.randn(8, 3, generator=generator(4), dtype=torch.float64)
    for x in xs[8 - steps :]:
        _, carry = loss_and_gradients(cell, parameters, carry, x, torch.ones(cell.features, dtype=torch.float64))
    anew = cell.made_anew(parameters, xs, torch.tensor(float(steps)))
    for name, s in carry["sensitivities"].items():
        torch.testing.assert_close(anew[name], s, rtol=1e-9, atol=1e-9)


STALE = {"hidden": (6,), "units": 4, "sparsity": 0.0, "staleness_window": 4}


@pytest.mark.parametrize(
    ("learner", "names", "still"),
    [
        (StreamAC(cell="rtu", **STALE), ("actor", "critic"), {"alpha_policy": 0.0, "alpha_value": 0.0}),
        (StreamQ(cell="rtu", **STALE), ("q",), {"alpha": 0.0}),
        (QRC(**STALE, alpha=0.05, alpha_h=0.05), ("q", "h"), {"alpha": 0.0, "alpha_h": 0.0}),
    ],
    ids=["stream_ac", "stream_q", "qrc"],
)
def test_sensitivities_are_stale_as_far_as_parameters_have_moved(learner, names, still):
    for own, stale in ((learner, True), (dataclasses.replace(learner, **still), False)):
        state, noise = own.init(generator(0), CHOICE), torch.full((own.noise(CHOICE).shape[0],), 0.5)
        obs = torch.randn(CHOICE.obs_shape, generator=generator(1), dtype=torch.float64)
        state, action = own.start(state, obs, noise)
        told = []
        for step in range(12):
            over = step % 4 == 3
            next_obs, first = torch.randn(2, *CHOICE.obs_shape, generator=generator(2 + step), dtype=torch.float64)
            moment = transition(obs, action, 1.0, next_obs, over, False, first if over else next_obs)
            state, action, info = own.step(state, moment, noise, form=own.form(step))
            obs = first if over else next_obs
            told.append([float(info[f"{name}_staleness"]) for name in names])
        told = np.array(told)
        assert (told[:3] == 0).all(), "nothing has been looked at"
        assert (told[4:7] == told[3]).all(), "what was seen last is told on"
        assert (told[[3, 7, 11]] > 1e-6).all() if stale else (told < 1e-6).all()


def test_episode_longer_than_the_window_has_no_staleness():
    cell = CellSettings(cell="rtu", units=3, staleness_window=2)
    net = recurrent_network((5,), (6,), {"q": 2}, True, "leaky_relu", cell)
    parameters = net.init_parameters(generator(0), 0.0, False)
    carry = net.init_carry(parameters)
    for expected_finite in (True, True, False):
        _, carry = net.evaluate(parameters, carry, torch.ones(5), track=True)
        assert bool(torch.isfinite(staleness(cell, parameters, carry))) is expected_finite
