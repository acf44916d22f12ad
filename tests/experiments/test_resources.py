"""What learning costs: memory against the arithmetic of shapes, times that are complete, and the figure made of them."""

import dataclasses
import itertools
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms.agent import leaves
from experiments import registry, resource_arms
from experiments.catalog import load_experiment
from experiments.errors import UserError
from experiments.expand import check_hyperparameters, check_spaces, labelled_runs, measured_run, resolve, runs_of
from experiments.measurements import ArithmeticSpeed, PeakMemory, UpdateTime
from experiments.plan import plan
from experiments.spec import Arm, Experiment, Preset, Row
from experiments.store import Owner, Store
from experiments.training import memory, resources
from experiments.training.context import Context, Unwatched
from experiments.training.eager import EagerLane
from experiments.training.reinforcement import Agents

NO_LIMIT = 1e12


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_run(algorithm, env_id="HalfCheetah-v4", steps=2, **settings):
    return resolve(Row(env_id, (), steps=steps, seeds=1, bin_width=1), Arm("", algorithm, settings), 0)


def measured(tmp_path, run):
    store = Store(tmp_path)
    resources.measure(run, Context(store, Owner()))
    return store.load(run.run_id)[2][run.algorithm].to_pandas()


# Memory


def parameters(*widths):
    return sum(inputs * outputs + outputs for inputs, outputs in itertools.pairwise(widths))


def test_sac_holds_its_buffer_and_its_networks_and_no_more():
    samples, obs, action = 100_000, 17, 6
    buffer = samples * 4 * (2 * obs + action + 3)  # observations before and after, action, reward, end, time limit
    actor = parameters(obs, 256, 256, 2 * action)
    critics = 2 * parameters(obs + action, 256, 256, 1)
    # Parameters, gradients and Adam's two moments; the targets have parameters and gradients.
    expected = buffer + 4 * (4 * (actor + critics) + 2 * critics)
    run = measured_run(make_run("peak_memory", learner="sac"))
    found = memory.in_fresh_process(run, samples, NO_LIMIT)
    assert found.held == pytest.approx(expected, rel=0.05)
    assert found.computed == pytest.approx(expected, rel=0.001)
    batch_of_observations = 256 * 4 * 2 * obs
    assert found.held + batch_of_observations < found.peak < 2 * expected
    assert found.process > found.peak
    assert found.reason == ""


def test_stream_ac_holds_networks_and_traces():
    obs, action = 18, 6  # with the time
    weights = parameters(obs, 128, 128, 2 * action) + parameters(obs, 128, 128, 1)
    run = measured_run(make_run("peak_memory"))
    found = memory.in_fresh_process(run, 0, NO_LIMIT)
    # Each number is there with its trace; 20 % for Python's objects, some sixty tensors in a third of a megabyte.
    assert 2 * 4 * weights <= found.computed < found.held < 1.2 * 2 * 4 * weights
    # An update makes new numbers before the old ones are given up.
    assert found.held + 2 * 4 * weights < found.peak


def test_the_peak_begins_anew():
    np.ones(40_000_000)
    assert memory._status("VmHWM") > memory._status("VmRSS") + 200e6
    resident = memory._settled()
    assert memory._status("VmHWM") < resident + 50e6


@pytest.mark.parametrize("learner", ["sac", "td3", "ppo", "sac1", "ppo1", "td3_1"])
def test_computed_bytes_are_those_of_the_shapes(learner):
    samples, run = 300, measured_run(make_run("peak_memory", learner=learner))
    subject = memory._Models(run, samples)
    subject.warm_up()
    assert subject.computed() == memory._array_bytes(subject.make())


def test_buffer_is_filled_and_learnt_from():
    model = memory._Models(measured_run(make_run("peak_memory", learner="td3")), 500).make()
    assert model.replay_buffer.full
    assert (np.abs(model.replay_buffer.observations).sum(axis=(1, 2)) > 0).all()
    assert model._n_updates >= 2
    assert all(optimizer.state for optimizer in model.optimizers.values())


def test_frames_are_stored_once_in_the_computed_size():
    run = measured_run(make_run("peak_memory", "PongNoFrameskip-v4", learner="dqn", settings=("batch_size=8",)))
    subject = memory._Models(run, 1_000_000)
    subject.warm_up()
    sample = 84 * 84 + 8 + 4 + 4 + 4 + 8  # frame, action, reward, end, time limit, depth in the episode
    assert subject._line[1] == sample
    assert subject.computed() == pytest.approx(1_000_000 * sample, rel=0.01)


