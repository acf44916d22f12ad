"""Train again what other versions of the code have made: what is replaced, and what is begun anew for it.

A changed learner of the suite's own makes the same runs: their names hold its hyperparameters and not its code. Finished runs
are therefore taken as they are, and the commands say by which versions they were made; with `--fresh` they are trained again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from experiments import checkpoint
from experiments.provenance import made_by_others, this_version
from experiments.spec import Run
from experiments.store import Store, same_version


def print_replaced(console: Console, store: Store, todo: Sequence[Run]) -> None:
    """Tell which finished runs are to be replaced, and by what they were made."""
    replaced = made_by_others(store, [run.run_id for run in todo])
    by_name = Counter(name for names in replaced.values() for name in names)
    names = ", ".join(f"{name}: {number}" for name, number in by_name.most_common())
    if replaced:
        console.print(
            f"{len(replaced):,} finished run{'s' if len(replaced) > 1 else ''} made by other code ({names}) will be trained "
            "again; each stays until there is a new one.",
            soft_wrap=True,
        )
    else:
        console.print("No finished run was made by other code; there is nothing to replace.")


def forget_others(store: Store, todo: Sequence[Run]) -> None:
    """Remove the checkpoints of runs that other versions of the code began."""
    this, begun = this_version(), checkpoint.begun(store)
    for run in todo:
        if run.run_id in begun and not all(same_version(one, this) for one in checkpoint.code_versions(store, run.run_id)):
            checkpoint.discard(store, run.run_id)
