"""From a declared experiment to finished runs: specs, plan, workers, store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.loading import load_run as load_run

__all__ = ["load_run"]


def __getattr__(name: str) -> Any:
    # Planning and status import this package and none of what loading a run takes.
    if name == "load_run":
        from experiments.loading import load_run

        return load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
