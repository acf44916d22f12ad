"""A finished run in Python: its learner, what that has learnt, and what was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import external
from experiments.errors import UserError, closest_names
from experiments.spec import Run
from experiments.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from experiments.environments import Environment


@dataclass(frozen=True)
class LoadedRun:
    """A finished run.

    Attributes:
        run: its configuration.
        learner: for lanes the learner of one stream, `algorithms.agent.Agent` or `LabelledLearner`; for a learner on
            stable-baselines3 its hyperparameters.
        state: what the learner has learnt: its state at the end, a nested dict of tensors, which `learner.step` goes on from.
            Of a learner on stable-baselines3 the parameters of its networks and the statistics of its normalisers. None where
            it diverged, or was trained with `--no-weights`, or before weights were kept.
        result: how it ended: `status`, `steps`, `diverged_at`.
        tables: what was recorded by name, such as `episodes` (step, episodic_return, length).
    """

    run: Run
    learner: Any
    state: dict[str, Any] | None
    result: Mapping[str, Any]
    tables: Mapping[str, pa.Table]

    def environment(self, seed: int | None = None) -> Environment:
        """Return the environment that it was trained in, from its beginning; with another seed another one."""
        from experiments.environments import Environment
        from experiments.registry import environment_options

        return Environment(self.run.env_id, self.run.seed if seed is None else seed, **environment_options(self.run))


def load_run(run_id: str, store: str | Path = "runs", learner: str | None = None) -> LoadedRun:
    """Return a finished run.

    Args:
        run_id: its name, that of its folder in `STORE/finished/`; or a beginning of it that no other run has.
        store: the folder of the store.
        learner: for a learner from outside, where it is: `my_learner.py:MyLearner`.

    Raise `UserError` where there is no such run, or where its learner is not found as it was.
    """
    from experiments.registry import make_learner

    place = Store(store)
    finished = place.finished()
    fitting = [run_id] if run_id in finished else [name for name in sorted(finished) if name.startswith(run_id)]
    if len(fitting) != 1:
        told = f"{len(fitting)} runs in {store} begin with {run_id!r}" if fitting else f"{store} has no finished run {run_id!r}"
        raise UserError(f"{told}{closest_names(run_id, fitting or sorted(finished)[:1000])}.")
    result, _, tables = place.load(fitting[0])
    run = _run_of(place.config(fitting[0]), learner)
    return LoadedRun(run, make_learner(run), place.weights(fitting[0]), result, tables)


def _run_of(config: Mapping[str, Any], learner: str | None) -> Run:
    name, code = config["algorithm"], config.get("code", "")
    if code:
        if learner is None:
            raise UserError(f"{name} is a learner from outside; say where it is, as learner='my_learner.py:{name}'.")
        name = external.reference(learner)
    hyperparameters, environment = (_plain(config[key]) for key in ("hyperparameters", "environment"))
    return Run(name, hyperparameters, config["env_id"], environment, config["steps"], config["seed"], code)


def _plain(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return options as a run holds them: JSON has lists where that has tuples."""
    return tuple((key, _tuples(value)) for key, value in sorted(options.items()))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
