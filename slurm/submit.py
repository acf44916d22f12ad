"""Submit what is missing of an experiment as SLURM arrays.

python -m slurm.submit stream_barrier --preset paper --profile example
"""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

import submitit
import typer
from rich.console import Console
from rich.table import Table

from experiments.checkpoint import identities
from experiments.cli import (
    DEFAULT_PRESET,
    DEFAULT_STORE,
    LEARNER_HELP,
    MOST_LANES,
    MOST_SECONDS,
    SEEDS_HELP,
    SET_HELP,
    SPEC_HELP,
    Request,
    experiment_word,
    make_console,
    positive,
    resolve_request,
)
from experiments.errors import UserError, told_plainly
from experiments.executor import ONE_THREAD
from experiments.expand import check_spaces
from experiments.plan import disk_bytes, plan, spaces_of
from experiments.progress import clock
from experiments.run import check_data, holders, missing_runs, print_groups, print_runs
from experiments.settings_text import parse_seeds
from experiments.slurm_queue import queued
from experiments.spec import Run
from experiments.store import Store
from experiments.terminal import count, run_app, runs_are
from slurm import queue
from slurm.cluster import Cluster, load_cluster
from slurm.packing import Cost, TaskPlan, arrays, cost, pack
from slurm.task import Task

TARGET_HOURS = 2.0
USUAL_MAX_ARRAY_SIZE = 1001  # SLURM's own default
# submitit counts a requeue at the time limit, and any at all of a job of ten minutes or less, against this; a task stops
# asking by itself when it gains nothing.
REQUEUES = 10**6
SUBMITITS_TAGS = ("%j", "%t", "%A", "%a")
# Without these the batch shell dies of the signal that the task is to answer, and takes the task with it.
OUTLIVE_SIGNALS = "trap : TERM USR1 USR2"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    profile: Annotated[str, typer.Option(help="A file of slurm/profiles by name, or the path of a .toml file.")],
    name: Annotated[str | None, typer.Argument(help="An experiment; `python -m experiments.list` shows them.")] = None,
    preset: Annotated[str, typer.Option(help="Size of the experiment.")] = DEFAULT_PRESET,
    store: Annotated[Path, typer.Option(help="Folder of finished runs and checkpoints, on a disk of all nodes.")] = Path(
        DEFAULT_STORE
    ),
    seeds: Annotated[str | None, typer.Option(help=SEEDS_HELP)] = None,
    lanes: Annotated[int | None, typer.Option(help="Streams per worker; default: what fits the cache.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=SET_HELP)] = None,
    learner: Annotated[list[str] | None, typer.Option(help=LEARNER_HELP)] = None,
    spec: Annotated[Path | None, typer.Option(help=SPEC_HELP)] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Train runs again that have failed.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin runs anew whose checkpoints do not fit on the nodes.")
    ] = False,
    weights: Annotated[
        bool, typer.Option("--weights/--no-weights", help="Keep what the learners have learnt with their runs.")
    ] = True,
    hours: Annotated[float, typer.Option(help="Length of an array task to aim at.")] = TARGET_HOURS,
    allocation: Annotated[float | None, typer.Option(help="Core-hours to set the cost against.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Submit without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show tasks, cost and sbatch parameters, and do nothing.")] = False,
    checkpoint_seconds: Annotated[float, typer.Option(help="Time between checkpoints.")] = 60.0,
) -> None:
    """Submit what is missing of an experiment as SLURM arrays."""
    console = make_console()
    with told_plainly():
        for option, number, most in (
            ("--lanes", lanes, MOST_LANES),
            ("--hours", hours, 10_000),
            ("--allocation", allocation, math.inf),
            ("--checkpoint-seconds", checkpoint_seconds, MOST_SECONDS),
        ):
            positive(option, number, most)
        request = resolve_request(experiment_word(name, spec), preset, set_ or [], parse_seeds(seeds), learner or [])
        name = request.experiment.name
        if request.experiment.kind == "measurement":
            raise UserError(
                f"{name} measures speed, which neighbours on a node would change; use `python -m experiments.run {name}`."
            )
        cluster = load_cluster(profile)
        runs_store = Store(store.absolute())
        if tag := next((tag for tag in SUBMITITS_TAGS if tag in str(runs_store.root)), None):
            raise UserError(f"submitit puts the number of a job for {tag} in {runs_store.root}; choose another --store.")
        todo, failed = _todo(console, request, runs_store, retry)
        for run in todo:  # raises where there is no such environment, before anything is touched
            check_spaces(run, spaces_of(run.env_id, run.environment), request.algorithms)
        tasks = _tasks(runs_store, todo, cluster, lanes, hours)
        print_runs(console, request, todo, failed)
        if not tasks:
            console.print("Nothing to submit.")
            return
        if dry_run:
            print_groups(console, [group for task in tasks for group in task.groups])
            _print_tasks(console, tasks)
        _print_cost(console, tasks, todo, cluster, allocation, weights)
        size = _max_array_size(console, cluster, dry_run)
        chunks = arrays(tasks, size)
        if dry_run:
            _print_parameters(console, cluster, chunks, name, runs_store)
            return
        check_data(todo)
        _confirm(yes, tasks)
        runs_store.check_writable()
        with queue.submitting(runs_store):
            queue.sweep(runs_store)
            now, _ = _todo(console, request, runs_store, retry)
            if set(now) != set(todo):  # while the question was open
                console.print(f"{runs_are(len(set(todo) - set(now)))} finished, queued or begun meanwhile.")
                tasks = _tasks(runs_store, now, cluster, lanes, hours)
            for run in now:
                runs_store.forgive(run.run_id)
            for chunk in arrays(tasks, size):
                _submit(console, chunk, cluster, runs_store, name, checkpoint_seconds, restart, weights)
        console.print(
            "`experiments.status` and `experiments.run` with the same options show how far it is and draw what is finished. "
            "Submitting again adds only what is missing.",
            soft_wrap=True,
        )