def test_what_does_not_fit_is_computed_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "in_fresh_process", memory.measure_here)
    table = measured(tmp_path, make_run("peak_memory", steps=1, learner="sac", samples=(10, 10**6), largest_gigabytes=0.05))
    assert list(table["samples"]) == [10, 10**6]
    small, large = table.to_dict("records")
    assert small["held_bytes"] > 0
    assert small["reason"] == ""
    assert np.isnan(large["held_bytes"])
    assert np.isnan(large["peak_bytes"])
    assert large["computed_bytes"] == pytest.approx(172e6, rel=0.05)
    assert large["reason"] == "over 0.05 GB allowed"


def test_what_is_not_free_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 6e6)
    run = measured_run(make_run("peak_memory", learner="sac"))
    assert memory.measure_here(run, 10_000, NO_LIMIT).reason == "over 80% of 0.006 GB free"


def test_a_process_that_was_killed_is_a_reason_and_no_crash(monkeypatch):
    monkeypatch.setattr(memory, "_answer", _die)
    run = measured_run(make_run("peak_memory"))
    found = memory.in_fresh_process(run, 0, NO_LIMIT)
    assert found.reason == "killed by signal 9"
    assert np.isnan(found.held)


def _die(*_):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_without_proc_memory_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "Path", lambda path: tmp_path / "nowhere" / "at_all")
    with pytest.raises(UserError, match="measure it on Linux"):
        measured(tmp_path, make_run("peak_memory"))


@pytest.mark.parametrize(("learner", "samples", "word"), [("stream_ac", (5,), "stores no samples"), ("sac", (0,), "1 or more")])
def test_numbers_of_samples_that_mean_nothing_are_refused(tmp_path, learner, samples, word):
    with pytest.raises(UserError, match=word):
        measured(tmp_path, make_run("peak_memory", learner=learner, samples=samples))


# Times


@pytest.mark.parametrize(
    ("env_id", "settings"),
    [
        ("HalfCheetah-v4", {"learner": "stream_ac", "engine": "eager"}),
        ("MinAtar/Breakout-v1", {"learner": "stream_q", "engine": "eager"}),
        pytest.param(
            "HalfCheetah-v4",
            {"learner": "sac1", "engine": "eager", "settings": ("implementation=lanes",)},
            marks=pytest.mark.slow,
        ),
        ("HalfCheetah-v4", {"learner": "sac", "settings": ("learning_starts=20",)}),
        pytest.param("HalfCheetah-v4", {"learner": "td3_1"}, marks=pytest.mark.slow),
        ("HalfCheetah-v4", {"learner": "ppo", "settings": ("rollout_steps=128",)}),
    ],
)
def test_every_time_is_positive_and_taken_as_often_as_asked(tmp_path, env_id, settings):
    table = measured(tmp_path, make_run("update_time", env_id, seconds=0.02, **settings))
    assert (table["milliseconds"] > 0).all()
    assert list(table["repeat"]) == [0, 0, 0, 1, 1, 1]
    assert list(table["quantity"]) == ["action", "update", "learning per step"] * 2
    assert table["core_share"].between(0, 1.1, inclusive="neither").all()


def test_the_time_of_the_environment_is_no_part_of_it(monkeypatch):
    run = measured_run(make_run("update_time", learner="ppo1"))
    learner = resources._BatchLearner(run, UpdateTime(learner="ppo1", seconds=0.01))
    inner = learner._model.stream.unwrapped.step
    sleeps = 0.2

    def slow(action):
        time.sleep(sleeps)
        return inner(action)

    # The clock of the environment is around `slow` as it was around the step itself.
    environment = learner._model.stream.unwrapped
    del environment.step
    monkeypatch.setattr(environment, "step", slow, raising=False)
    learner._elsewhere = resources._clocked(environment, "step")
    assert learner._step() < sleeps


def learner_of_known_times(window, step):
    """Return a batch learner whose step counts what it did in the model, and says how long it took."""
    learner = object.__new__(resources._BatchLearner)
    learner._model = SimpleNamespace(num_timesteps=0, _n_updates=0)
    learner._window, learner._seconds = window, 0.0
    learner._step = lambda: step(learner._model)
    return learner


def test_ppo_learns_for_a_whole_rollout_at_once():
    def step(model):
        model.num_timesteps += 1
        if model.num_timesteps % 64 == 0:
            model._n_updates += 10
            return 1.0
        return 0.01

    update, per_step = learner_of_known_times(1, step).learning(action=0.01)
    assert update == pytest.approx(0.99)
    assert per_step == pytest.approx(0.99 / 64)


