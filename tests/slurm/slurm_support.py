"""What the tests of submissions, of tasks and of the real cluster share."""

from __future__ import annotations

from collections.abc import Callable

from experiment_support import Answer

from experiments.cli import resolve_request
from experiments.spec import Run

# Linear learners of few steps, which run uncompiled: they start and end quickly.
SMALL = ("stream_barrier", "--preset", "anchors", "--set", "env_id=Hopper-v4", "--set", "steps=400", "--set", "hidden=[]")

Submit = Callable[..., Answer]


def small_runs(seeds: int) -> tuple[Run, ...]:
    return tuple(resolve_request("stream_barrier", "anchors", SMALL[4::2], seeds).runs)