def _todo(console: Console, request: Request, store: Store, retry: bool) -> tuple[list[Run], set[str]]:
    """Return the runs that are neither finished nor failed, nor claimed, nor in a task that SLURM still has; and the failed."""
    missing, failed, taken = missing_runs(request, store, retry, again=False)
    in_queue = queued(store)
    # A failure is forgiven when its run is submitted: one that is there has come since, and its task will not try again.
    waiting = {run.run_id for run in missing if run.run_id in in_queue} - store.failures()
    if waiting:
        jobs = ", ".join(sorted({in_queue[run_id] for run_id in waiting}))
        console.print(f"{runs_are(len(waiting))} queued already, in job {jobs}.", soft_wrap=True)
    if taken:
        console.print(f"{runs_are(len(taken))} being trained by {holders(store, taken)}.", soft_wrap=True)
    if failed:
        console.print(
            f"{runs_are(len(failed))} left alone, having failed; --retry submits again.",
            soft_wrap=True,
        )
    return [run for run in missing if run.run_id not in waiting], failed


def _tasks(store: Store, runs: Sequence[Run], cluster: Cluster, lanes: int | None, hours: float) -> list[TaskPlan]:
    target = min(hours * 3600, 60 * cluster.time_minutes - cluster.signal_delay_seconds)
    fixed = cluster.instruction_set  # otherwise each node chooses, and nothing is known of it here
    groups = plan(store, runs, cluster.cores, lanes, None if fixed is None else lambda: fixed)
    return pack(groups, cluster.cores, target)


def _max_array_size(console: Console, cluster: Cluster, dry_run: bool) -> int:
    if cluster.max_array_size:
        return cluster.max_array_size
    try:
        return queue.max_array_size()
    except UserError:
        if not dry_run:
            raise
        console.print(f"SLURM does not answer here; MaxArraySize is taken to be {USUAL_MAX_ARRAY_SIZE}.")
        return USUAL_MAX_ARRAY_SIZE


def memory_gb(cluster: Cluster, tasks: Sequence[TaskPlan]) -> float:
    """Return the memory to ask for in an array: what the profile gives each worker, or more where replay buffers need it."""
    return max(task.memory_bytes(cluster.memory_gb_per_core * 2**30) for task in tasks) / 2**30


def parameters(cluster: Cluster, tasks: Sequence[TaskPlan], name: str, folder: Path) -> dict[str, Any]:
    """Return what the tasks of an array ask SLURM for, in submitit's words. Nothing is left to submitit's defaults.

    `folder` is where their output goes.
    """
    cores = tasks[0].cores
    # In the path that submitit gives, SLURM would put job numbers for a % of the folder's own name.
    stem = f"{str(folder.absolute()).replace('%', '%%')}/%A_%a"
    output, error = f"{stem}_0_log.out", f"{stem}_0_log.err"
    optional = {key: getattr(cluster, key) for key in ("partition", "account", "qos", "constraint")}
    return {
        "job_name": name,
        "time": cluster.time_minutes,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": cores,
        "mem": f"{math.ceil(1024 * memory_gb(cluster, tasks))}M",
        "signal_delay_s": cluster.signal_delay_seconds,
        "array_parallelism": cluster.array_parallelism,
        **{key: value for key, value in optional.items() if value is not None},
        "setup": [OUTLIVE_SIGNALS, "export " + " ".join(f"{k}={v}" for k, v in ONE_THREAD.items()), *cluster.setup],
        # Since SLURM 22.05 srun does not take the cores over from the job.
        "srun_args": [f"--cpus-per-task={cores}", f"--output={output}", f"--error={error}"],
        # Requeued also where the cluster's default is not to be.
        "additional_parameters": {"requeue": True, "output": output, "error": error},
    }


def _logs(store: Store, name: str) -> Path:
    return queue.folder(store) / "logs" / name


