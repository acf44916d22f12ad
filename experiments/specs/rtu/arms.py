"""What the experiments of RTU share: its learners, with the two public settings of each where sources differ.

The code is the first public state of the authors' repository; the draft is their later, extended text, whose settings their
later code has too. Which of them made the published figures is not known. The draft's networks are other ones as well (a
deviation that depends on the state, more parameters); here both have the network of the code.

Two things that differ from that code. SparseInit counts as Stream-X's does, which rounds up: with nine inputs or fewer (chains,
RepeatFirst's card) no weight of a unit's first layer is left; the code's library has rounded down at other times. And the last
observation of an episode enters the running statistics, where the code, which resets at once, does not see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.spec import Arm, Value

Settings = Mapping[str, Value]

CELL: Settings = {"cell": "rtu", "units": 192, "gradient": "rtrl"}
NO_CELL: Settings = {"cell": "none"}
# Of every stream actor-critic in that code: running statistics that begin with one sample, LayerNorm, sparse layers.
STREAM_AC: Settings = {"one_sample_prior": True, "alpha_policy": 1.0, "alpha_value": 1.0, "entropy": 0.01}
CODE_BOUND: Mapping[str, float] = {"kappa_policy": 1.5, "kappa_value": 1.0}
DRAFT_BOUND: Mapping[str, float] = {"kappa_policy": 3.0, "kappa_value": 2.0}


def recurrent(label: str, algorithm: str, settings: Settings, before: int, after: int, **changes: Value) -> Arm:
    """Return a learner with an RTU between a layer of `before` units and one of `after`."""
    given: dict[str, Any] = {**settings, **CELL, "hidden": (before,), "readout": (after,), **changes}
    return Arm(label, algorithm, given, emphasised=True)


def feedforward(label: str, algorithm: str, settings: Settings, before: int, after: int, **changes: Value) -> Arm:
    """Return the same learner without the cell: both layers follow each other."""
    given: dict[str, Any] = {**settings, **NO_CELL, "hidden": (before, after), **changes}
    return Arm(label, algorithm, given)
