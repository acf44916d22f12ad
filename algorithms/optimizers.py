"""The optimisers that a learner may be given, by name. All of them turn a trace and a TD error into new parameters."""

from __future__ import annotations

from typing import Literal

from algorithms.adam import TraceAdam
from algorithms.obgd import AdaptiveObGD, ObGD
from algorithms.sgd import TraceSGD

OptimizerName = Literal["obgd", "adaptive_obgd", "adam", "sgd"]
Optimizer = ObGD | AdaptiveObGD | TraceAdam | TraceSGD


def make_optimizer(name: OptimizerName, adaptive_bias_correction: bool = True) -> Optimizer:
    """Return an optimiser by name."""
    if name == "adaptive_obgd":
        return AdaptiveObGD(bias_correction=adaptive_bias_correction)
    return {"obgd": ObGD, "adam": TraceAdam, "sgd": TraceSGD}[name]()
