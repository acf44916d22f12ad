"""The optimisers that a learner may be given, by name. All of them turn a trace and a TD error into new parameters."""

from __future__ import annotations

from algorithms.adam import TraceAdam
from algorithms.obgd import AdaptiveObGD, ObGD, TraceOptimizer
from algorithms.settings import OptimizerName
from algorithms.sgd import TraceSGD


def make_optimizer(name: OptimizerName, adaptive_bias_correction: bool = True) -> TraceOptimizer:
    """Return an optimiser by name."""
    if name == "adaptive_obgd":
        return AdaptiveObGD(bias_correction=adaptive_bias_correction)
    return {"obgd": ObGD, "adam": TraceAdam, "sgd": TraceSGD}[name]()