def test_where_the_actor_waits_the_longer_of_two_updates_counts():
    def step(model):
        model.num_timesteps += 1
        model._n_updates += 1
        return 3.0 if model.num_timesteps % 2 else 1.0

    assert learner_of_known_times(2, step).learning(action=0.5) == pytest.approx((2.5, 1.5))


def test_acting_learns_nothing_and_learning_does():
    run = measured_run(make_run("update_time", learner="sac", settings=("learning_starts=20",)))
    learner = resources._BatchLearner(run, UpdateTime(learner="sac", seconds=0.01))
    before = learner._model.vectors["critic"].detach().clone()
    updates = learner._model._n_updates
    learner.action()
    assert learner._model._n_updates == updates
    assert (learner._model.vectors["critic"] == before).all()
    learner.learning(0.0)
    assert (learner._model.vectors["critic"] != before).any()


def test_eager_lane_takes_the_steps_that_lanes_take():
    run = measured_run(make_run("update_time"))
    actions = []
    for alone in (False, True):
        agents = Agents.begin([run], compiled=False)
        if alone:
            lane = EagerLane(registry.make_learner(run), agents.streams[0].environment.spaces, agents.lanes.state(0))
            lane.obs[:], lane.action[:] = agents.lanes.obs, agents.lanes.action
            agents.lanes = lane
        agents.advance(0, 5, Unwatched(), lambda _: None)
        actions.append(agents.lanes.action.copy())
    np.testing.assert_allclose(actions[0], actions[1], rtol=1e-3, atol=1e-4)


def test_acting_alone_chooses_the_action_and_makes_no_gradient():
    run = measured_run(make_run("update_time", "MinAtar/Breakout-v1", learner="stream_q"))
    agent = registry.make_learner(run)
    agents = Agents.begin([run], compiled=False)
    lanes = agents.lanes
    state = lanes.state(0)
    acting = EagerLane(resources._Acting(agent), agents.streams[0].environment.spaces, state)
    acting.acting_obs[:], acting.noise[:] = lanes.acting_obs, 0.999  # no exploration
    acting.step()
    operations = {str(node.target) for node in acting._kernels[None].graph.nodes if node.op == "call_function"}
    after, action = agent.start(state, torch.from_numpy(lanes.acting_obs[0]), torch.full((2,), 0.999))
    assert acting.action[0] == action.item()
    assert not any("backward" in operation for operation in operations)
    for kept, begun in zip(leaves(acting.state(0)), leaves(state), strict=True):
        assert torch.equal(kept, begun)
    # Stream Q does get the trace ready when it acts; that is what is left out.
    assert any(not torch.equal(a, b) for a, b in zip(leaves(after), leaves(state), strict=True))


def test_arithmetic_is_measured_without_a_learner(tmp_path):
    table = measured(tmp_path, make_run("arithmetic", "ETTm2-generated", seconds=0.01))
    assert list(table["quantity"]) == ["matrix product", "matrix-vector product"] * 2
    assert (table["core_share"] > 0).all()
    assert (table["gflops"] > 0).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 4))
def test_windows_hold_consecutive_times_once(times, size):
    windows = resources._windows(times, size)
    assert windows.shape == (len(times) // size, size)
    assert windows.ravel().tolist() == times[: windows.size]


# Settings


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (lambda: ArithmeticSpeed(slowdown=0.0), "slowdown must be positive"),
        (lambda: ArithmeticSpeed(cycle_ms=-1.0), "cycle_ms must be positive"),
        (lambda: UpdateTime(seconds=0.0), "seconds must be positive"),
        (lambda: PeakMemory(samples=()), "samples must be a list"),
        (lambda: PeakMemory(samples=(1, -1)), "samples must be a list"),
        (lambda: PeakMemory(largest_gigabytes=0.0), "largest_gigabytes must be positive"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, word):
    with pytest.raises(UserError, match=word):
        settings()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"learner": "sacc"}, "'sacc'; the closest are sac"),
        ({"learner": "throughput"}, "no learner 'throughput'"),
        ({"learner": "sac", "settings": ("batch=3",)}, "sac has no option 'batch'"),
        ({"learner": "stream_ac", "settings": ("gamma",)}, "key=value"),
        ({"learner": "stream_ac", "engine": "fast"}, "engine must be one of"),
    ],
)
def test_learners_and_settings_are_checked_before_anything_starts(settings, word):
    with pytest.raises(UserError, match=word):
        check_hyperparameters(make_run("update_time", **settings))