def _submit(
    console: Console,
    tasks: Sequence[TaskPlan],
    cluster: Cluster,
    store: Store,
    experiment: str,
    checkpoint_seconds: float,
    restart: bool,
    weights: bool,
) -> None:
    def replaceable(task: TaskPlan) -> frozenset[str]:  # those of today, or a task would begin anew after each requeue
        return identities(store, (run.run_id for group in task.groups for run in group.runs)) if restart else frozenset()

    name = queue.unique_name(experiment)
    try:
        executor = submitit.SlurmExecutor(folder=_logs(store, name), max_num_timeout=REQUEUES)
    except RuntimeError:
        raise UserError("srun was not found; submit from a login node of a SLURM cluster.") from None
    executor.update_parameters(**parameters(cluster, tasks, name, executor.folder))
    queue.remember(store, name, [[run.run_id for group in task.groups for run in group.runs] for task in tasks])
    try:
        with redirect_stderr(StringIO()), executor.batch():  # what sbatch says is told below, in one sentence
            jobs = [
                executor.submit(
                    Task(
                        str(store.root),
                        task.groups,
                        task.cores,
                        checkpoint_seconds,
                        cluster.time_minutes,
                        cluster.instruction_set,
                        None if cluster.kernels is None else Path(cluster.kernels).expanduser().absolute(),
                        replaceable(task),
                        weights,
                    )
                )
                for task in tasks
            ]
    except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError, RuntimeError) as error:
        queue.forget(store, name)
        shutil.rmtree(executor.folder, ignore_errors=True)
        said = str(error).splitlines() or ["no reason given"]
        reason = next((line for line in said if "error:" in line), said[0]).removeprefix("sbatch: error: ").rstrip(".")
        raise UserError(f"sbatch refused the job ({reason}); change the profile or the options and submit again.") from None
    job = jobs[0].job_id.partition("_")[0]
    console.print(f"Submitted {count(len(tasks), 'task')} as job {job}; output in {executor.folder}.", soft_wrap=True)


def _print_tasks(console: Console, tasks: Sequence[TaskPlan]) -> None:
    table = Table(box=None)
    for column in ("task", "groups", "runs", "expected time"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for number, task in enumerate(tasks):
        runs = sum(len(group.runs) for group in task.groups)
        table.add_row(str(number), str(len(task.groups)), str(runs), clock(task.seconds))
    console.print(table)


def _print_cost(
    console: Console, tasks: Sequence[TaskPlan], runs: Sequence[Run], cluster: Cluster, allocation: float | None, weights: bool
) -> None:
    console.print(cost_line(cost(tasks), tasks[0].cores, allocation or cluster.allocation_core_hours), soft_wrap=True)
    longest = max(task.seconds for task in tasks)
    limit = 60 * cluster.time_minutes - cluster.signal_delay_seconds
    requeues = f", requeued about {math.ceil(longest / limit) - 1} times at its time limit" if longest > limit else ""
    console.print(
        f"The longest task takes {clock(longest)}{requeues}. {disk_bytes(runs, weights) / 1e6:,.1f} MB of disk.",
        soft_wrap=True,
    )
    given, needed = cluster.memory_gb_per_core * tasks[0].cores, memory_gb(cluster, tasks)
    if needed > given:
        console.print(
            f"Batch learners and their buffers need {needed:.1f} GB in a task, which is asked for instead of the profile's "
            f"{given:.1f} GB.",
            soft_wrap=True,
        )


def cost_line(total: Cost, cores: int, allocation: float | None) -> str:
    """Return what is about to be spent, as words."""
    share = "" if allocation is None else f", {total.share(allocation):.2g} % of {allocation:,.0f}"
    return (
        f"{count(total.tasks, 'task')} of {count(cores, 'core')}: about {total.charged_core_hours:,.1f} core-hours charged "
        f"({total.training_core_hours:,.1f} of training{share})."
    )


def _print_parameters(
    console: Console, cluster: Cluster, chunks: Sequence[Sequence[TaskPlan]], name: str, store: Store
) -> None:
    name = f"{name}-..."
    largest = max(chunks, key=lambda chunk: memory_gb(cluster, chunk))
    told = parameters(cluster, largest, name, _logs(store, name))
    console.print("Asked of sbatch:")
    for key, value in told.items():
        console.print(f"  {key} = {value}", soft_wrap=True)
    sizes = ", ".join(f"0-{len(chunk) - 1}%{min(len(chunk), cluster.array_parallelism)}" for chunk in chunks)
    console.print(f"  {count(len(chunks), 'array')}: {sizes}", soft_wrap=True)


def _confirm(yes: bool, tasks: Sequence[TaskPlan]) -> None:
    if yes:
        return
    try:
        agreed = typer.confirm(f"Submit {count(len(tasks), 'task')}?")
    except typer.Abort:
        raise UserError("nobody answered, so nothing was submitted; --yes submits without asking.") from None
    if not agreed:
        print("Nothing was submitted.")
        raise SystemExit(0)


if __name__ == "__main__":
    run_app(app)
