"""Is it a learner? One class is taken through all that training asks of it, and what is wrong is told by line and remedy.

Each check takes a `Subject` and returns words for what has held; it raises `Fault` for what has not. The later ones train:
alone and in lanes, eager and compiled, at one go and stopped in between.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.agent import NoiseSpec, Sample, State, Transition, map_state
from algorithms.toolchain import compiler_available
from experiments.environments import Environment
from experiments.expand import check_hyperparameters, check_spaces, resolve
from experiments.families import make
from experiments.plan import spaces_of
from experiments.randomness import NoiseStream, derive
from experiments.registry import SUPERVISED, algorithm, environment_options, loop_of, make_learner
from experiments.spec import Arm, Row, Run, Value
from experiments.store import Store
from experiments.testing.comparing import compare
from experiments.training.context import Unwatched
from experiments.training.reinforcement import Agents
from experiments.training.supervised import LabelledLearners
from experiments.worker import DONE, Options, train_runs

# Where a learner is tried that gives one or the other, unless an environment is named.
TRIED_ON = {"choice": "CartPole-v1", "vector": "Pendulum-v1", "prediction": "ETTm2-generated", "label": "permuted_digits"}
STEPS, TRAINED_STEPS, COMPARED_STEPS = 40, 200, 20
# How far a compiled step may be from an eager one after a few updates: its sums are in another order.
RELATIVE, ABSOLUTE = 1e-3, 1e-5
NEVER = 1e9

# What an error says, and what to do about it. The first that fits counts.
REMEDIES = (
    (r"found Double|but got Double|same dtype|Double and Float|Float and Double|expected .*Float.*Double",
     "observations, rewards and hyperparameters come as float64: convert what meets the weights with .to(torch.float32)"),
    (r"\.item\(\)|data-dependent control flow|Boolean value of Tensor|bool\(\) on a Tensor",
     "all lanes run the same code: choose with torch.where instead of `if`, and leave a tensor a tensor"),
    (r"random operation|randomness",
     "draw nothing in step: `noise` says which random numbers a step needs, and they are handed in"),
    (r"[Ii]n-?place|inplace", "do not write into tensors: return new ones"),
    (r"^KeyError", "`init` must put into the state all that the other methods read"),
    (r"size mismatch|shapes? .*(cannot|mismatch|incompatible)|must match the size",
     "moments come one at a time, without an axis for a batch: an observation has shape spaces.obs_shape"),
    (r"takes \d+ positional arguments?|unexpected keyword|missing \d+ required",
     "algorithms/agent.py says what each method is given"),
)  # fmt: skip


class Fault(Exception):
    """What is wrong with a learner, where, and what to do about it."""


@dataclass(frozen=True)
class Subject:
    """A learner on the environment that it is tried on."""

    reference: str
    env_id: str
    hyperparameters: Mapping[str, Value]

    def run(self, seed: int = 0, changes: Mapping[str, Value] | None = None) -> Run:
        """Return a run of it."""
        row = Row(self.env_id, (), steps=TRAINED_STEPS, seeds=1, bin_width=1)
        return resolve(row, Arm("", self.reference, {**self.hyperparameters, **(changes or {})}), seed)

    @cached_property
    def learner(self) -> Any:
        """Return the learner itself."""
        return make_learner(self.run())

    @property
    def spaces(self) -> Any:
        """Return the sizes of its stream."""
        return spaces_of(self.env_id, self.run().environment)

    @property
    def acts(self) -> bool:
        """Return whether it acts."""
        return loop_of(self.run()) is not SUPERVISED

    def line(self, method: str) -> str:
        """Return where a method is written, as words."""
        function = getattr(type(self.learner), method)
        code = inspect.unwrap(function).__code__
        return f"{code.co_filename}, line {code.co_firstlineno}, in {method}"

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Raise `Fault` with the line of the learner at which anything goes wrong."""
        try:
            yield
        except Fault:
            raise
        except Exception as error:
            raise Fault(self.blame("".join(traceback.format_exception(error)))) from error

    def blame(self, text: str) -> str:
        """Return where a traceback leaves the learner's own code, what was wrong there, and what to do about it."""
        own = Path(inspect.getfile(type(self.learner))).parent
        frames = re.findall(r'File "([^"]+)", line (\d+), in (\S+)', text)
        mine = [frame for frame in frames if own in Path(frame[0]).parents and "site-packages" not in frame[0]]
        place = "{}, line {}, in {}".format(*mine[-1]) if mine else type(self.learner).__name__
        # What follows the message, notes of the compiler for one, is about torch and not about the learner.
        said = [line for line in text.splitlines() if re.match(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b", line)]
        error = said[-1].split(". ")[0].rstrip(".") if said else text.strip().splitlines()[-1]
        error = re.sub(r"^(\w+\.)+", "", error)
        remedy = next((remedy for pattern, remedy in REMEDIES if re.search(pattern, text, re.MULTILINE)), "")
        return f"{place}: {error}{f'; {remedy}' if remedy else ''}."


# One stream, one moment after another, as a person would write it.


@dataclass
class Moment:
    """A step of a learner: what it was given and what it returned."""

    state: State
    given: tuple[Any, ...]
    returned: tuple[Any, ...]


def _walk(subject: Subject, steps: int) -> Iterator[Moment]:
    """Take a learner through a stream by itself. Raises whatever it raises."""
    learner, spaces, run = subject.learner, subject.spaces, subject.run()
    state = learner.init(torch.Generator().manual_seed(derive(0, "init")), spaces)
    noise = NoiseStream(0, learner.noise(spaces)).block(0)
    if not subject.acts:
        x, y = make(run.env_id, environment_options(run), run.seed).samples(0, steps)
        for number in range(steps):
            given = (Sample(torch.as_tensor(x[number]), torch.as_tensor(y[number]), torch.as_tensor(noise[number])),)
            yield Moment(state, given, returned := learner.step(state, *given))
            state = returned[0]
        return
    environment = Environment(run.env_id, 0, **environment_options(run))
    obs = torch.as_tensor(environment.reset()[0])
    started = learner.start(state, obs, torch.as_tensor(noise[0]))
    if not isinstance(started, tuple) or len(started) != 2:
        raise Fault(f"{subject.line('start')}: it must return (state, action).")
    _same_form(state, started[0], subject.line("start"))
    _check_action(subject, started[1], subject.line("start"))
    state, action = started
    for number in range(1, steps + 1):
        after, reward, terminated, truncated, _ = environment.step(np.asarray(action))
        restarted = environment.needs_reset
        next_obs = torch.as_tensor(after)
        acting_obs = torch.as_tensor(environment.reset()[0]) if restarted else next_obs
        ended, cut, begun = (torch.tensor(bool(flag)) for flag in (terminated, truncated, restarted))
        reward_ = torch.tensor(float(reward), dtype=torch.float64)
        transition = Transition(obs, action, reward_, next_obs, ended, cut, begun, acting_obs)
        moment = (transition, torch.as_tensor(noise[number]))
        yield Moment(state, moment, returned := learner.step(state, *moment))
        state, action, obs = returned[0], returned[1], acting_obs


def has_a_state(subject: Subject) -> str:
    """It says what noise it needs, and begins with a state of tensors."""
    with subject.blamed():
        noise = subject.learner.noise(subject.spaces)
        if not isinstance(noise, NoiseSpec):
            raise Fault(f"{subject.line('noise')}: it must return a NoiseSpec; {noise!r} is none.")
        state = subject.learner.init(torch.Generator().manual_seed(0), subject.spaces)
        again = subject.learner.init(torch.Generator().manual_seed(0), subject.spaces)
    count = sum(1 for _ in _leaves(state, subject.line("init")))
    for (path, one), (_, other) in zip(_leaves(state, subject.line("init")), _leaves(again, subject.line("init")), strict=True):
        if not torch.equal(one, other):
            raise Fault(
                f"{subject.line('init')}: {path} is drawn from elsewhere; draw it from the generator that is handed in."
            )
    return f"init makes a state of {count} tensors, the same from the same generator"


def steps_by_itself(subject: Subject) -> str:
    """It steps through a stream, keeps the form of its state and touches nothing that it was given."""
    must_be_finite = getattr(subject.learner, "must_be_finite", ("td_error",) if subject.acts else ("loss",))
    parts = 3 if subject.acts else 2
    with subject.blamed():
        for moment in _walk(subject, STEPS):
            returned, place = moment.returned, subject.line("step")
            if not isinstance(returned, tuple) or len(returned) != parts:
                wanted = "(state, action, info)" if subject.acts else "(state, info)"
                raise Fault(f"{place}: it must return {wanted}.")
            _same_form(moment.state, returned[0], place)
            if subject.acts:
                _check_action(subject, returned[1], place)
            _check_info(returned[-1], must_be_finite, place)
            before = map_state(torch.clone, moment.state)
            again = subject.learner.step(moment.state, *moment.given)
            for (path, was), (_, now) in zip(_leaves(before, place), _leaves(moment.state, place), strict=True):
                if not torch.equal(was, now):
                    raise Fault(f"{place}: it writes into {path}; return a new tensor instead.")
            for (path, one), (_, other) in zip(_told(returned, place), _told(again, place), strict=True):
                if not torch.equal(one, other):
                    raise Fault(
                        f"{place}: {path} differs when the same step is made twice; keep everything in the state, and draw "
                        "nothing in step but take the noise that is handed in."
                    )
    return f"{STEPS} steps of {subject.env_id}, each a pure function of what it was given"


def _told(returned: tuple[Any, ...], place: str) -> Iterator[tuple[str, Tensor]]:
    """Yield all that a step returned, by name."""
    yield from _leaves(returned[0], place)
    yield from (("the action", part) for part in returned[1:-1])
    yield from ((f"info[{name!r}]", value) for name, value in returned[-1].items())


def _leaves(state: Any, place: str, path: str = "state") -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, dict):
        for key, value in state.items():
            yield from _leaves(value, place, f"{path}[{key!r}]")
    elif isinstance(state, Tensor):
        yield path, state
    else:
        raise Fault(f"{place}: {path} is {state!r}; a state is a dict of tensors: write torch.tensor(...) around a number.")


def _same_form(old: State, new: Any, place: str) -> None:
    before, after = dict(_leaves(old, place)), dict(_leaves(new, place))
    for path in before.keys() ^ after.keys():
        there = "is new" if path in after else "is gone"
        raise Fault(f"{place}: {path} {there}; the state keeps the keys that init gave it.")
    for path, was in before.items():
        now = after[path]
        if (was.dtype, was.shape) != (now.dtype, now.shape):
            raise Fault(
                f"{place}: {path} came as {_form(was)} and is returned as {_form(now)}; convert it back, or begin with it so."
            )


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _check_action(subject: Subject, action: Any, place: str) -> None:
    spaces = subject.spaces
    dtype, shape = (torch.int64, ()) if spaces.discrete else (torch.float32, (spaces.action_size,))
    if not isinstance(action, Tensor) or action.dtype != dtype or tuple(action.shape) != shape:
        told = _form(action) if isinstance(action, Tensor) else repr(action)
        raise Fault(
            f"{place}: an action of {subject.env_id} is {str(dtype).removeprefix('torch.')} {list(shape)}; it is {told}."
        )
    if spaces.discrete and not 0 <= int(action) < spaces.action_size:
        raise Fault(f"{place}: the action {int(action)} is none of the {spaces.action_size} of {subject.env_id}.")


def _check_info(info: Any, must_be_finite: Sequence[str], place: str) -> None:
    if not isinstance(info, dict):
        raise Fault(f"{place}: info must be a dict of tensors; it is {info!r}.")
    for name in must_be_finite:
        if name not in info:
            raise Fault(
                f"{place}: info has no {name!r}, by which a learner is seen to diverge; put it in, or name others in a class "
                "variable `must_be_finite`."
            )
    for name, value in info.items():
        if not isinstance(value, Tensor) or value.shape:
            raise Fault(f"{place}: info[{name!r}] must be one number as a tensor; it is {value!r}.")


# In lanes and through the store, as it is trained.


def holds_in_lanes(subject: Subject) -> str:
    """A lane holds the bits of the same run alone, whatever the hyperparameters of its neighbours."""
    fields = [f.name for f in dataclasses.fields(subject.learner) if f.type in (float, "float")]
    smaller = {name: 0.9 * getattr(subject.learner, name) for name in fields}
    if faults := _lanes_against_alone(subject, smaller):
        guilty = [name for name in fields if _lanes_against_alone(subject, {name: smaller[name]})]
        if guilty and not _lanes_against_alone(subject, {}):
            raise Fault(
                f"{subject.line('step')}: lanes that differ in {', '.join(guilty)} do not learn what they learn alone; read "
                f'state["hyper"]["{guilty[0]}"], where init has put hyperparameters(self), and not self.{guilty[0]}.'
            )
        raise Fault(f"{subject.line('step')}: a lane differs from the same run alone: {faults[0]}.")
    told = f" and different {', '.join(fields)}" if fields else ""
    return f"three lanes with different seeds{told}, each bit for bit what it is alone"


def _lanes_against_alone(subject: Subject, changes: Mapping[str, Value]) -> list[str]:
    """Return what is different in the states of three lanes and of the same runs alone."""
    runs = (subject.run(0), subject.run(1, changes), subject.run(2))
    together = _states(subject, runs)
    alone = [_states(subject, (run,))[0] for run in runs]
    return [
        f"{path} of lane {lane + 1}"
        for lane, (one, other) in enumerate(zip(together, alone, strict=True))
        for path, value in one.items()
        if not torch.equal(value.nan_to_num(), other[path].nan_to_num())
    ]


def _states(subject: Subject, runs: Sequence[Run]) -> list[dict[str, Tensor]]:
    with subject.blamed():
        group = _group(subject)(runs, False)
        group.advance(0, TRAINED_STEPS, Unwatched(), lambda step: None)
        return [dict(_leaves(group.lanes.state(lane), "state")) for lane in range(len(runs))]


def goes_on(subject: Subject) -> str:
    """Stopped in between and started again, a run ends in the same bytes."""
    runs = (subject.run(0), subject.run(1))
    with tempfile.TemporaryDirectory() as folder:
        stopped, alone = Store(Path(folder) / "stopped"), Store(Path(folder) / "alone")
        asked = iter((False, True))
        _train(subject, runs, stopped, lambda: next(asked, True))
        _train(subject, runs, stopped)
        _train(subject, runs, alone)
        if faults := compare(stopped, alone, runs):
            raise Fault(
                f"{subject.line('step')}: training that was stopped and started again ends differently ({faults[0]}); keep "
                "everything that changes in the state."
            )
    return "stopped and started again, it ends in the same bytes"


def _train(subject: Subject, runs: Sequence[Run], store: Store, stop: Callable[[], bool] = lambda: False) -> None:
    with warnings.catch_warnings(action="ignore"):
        code = train_runs(runs, store, Options(NEVER, compiled=False), stop)
    for run_id in store.failures():
        raise Fault(subject.blame(store.failure(run_id)))
    if code != DONE and not stop():
        raise Fault(f"{type(subject.learner).__name__} was not trained to its end.")


def compiles(subject: Subject) -> str:
    """Compiled, it computes what it does otherwise."""
    if not compiler_available():
        return "not compiled: a C++ compiler or the headers of Python are missing"
    runs = (subject.run(0), subject.run(1))
    with subject.blamed():
        eager, compiled = (_group(subject)(runs, compiled) for compiled in (False, True))
        for step in range(1, COMPARED_STEPS + 1):
            _feed(eager, compiled, step)
            for lane in range(len(runs)):
                one, other = (dict(_leaves(group.lanes.state(lane), "state")) for group in (eager, compiled))
                for path, value in one.items():
                    if not torch.allclose(value, other[path], RELATIVE, ABSOLUTE, equal_nan=True):
                        far = float((value.double() - other[path].double()).abs().max())
                        raise Fault(
                            f"{subject.line('step')}: after {step} steps {path} is another one where the step is compiled, by "
                            f"{far:.2g}; look for numbers that a small difference turns over, such as comparisons of nearly "
                            "equal values."
                        )
    return f"compiled, {COMPARED_STEPS} steps agree with the eager ones"


def _group(subject: Subject) -> Callable[..., Any]:
    return Agents.begin if subject.acts else LabelledLearners.begin


def _feed(leader: Any, follower: Any, step: int) -> None:
    """Make one step in two groups, the second with the experience of the first."""
    lanes, other = leader.lanes, follower.lanes
    for lane, stream in enumerate(leader.streams):
        block = stream.noise.block(0)
        lanes.noise[lane] = block[step]
        if isinstance(leader, Agents):
            environment = stream.environment
            obs, lanes.reward[lane], lanes.terminated[lane], lanes.truncated[lane], _ = environment.step(lanes.action[lane])
            lanes.next_obs[lane] = obs
            lanes.restarted[lane] = environment.needs_reset
            lanes.acting_obs[lane] = environment.reset()[0] if environment.needs_reset else obs
        else:
            x, y = stream.samples.samples(step, 1)
            lanes.x[lane], lanes.y[lane] = x[0], y[0]
    for name in type(lanes._ports)._fields:
        other.view(name)[:] = lanes.view(name)
    lanes.step()
    other.step()


CHECKS: tuple[Callable[[Subject], str], ...] = (has_a_state, steps_by_itself, holds_in_lanes, goes_on, compiles)


def subject_of(reference: str, env_id: str | None, hyperparameters: Mapping[str, Value]) -> Subject:
    """Return a learner with an environment that it fits; raise `UserError` where it does not fit the one named."""
    record = algorithm(reference)
    subject = Subject(reference, env_id or TRIED_ON[record.gives[0]], hyperparameters)
    run = subject.run()
    check_hyperparameters(run)
    check_spaces(run, subject.spaces)
    return subject
