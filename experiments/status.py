"""Show how far an experiment is: finished, running, queued, failed and missing runs.

python -m experiments.status stream_barrier --preset laptop
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from experiments.cli import DEFAULT_PRESET, DEFAULT_STORE, experiment_word, make_console, resolve_request
from experiments.errors import UserError, last_line, told_plainly
from experiments.expand import labelled_runs
from experiments.progress import clock
from experiments.settings_text import parse_seeds
from experiments.slurm_queue import queued
from experiments.store import Store
from experiments.terminal import run_app

# Long enough for a busy controller; who asks how far it is does not want to wait for one that is down.
PATIENCE_SECONDS = 10.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str | None, typer.Argument(help="An experiment.")] = None,
    preset: Annotated[str, typer.Option(help="Size of the experiment.")] = DEFAULT_PRESET,
    store: Annotated[Path, typer.Option(help="Folder of finished runs and checkpoints.")] = Path(DEFAULT_STORE),
    seeds: Annotated[str | None, typer.Option(help="As given to experiments.run.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="As given to experiments.run.")] = None,
    learner: Annotated[list[str] | None, typer.Option(help="As given to experiments.run.")] = None,
    spec: Annotated[Path | None, typer.Option(help="As given to experiments.run.")] = None,
) -> None:
    """Show how far an experiment is: finished, running, queued, failed and missing runs."""
    console = make_console()
    with told_plainly():
        request = resolve_request(experiment_word(name, spec), preset, set_ or [], parse_seeds(seeds), learner or [])
        runs_store = Store(store)
        finished, failed, claimed = runs_store.finished(), runs_store.failures(), runs_store.claimed()
        try:
            in_queue, unknown = queued(runs_store, PATIENCE_SECONDS), ""
        except UserError as error:
            in_queue, unknown = {}, f"Runs that wait in SLURM's queue count as missing: {error}"
        counts: dict[tuple[str, str], Counter[str]] = {}
        owners: dict[str, tuple[dict[str, Any], list[str]]] = {}
        for row, arm, run in labelled_runs(request.preset):
            state = "missing"
            if run.run_id in finished:
                state = "finished"
            elif run.run_id in claimed and (holder := runs_store.claimant(run.run_id)) is not None and holder["alive"]:
                state = "running"
                owners.setdefault(holder["owner"], (holder, []))[1].append(f"{arm.label} {row.panel_name} seed {run.seed}")
            elif run.run_id in failed:
                state = "failed"
            elif run.run_id in in_queue:
                state = "queued"
            counts.setdefault((row.panel_name, arm.label), Counter())[state] += 1
        console.print(_counts_table(counts))
        if unknown:
            console.print(unknown, soft_wrap=True)
        for holder, titles in owners.values():
            console.print(_running_line(holder, titles), soft_wrap=True)
        messages: dict[str, list[str]] = {}
        refusals = runs_store.refusals() if failed else {}
        refused = refusals.keys() - finished
        for reason, number in Counter(refusals[run.run_id] for run in request.runs if run.run_id in refused).items():
            console.print(f"{number} refused: {reason}", soft_wrap=True, markup=False)
        for run in request.runs:
            if run.run_id in failed - refusals.keys():  # or finished all the same: a measurement that could not be taken anew
                messages.setdefault(last_line(runs_store.failure(run.run_id)), []).append(run.run_id)
        for message, run_ids in messages.items():
            path = runs_store.failures_path / run_ids[0]
            console.print(f"{len(run_ids)} failed: {message} (traceback: {path})", soft_wrap=True)


def _counts_table(counts: dict[tuple[str, str], Counter[str]]) -> Table:
    table = Table(box=None, show_footer=True)
    total: Counter[str] = sum(counts.values(), start=Counter())
    states = ["finished", "running", "queued", "failed", "missing"]
    if not total["queued"]:
        states.remove("queued")  # nobody here uses a cluster, or all of it has begun
    table.add_column("environment", "all")
    table.add_column("algorithm")
    for state in states:
        table.add_column(state, str(total[state]), justify="right")
    for (env_id, label), count in counts.items():
        table.add_row(env_id, label, *(str(count[state] or "") for state in states))
    return table


def _running_line(holder: dict[str, Any], titles: list[str]) -> str:
    where = f"process {holder['pid']} on {holder['host']}" + (f", job {holder['job']}" if holder["job"] else "")
    more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
    return (
        f"running {titles[0]}{more}: step {holder.get('step', 0):,}, {holder.get('steps_per_second', 0):,.0f} steps/s, "
        f"{where}, heard of {clock(holder['heartbeat_age'])} ago"
    )


if __name__ == "__main__":
    run_app(app)
