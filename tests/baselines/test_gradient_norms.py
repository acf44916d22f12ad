"""SAC and TD3 tell how long their gradients are, where asked, and learn the same as where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_batch import hopper, make_context, make_run, published

from baselines.batch import build
from baselines.incremental_sac import IncrementalSAC
from baselines.settings import SAC, TD3
from experiments.spec import Run
from experiments.training.batch import Stream, train
from experiments.training.context import Interrupted

SMALL = {"learning_starts": 20, "batch_size": 8, "buffer_size": 50, "hidden": (8,)}
LEARNERS = pytest.mark.parametrize("learner", [SAC, TD3])


def told_run(algorithm: str, steps: int, diagnostics: bool = True) -> Run:
    return make_run(algorithm, steps, **SMALL, diagnostics=diagnostics)


@LEARNERS
def test_told_lengths_are_those_of_the_gradients_that_were_followed(learner: type[SAC | TD3]) -> None:
    torch.set_num_threads(1)
    model = build(learner(**SMALL, diagnostics=True), hopper(), 1000, 0)  # type: ignore[arg-type]
    followed: dict[str, float] = {}
    for name, optimizer in model.optimizers.items():

        def look(*_: object, name: str = name) -> None:
            followed[name] = float(sum((p.grad**2).sum() for p in [model.vectors[name]]) ** 0.5)  # type: ignore[operator]

        optimizer.register_step_pre_hook(look)
    for _ in range(31):
        model.step()
    assert set(model.told) == {"actor_gradient_norm", "critic_gradient_norm"}
    for name in ("actor", "critic"):
        assert followed[name] > 0
        assert model.told[f"{name}_gradient_norm"] == pytest.approx(followed[name], rel=1e-5)


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_a_run_that_tells_is_otherwise_the_run_that_does_not(algorithm: str, tmp_path: Path) -> None:
    silent, telling = told_run(algorithm, 150, False), told_run(algorithm, 150)
    assert "diagnostics" not in dict(silent.hyperparameters)
    assert silent.run_id != telling.run_id
    contexts = make_context(tmp_path / "silent"), make_context(tmp_path / "telling")
    for run, context in zip((silent, telling), contexts, strict=True):
        train([run], context)
    assert published(contexts[0], silent) == published(contexts[1], telling)
    assert "metrics" not in contexts[0].store.load(silent.run_id)[2]


@pytest.mark.slow
def test_what_is_told_goes_on_after_a_stop(tmp_path: Path) -> None:
    run = told_run("sac", 2200)
    alone, broken = make_context(tmp_path / "alone"), make_context(tmp_path / "broken")
    train([run], alone)
    taken = 0

    def stop() -> bool:
        nonlocal taken
        taken += 1
        return taken == 1300

    with pytest.raises(Interrupted):
        train([run], make_context(tmp_path / "broken", stop))
    train([run], broken)
    tables = [context.store.load(run.run_id)[2]["metrics"].to_pydict() for context in (alone, broken)]
    assert tables[0] == tables[1]
    assert tables[0]["step"] == [1000, 2000]
    assert np.all(np.array(tables[0]["actor_gradient_norm_max"]) >= tables[0]["actor_gradient_norm"])


def test_a_stream_that_tells_nothing_keeps_nothing_of_it() -> None:
    stream = Stream(told_run("sac", 100, False))
    assert not {"metrics", "told"} & set(stream.get_state())


def test_the_form_in_lanes_says_that_it_cannot() -> None:
    with pytest.raises(ValueError, match="implementation=sb3"):
        IncrementalSAC(diagnostics=True).check()
