"""Train what is missing of an experiment, then draw its figure and print its table.

python -m experiments.run stream_barrier --preset quick
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from algorithms.toolchain import best_instruction_set
from experiments import checkpoint
from experiments.arithmetic import INSTRUCTION_SET_HELP, KERNELS_HELP, Arithmetic, check_instruction_set, choose
from experiments.cli import (
    DEFAULT_PRESET,
    DEFAULT_STORE,
    LEARNER_HELP,
    MOST_LANES,
    MOST_SECONDS,
    MOST_WORKERS,
    SEEDS_HELP,
    SET_HELP,
    SPEC_HELP,
    Request,
    check_folder,
    check_results,
    experiment_word,
    make_console,
    positive,
    resolve_request,
)
from experiments.errors import UserError, told_plainly
from experiments.executor import PATIENCE_SECONDS, Job, Killed, run_local
from experiments.expand import check_spaces
from experiments.families import files_of
from experiments.fresh import forget_others, print_replaced
from experiments.plan import Group, disk_bytes, plan, spaces_of, wall_seconds
from experiments.progress import Progress, clock
from experiments.provenance import available_cores, made_by_others, other_versions, provenance
from experiments.registry import BATCH
from experiments.settings_text import parse_seeds
from experiments.spec import Run
from experiments.store import Store
from experiments.terminal import count, run_app, runs_are
from experiments.worker import Options

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str | None, typer.Argument(help="An experiment; `python -m experiments.list` shows them.")] = None,
    preset: Annotated[str, typer.Option(help="Size of the experiment.")] = DEFAULT_PRESET,
    store: Annotated[Path, typer.Option(help="Folder of finished runs and checkpoints.")] = Path(DEFAULT_STORE),
    results: Annotated[Path, typer.Option(help="Folder that figures and tables are written to.")] = Path("results"),
    seeds: Annotated[str | None, typer.Option(help=SEEDS_HELP)] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes of one thread each; default: one per core.")] = None,
    lanes: Annotated[int | None, typer.Option(help="Streams per worker; default: what fits the cache.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=SET_HELP)] = None,
    learner: Annotated[list[str] | None, typer.Option(help=LEARNER_HELP)] = None,
    spec: Annotated[Path | None, typer.Option(help=SPEC_HELP)] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder to write TensorBoard files of the runs to.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Train runs again that have failed or are damaged.")] = False,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Begin runs anew whose checkpoints do not fit here, and replace these."),
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Take measurements anew (never for training).")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Train again what other versions of the code have made, and replace it.")
    ] = False,
    weights: Annotated[
        bool, typer.Option("--weights/--no-weights", help="Keep what the learners have learnt with their runs.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show runs, groups and cost, and do nothing.")] = False,
    checkpoint_seconds: Annotated[float, typer.Option(help="Time between checkpoints.")] = 60.0,
    instruction_set: Annotated[str | None, typer.Option(help=INSTRUCTION_SET_HELP)] = None,
    kernels: Annotated[Path | None, typer.Option(help=KERNELS_HELP)] = None,
) -> None:
    """Train what is missing of an experiment, then draw its figure and print its table."""
    console = make_console()
    with told_plainly():
        positive("--workers", workers, MOST_WORKERS)
        positive("--lanes", lanes, MOST_LANES)
        positive("--checkpoint-seconds", checkpoint_seconds, MOST_SECONDS)
        name = experiment_word(name, spec)
        request = resolve_request(name, preset, set_ or [], parse_seeds(seeds), learner or [])
        check_results(results, request, write=not dry_run)
        if kernels is not None:
            check_folder(kernels, "--kernels")
        if instruction_set is not None:
            check_instruction_set(instruction_set)
        runs_store = Store(store)
        if request.experiment.kind == "measurement":
            workers = 1  # a neighbour would be measured as well
        elif again:
            raise UserError(f"--again is for measurements; finished runs of {name} do not change, choose other seeds or keys.")
        workers = workers or available_cores()
        todo, failed, taken = missing_runs(request, runs_store, retry, again, fresh)
        if not dry_run and wait_for_the_dying(console, runs_store, taken):
            todo, failed, taken = missing_runs(request, runs_store, retry, again, fresh)
        if fresh:
            print_replaced(console, runs_store, todo)
        groups = _groups(request, runs_store, todo, workers, lanes, instruction_set)
        _print_plan(console, request, todo, failed, groups, workers, dry_run, weights)
        if told := other_versions(runs_store, request.runs):
            console.print(told, soft_wrap=True)
        if dry_run:
            return
        check_data(todo)
        stopped, began = False, bool(todo)
        while todo:
            arithmetic = chosen_arithmetic(console, groups, instruction_set, kernels)
            runs_store.check_writable()
            for run in todo:
                runs_store.forgive(run.run_id)
            replaceable = checkpoint.identities(runs_store, (run.run_id for run in todo)) if restart else frozenset()
            if fresh:
                forget_others(runs_store, todo)
            options = Options(checkpoint_seconds, None, arithmetic, provenance(), again or fresh, replaceable, weights)
            jobs = _train(console, groups, runs_store, workers, options)
            stopped = any(job.state == "stopped" for job in jobs)
            over = set() if again else runs_store.finished()
            failed |= {run.run_id for run in request.runs} & runs_store.failures() - over
            failed |= {run_id for job in jobs if job.state == "failed" for run_id in _failed(runs_store, job)}
            # What was in the hands of others may have been given up meanwhile.
            todo, _, taken = missing_runs(request, runs_store, retry=False, again=False, fresh=fresh)
            if wait_for_the_dying(console, runs_store, taken):
                todo, _, taken = missing_runs(request, runs_store, retry=False, again=False, fresh=fresh)
            if stopped or failed:
                break
            if todo:
                console.print(f"{runs_are(len(todo))} trained here now that others have given up.")
                groups = _groups(request, runs_store, todo, workers, lanes, instruction_set)
        if taken:
            idle = "" if began or failed else "; nothing to do here"
            console.print(f"{runs_are(len(taken))} being trained by {holders(runs_store, taken)}{idle}.", soft_wrap=True)
        finished = runs_store.finished()
        if (began or not taken) and any(run.run_id in finished for run in request.runs):
            _report(name, request, store, results, seeds, set_ or [], learner or [], tensorboard)
    if stopped:
        console.print("Some runs were asked to stop; the same command goes on from their checkpoints.")
        raise SystemExit(130)
    refusals = runs_store.refusals()
    refused = {run.run_id: refusals[run.run_id] for run in request.runs if run.run_id in refusals.keys() - finished}
    for reason, number in Counter(refused.values()).items():
        console.print(Text.assemble((f"{count(number, 'run')} refused", "red"), f": {reason}"), soft_wrap=True)
    failed -= refused.keys()
    if failed:
        words = shlex.join(word for word in sys.argv[1:] if word != "--retry")
        shown_by = status_words(name, request, store, seeds, set_ or [], learner or [])
        console.print(
            Text.assemble(
                (f"{count(len(failed), 'run')} failed", "red"),
                f"; `python -m experiments.status {shown_by}` shows why, "
                f"`python -m experiments.run {words} --retry` tries again.",
            ),
            soft_wrap=True,
        )
    if failed or refused:
        raise SystemExit(1)


def status_words(
    name: str, request: Request, store: Path, seeds: str | None, settings: Sequence[str], learners: Sequence[str]
) -> str:
    """Return the words with which `experiments.status` shows the runs of a request."""
    words = [name, "--preset", request.preset_name]
    words += [] if store == Path(DEFAULT_STORE) else ["--store", str(store)]
    words += [] if seeds is None else ["--seeds", seeds]
    words += [word for setting in settings for word in ("--set", setting)]
    return shlex.join([*words, *(word for learner in learners for word in ("--learner", learner))])


def check_data(runs: Sequence[Run]) -> None:
    """Raise `UserError` where a file of data cannot be had that runs read; it is fetched where it is missing."""
    for env_id, environment in dict.fromkeys((run.env_id, run.environment) for run in runs):
        files_of(env_id, dict(environment))


def _groups(
    request: Request, store: Store, todo: Sequence[Run], workers: int, lanes: int | None, instruction_set: str | None
) -> list[Group]:
    def of_kernels() -> str:
        return instruction_set or best_instruction_set()

    for run in todo:  # raises where there is no such environment, before anything is touched
        check_spaces(run, spaces_of(run.env_id, run.environment), request.algorithms)
    return plan(store, todo, workers, lanes, of_kernels)


def _failed(store: Store, job: Job) -> set[str]:
    """Return which runs of a group that failed are to blame: all of it where nothing could be noted."""
    run_ids = {run.run_id for run in job.group.runs}
    return run_ids & store.failures() or run_ids


def wait_for_the_dying(console: Console, store: Store, run_ids: set[str]) -> bool:
    """Wait for workers whose starter is gone, and which are about to stop. Return whether there were any."""
    until, told = time.monotonic() + PATIENCE_SECONDS, False
    while time.monotonic() < until:
        found = [store.claimant(run_id) for run_id in run_ids]
        dying = {f"process {holder['pid']}" for holder in found if holder is not None and holder["dying"]}
        if not dying:
            break
        if not told:
            console.print(
                f"Waiting for {', '.join(sorted(dying))}, left behind by an earlier command, to stop.", soft_wrap=True
            )
        told = True
        time.sleep(0.1)
    return told


def missing_runs(
    request: Request, store: Store, retry: bool, again: bool, fresh: bool = False
) -> tuple[list[Run], set[str], set[str]]:
    """Return the runs to train, the ids of failed ones that are left alone, and of those that others are training.

    With `fresh` those that other versions of the code have made are to be trained, with `again` all are to be measured.
    Refused runs are to be trained: whether they fit shows where they are.
    """
    finished = set() if again else store.finished()
    if fresh:
        finished -= made_by_others(store, [run.run_id for run in request.runs]).keys()
    failed, claimed = store.failures() - store.refusals().keys(), store.claimed()
    todo, left_alone, taken = [], set(), set()
    for run in request.runs:
        if run.run_id in finished and not (retry and store.damaged(run.run_id)):
            continue
        holder = store.claimant(run.run_id) if run.run_id in claimed else None
        if holder is not None and holder["alive"]:
            taken.add(run.run_id)
        elif run.run_id in failed and not retry:
            left_alone.add(run.run_id)
        else:
            todo.append(run)
    return todo, left_alone, taken


def holders(store: Store, run_ids: set[str]) -> str:
    """Return who trains these runs, as words."""
    names = {f"process {h['pid']} on {h['host']}" for h in map(store.claimant, run_ids) if h is not None}
    return ", ".join(sorted(names)) or "another process"


def _print_plan(
    console: Console,
    request: Request,
    todo: Sequence[Run],
    failed: Collection[str],
    groups: Sequence[Group],
    workers: int,
    details: bool,
    weights: bool,
) -> None:
    print_runs(console, request, todo, failed)
    if not groups:
        return
    if details:
        print_groups(console, groups)
    core_hours = sum(group.seconds for group in groups) / 3600
    console.print(
        f"{count(len(groups), 'group')} on {count(workers, 'worker')}: about {core_hours:,.1f} core-hours, "
        f"{clock(wall_seconds(groups, workers))} by the clock, {disk_bytes(todo, weights) / 1e6:,.1f} MB of disk.",
        soft_wrap=True,
    )


def print_runs(console: Console, request: Request, todo: Sequence[Run], failed: Collection[str]) -> None:
    """Tell what was asked for and how much of it is to be trained; runs that failed are left alone."""
    done = len(request.runs) - len(todo) - len(failed)
    console.print(
        f"{request.experiment.title} ({request.experiment.source}), preset {request.preset_name}: "
        f"{count(len(request.runs), 'run')}, {done} finished or taken, "
        f"{f'{len(failed)} failed, ' if failed else ''}{len(todo)} to train.",
        soft_wrap=True,
    )


def print_groups(console: Console, groups: Sequence[Group]) -> None:
    """Print a table of groups and what each is expected to take."""
    table = Table(box=None)
    for column in ("group", "runs", "steps left", "expected steps/s", "core time"):
        table.add_column(column, justify="left" if column == "group" else "right")
    for group in groups:
        table.add_row(
            group.title,
            str(len(group.runs)),
            f"{group.steps_left:,}",
            f"{group.steps_per_second:,.0f}",
            clock(group.seconds),
        )
    console.print(table)


def chosen_arithmetic(
    console: Console, groups: Sequence[Group], instruction_set: str | None, kernels: Path | None
) -> Arithmetic | None:
    """Choose once for all workers how lanes are compiled, and tell where they cannot be; None where nobody will ask."""
    lanes = any(group.loop != BATCH for group in groups)
    if not lanes and instruction_set is None:
        return None
    arithmetic = choose(instruction_set, kernels)
    if lanes and arithmetic.compiler is None:
        console.print(
            "A C++ compiler or the headers of Python are missing: streaming learners run uncompiled, several times slower. "
            "On Debian, `apt-get install g++ python3-dev` changes that.",
            soft_wrap=True,
        )
    return arithmetic


def _train(console: Console, groups: list[Group], store: Store, workers: int, options: Options) -> list[Job]:
    try:
        with Progress(console, workers) as progress:
            return run_local(groups, store, options, workers, progress)
    except Killed:
        console.print("killed; the same command goes on from the last checkpoints.")
        raise SystemExit(130) from None
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from the checkpoints.")
        raise SystemExit(130) from None


def _report(
    name: str,
    request: Request,
    store: Path,
    results: Path,
    seeds: str | None,
    settings: Sequence[str],
    learners: Sequence[str],
    tensorboard: Path | None,
) -> None:
    # In a process of its own: analysis reads the store and imports nothing of the training.
    command = [sys.executable, "-m", "analysis.report", name, "--preset", request.preset_name]
    command += ["--store", str(store), "--results", str(results)]
    command += [] if seeds is None else ["--seeds", seeds]
    command += [word for setting in settings for word in ("--set", setting)]
    command += [word for learner in learners for word in ("--learner", learner)]
    command += [] if tensorboard is None else ["--tensorboard", str(tensorboard)]
    # Ctrl-C reaches this process only, which ends the other one.
    code = subprocess.run(command, start_new_session=True).returncode
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    run_app(app)
