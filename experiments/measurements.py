"""Settings of what is measured rather than trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Throughput:
    """What to measure. A run's `steps` is the number of times that all quantities are measured, in turn."""

    learner: str = "stream_ac"
    """Algorithm of the registry, with its default hyperparameters."""
    lanes: int = 8
    """Streams in one process; 1 for batch learners."""
    workers: int = 1
    """Processes side by side, each on its own core; above 1 only the learner with its environment is measured."""
    seconds: float = 1.5
    """Least time of one measurement."""
