"""What a learning step of a recurrent network costs: what is timed is the learners' own step, and says when it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from algorithms.agent import leaves, map_state
from experiments.catalog import load_experiment
from experiments.expand import labelled_runs, resolve
from experiments.measurements import LearningStep
from experiments.spec import Arm, Row, Run
from experiments.store import Owner, Store
from experiments.training import cells, resources
from experiments.training.context import Context

CELLS = ("none", "rtu", "gru", "lstm")


def in_double(state: Any) -> Any:
    return map_state(lambda x: x.double(), state)


def begun(cell: str) -> tuple[Any, Any]:
    net: Any = cells._network(LearningStep(cell=cell, units=4, inputs=3))  # type: ignore[arg-type]
    parameters = net.init_parameters(torch.Generator().manual_seed(0), 0.0, False)
    return net, in_double({"parameters": parameters, "carry": net.init_carry(parameters)})


@pytest.mark.parametrize("cell", CELLS[1:])
def test_step_that_is_timed_follows_the_gradient_through_the_whole_past(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # With a step size of next to nothing the parameters stay, and so what is added to them is the exact gradient.
    size = 1e-9
    monkeypatch.setattr(cells, "STEP_SIZE", size)
    net, state = begun(cell)
    xs, target = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64), torch.tensor(0.7).double()
    for x in xs:
        before, state = state, cells.learnt(net, state, x, target)

    twin = {name: p.clone().requires_grad_() for name, p in before["parameters"].items()}
    own = {name.removeprefix("cell."): p for name, p in twin.items() if name.startswith("cell.")}
    hidden = net.cell.init_hidden().double()
    for x in xs:
        hidden = net.cell.step(own, hidden, x)
    value = net.cell.output(hidden) @ twin["heads.value.weight"][0] + twin["heads.value.bias"][0]
    (0.5 * (value - target) ** 2).backward()
    for name, p in twin.items():
        moved = (before["parameters"][name] - state["parameters"][name]) / size
        np.testing.assert_allclose(moved, p.grad, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("cell", CELLS)
def test_timed_step_writes_the_new_state_over_the_old(cell: str) -> None:
    found = cells.rows(LearningStep(cell=cell, units=3, inputs=2, seconds=0.001), 2, False, lambda: lambda: 1.0)  # type: ignore[arg-type]
    assert [row[:2] for row in found] == [(0, "learning step"), (1, "learning step")]
    assert all(milliseconds > 0 and updates >= cells.FEWEST_STEPS for _, _, milliseconds, updates, _ in found)
    step = cells.Step(LearningStep(cell=cell, units=3, inputs=2), False)  # type: ignore[arg-type]
    step.x.fill_(0.5)
    for _ in range(2):  # a linear unit's own past counts from the second step on
        before = map_state(torch.clone, step.state)
        step()
    expected = cells.learnt(cells._network(LearningStep(cell=cell, units=3, inputs=2)), before, step.x, torch.ones(()))  # type: ignore[arg-type]
    for was, found, wanted in zip(leaves(before), leaves(step.state), leaves(expected), strict=True):
        torch.testing.assert_close(found, wanted)
        assert not torch.equal(was, found)


def test_sensitivities_are_counted_before_they_are_taken() -> None:
    for cell, times in (("rtu", 2), ("gru", 5), ("lstm", 10)):
        net: Any = cells._network(LearningStep(cell=cell, units=5, inputs=3))  # type: ignore[arg-type]
        parameters = net.init_parameters(torch.Generator(), 0.0, False)
        of_the_cell = sum(p.numel() for name, p in parameters.items() if name.startswith("cell."))
        hidden = net.cell.init_hidden().numel()
        assert cells.sensitivities(net, parameters) == times * of_the_cell + hidden
        assert sum(x.numel() for x in leaves(net.init_carry(parameters))) == times * of_the_cell + hidden


def test_step_that_memory_is_too_short_for_takes_none_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "free_bytes", lambda: 3e9)
    with pytest.raises(RuntimeError, match=r"gru, 512 units: a step takes 3\.63 GB beside 1\.5 GB to spare, and 3 GB are free"):
        cells.Step(LearningStep(cell="gru", units=512, inputs=64), False)


def test_measurement_is_published_with_its_number_of_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "lane_compiler", lambda self: False)
    given = {"cell": "rtu", "units": 4, "inputs": 3, "seconds": 0.001}
    run = resolve(Row("memory/MemoryChain-v0", (), steps=2, seeds=1, bin_width=1), Arm("", "learning_step", given), 0)
    store = Store(tmp_path)
    resources.measure(run, Context(store, Owner()))
    table = store.load(run.run_id)[2]["learning_step"].to_pandas()
    assert list(table) == list(cells.COLUMNS)
    assert list(table["repeat"]) == [0, 1]


# The figure


def publish_times(store: Store, run: Run, milliseconds: float) -> None:
    table = {
        "repeat": np.arange(3),
        "quantity": np.array(["learning step"] * 3),
        "milliseconds": milliseconds * np.array([1.0, 1.1, 0.9]),
        "updates": np.full(3, 10),
        "core_share": np.ones(3),
    }
    store.publish(run, {run.algorithm: table}, {"status": "finished"}, {})


def test_figure_shows_growth_exponents_beside_the_published_ones(tmp_path: Path) -> None:
    from analysis.figures import FigureData
    from analysis.figures.rtrl_cost import draw, tables

    experiment = load_experiment("rtrl_cost")
    store, exponents = Store(tmp_path), {"FFN": 1.0, "GRU": 3.5, "LSTM": 4.0, "RTU": 0.5}
    for _, arm, run in labelled_runs(experiment.preset("paper")):
        cell, _, units = arm.label.partition(", ")
        publish_times(store, run, 0.01 * (int(units) / 8) ** exponents[cell])
    nothing = pd.DataFrame()
    _, numbers = draw(FigureData(experiment, experiment.preset("paper"), store, nothing, nothing, nothing))
    growth = dict(tables(numbers))["Growth exponents"].set_index("cell")
    assert set(growth["span"]) == {"from 128 to 512"}
    assert growth["ours"].to_dict() == pytest.approx(exponents)
    # Of the paper's figure, to two digits as the sheet of its numbers has them.
    assert growth["published"].round(2).to_dict() == {"FFN": 1.04, "GRU": 3.72, "LSTM": 4.08, "RTU": 0.16}
    times = dict(tables(numbers))["Milliseconds of a learning step, by units"]
    assert len(times) == 8
    assert {"8", "512"} <= set(times)