def test_a_learner_is_not_measured_where_it_cannot_act():
    from experiments.environments import describe

    with pytest.raises(UserError, match="sac gives a vector"):
        check_spaces(make_run("update_time", "MinAtar/Breakout-v1", learner="sac"), describe("MinAtar/Breakout-v1"))


# The experiment


def test_every_learner_that_acts_is_timed_and_weighed():
    """Recurrent learners are weighed by `rtrl_cost`, those of labelled samples and their optimizers by `upgd_update_time`."""
    acting = {name for name, record in registry.learners().items() if "label" not in record.gives}
    runs = runs_of(load_experiment("resource_cost"), "paper")
    for algorithm in ("update_time", "peak_memory"):
        found = {dict(run.hyperparameters)["learner"] for run in runs if run.algorithm == algorithm}
        alone = {"stream_td", "classic_td"} if algorithm == "peak_memory" else set()
        assert found == acting - alone - {"qrc", "recurrent_ppo", "adaupgd_ppo"}


def test_a_new_learner_is_measured_without_being_named(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class NewAC:
        gamma: float = 0.9

    record = registry.Algorithm("New AC", NewAC, registry.REINFORCEMENT, ("vector",))
    monkeypatch.setitem(registry.ALGORITHMS, "new_ac", record)
    assert {"New AC", "New AC, eager"} <= {arm.label for arm in resource_arms.time_arms("HalfCheetah-v4", 1.0)}
    assert "New AC" in {arm.label for arm in resource_arms.memory_arms("HalfCheetah-v4", (1, 10))}
    assert "New AC" not in {arm.label for arm in resource_arms.time_arms("MinAtar/Breakout-v1", 1.0)}


@pytest.mark.parametrize("preset", ["paper", "laptop", "quick"])
def test_all_runs_of_the_experiment_are_of_learners_that_can_act_there(preset, tmp_path):
    from experiments.plan import spaces_of

    runs = runs_of(load_experiment("resource_cost"), preset)
    for run in runs:
        check_hyperparameters(run)
        check_spaces(run, spaces_of(run.env_id, run.environment))
    groups = plan(Store(tmp_path), runs, workers=1)
    assert len(groups) == len(runs)
    assert all(group.title and group.seconds > 0 for group in groups)


def test_a_slower_device_is_drawn_without_measuring_learners_again():
    from experiments.expand import override

    experiment = load_experiment("resource_cost")
    before = {run.run_id for run in runs_of(experiment, "quick")}
    after = runs_of(experiment, override(experiment.preset("quick"), {"slowdown": 12}))
    assert {run.algorithm for run in after if run.run_id not in before} == {"arithmetic"}


# The figure


def figure_data(tmp_path, slowdown=1.0, only=None, core_share=1.0):
    from analysis.figures import FigureData

    arms = (
        Arm("arithmetic", "arithmetic", {"slowdown": slowdown}),
        Arm("Stream AC", "update_time", {}),
        Arm("Stream AC, eager", "update_time", {"engine": "eager"}),
        Arm("PPO", "update_time", {"learner": "ppo"}),
        Arm("SAC", "peak_memory", {"learner": "sac", "samples": (1, 100)}),
    )
    preset = Preset("", (Row("HalfCheetah-v4", arms, steps=2, seeds=1, bin_width=1),))
    store = Store(tmp_path)
    times = {"Stream AC": (0.02, 0.1, 0.1), "Stream AC, eager": (0.2, 2.0, 2.0), "PPO": (0.2, 90.0, 0.04)}
    for _, arm, run in labelled_runs(preset):
        if only and arm.algorithm != only:
            continue
        if arm.algorithm == "arithmetic":
            table = pd.DataFrame({"repeat": 0, "quantity": ["matrix product"], "gflops": [50.0]})
        elif arm.algorithm == "update_time":
            names = ["action", "update", "learning per step"]
            parts = [
                pd.DataFrame({"repeat": repeat, "quantity": names, "milliseconds": np.array(times[arm.label]) * (1 + repeat)})
                for repeat in (0, 1)
            ]
            table = pd.concat(parts, ignore_index=True).assign(core_share=core_share)
        else:
            table = pd.DataFrame(
                [(0, 1, 5e6, 6e6, 4.8e6, 4e8, ""), (0, 100, np.nan, np.nan, 9e9, np.nan, "over 4 GB allowed")],
                columns=memory.COLUMNS,
            )
        columns = {name: np.array(table[name].tolist()) for name in table}
        store.publish(run, {run.algorithm: columns}, {"status": "finished"}, {})
    experiment = Experiment("resource_cost", "", "", {"quick": preset}, "resource_cost", kind="measurement")
    return FigureData(experiment, preset, store, pd.DataFrame(), pd.DataFrame(), pd.DataFrame())


def value(numbers, column="value", **keys):
    rows = numbers
    for key, wanted in keys.items():
        rows = rows[rows[key] == wanted]
    assert len(rows) == 1
    return rows.iloc[0][column]


def test_figure_shows_medians_cycles_and_the_device(tmp_path):
    from analysis.figures.resource_cost import draw

    figure, numbers = draw(figure_data(tmp_path, slowdown=10.0))
    ppo = {"learner": "PPO", "quantity": "update"}
    assert value(numbers, **ppo) == pytest.approx(135.0)
    assert (value(numbers, "lowest", **ppo), value(numbers, "highest", **ppo)) == (90.0, 180.0)
    assert value(numbers, "device", **ppo) == pytest.approx(1350.0)
    assert value(numbers, "cycles", **ppo) == pytest.approx(30.0)
    panels = [axes for part in figure.subfigs for axes in part.axes]
    dots = [
        sorted(line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1 and line.get_marker() not in ("|", "x"))
        for axes in panels
        if axes.get_title(loc="left") == "HalfCheetah-v4"
    ]
    assert len(dots) == 2  # this machine, and the device beside it
    np.testing.assert_allclose(dots[1], [10 * time for time in dots[0]])
    assert dots[0][-1] == pytest.approx(135.0)
    assert not any(axes.patches for axes in panels)  # no bars on a logarithmic axis
    names = [label.get_text() for axes in panels for label in axes.get_yticklabels()]
    assert {"Stream AC", "PPO", "AVG update, Jetson Nano"} <= set(names)


@pytest.mark.parametrize(("core_share", "told"), [(0.97, False), (0.31, True)])
def test_times_of_a_busy_machine_are_called_so(tmp_path, core_share, told):
    from analysis.figures.resource_cost import draw

    figure, numbers = draw(figure_data(tmp_path, core_share=core_share))
    assert value(numbers, "core_share", learner="PPO", quantity="update") == core_share
    assert any("busy" in text.get_text() and "31%" in text.get_text() for text in figure.texts) == told


def test_this_machine_alone_has_one_column(tmp_path):
    from analysis.figures.resource_cost import draw

    figure, _ = draw(figure_data(tmp_path))
    titles = [axes.get_title(loc="left") for part in figure.subfigs for axes in part.axes]
    assert titles.count("HalfCheetah-v4") == 1


def test_computed_bytes_stand_where_nothing_was_measured(tmp_path):
    from analysis.figures.resource_cost import IMAGE_SAMPLE_BYTES, draw, tables

    figure, numbers = draw(figure_data(tmp_path))
    assert value(numbers, learner="SAC", samples=1, quantity="peak") == 6e6
    assert np.isnan(value(numbers, learner="SAC", samples=100, quantity="peak"))
    assert value(numbers, "note", learner="SAC", samples=100, quantity="peak") == "over 4 GB allowed"
    images = numbers[(numbers["env_id"] == "robot images") & (numbers["samples"] == 10**6)]
    assert images["quantity"].tolist() == ["computed"]
    assert images["value"].item() == 1e6 * IMAGE_SAMPLE_BYTES
    assert 43.2e9 < images["value"].item() < 44e9
    dashed = [
        line
        for part in figure.subfigs
        for axes in part.axes
        for line in axes.lines
        if 9e9 in np.asarray(line.get_ydata()).tolist()
    ]
    assert dashed
    assert {line.get_linestyle() for line in dashed} <= {"--", "None"}
    arithmetic, times, sac = (frame for _, frame in tables(numbers))
    assert arithmetic["value"].tolist() == [50.0]
    assert times["learner"].tolist() == ["Stream AC", "Stream AC, eager", "PPO"]
    assert sac[sac["learner"] == "SAC"]["computed"].tolist() == [4.8, 9000.0]


@pytest.mark.parametrize("only", ["arithmetic", "update_time", "peak_memory"])
def test_each_part_can_be_drawn_alone(tmp_path, only):
    from analysis import plot
    from analysis.figures.resource_cost import draw, tables

    with plot.style():
        figure, numbers = draw(figure_data(tmp_path / "store", only=only))
        assert len(plot.save(figure, tmp_path / "figure")) == 3
    assert len(tables(numbers)) == 1
