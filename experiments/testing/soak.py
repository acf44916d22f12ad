"""Kill training again and again, and compare what it leaves with the same training left alone.

    python -m experiments.testing.soak --kills 100 --log results/soak/soak.log

A mixed plan of tiny runs (every family of environments, every kind of learner) is trained by what `experiments.run` is made
of: a command that plans and starts workers, and the workers. They are killed or asked to stop at random moments, some of them
while a checkpoint or a result is being written, and started again until everything is finished. Every start draws anew how
many workers and lanes there are. When all runs are finished before enough kills have landed, the plan goes on with other seeds.

Exit code 1 where a run is missing, is not what it is when left alone, was published twice or failed by itself, or where
something is left behind that a later start does not clear away. Needs /proc, so Linux.
"""

from __future__ import annotations

import random
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from experiments.cli import positive
from experiments.errors import UserError, told_plainly, writing_to
from experiments.executor import run_inline
from experiments.expand import resolve
from experiments.plan import plan
from experiments.provenance import exact_versions, provenance
from experiments.spec import Arm, Row, Run, Value
from experiments.store import Store
from experiments.terminal import run_app
from experiments.testing.comparing import compare, result_bytes
from experiments.testing.fault_injection import MOMENTS, FaultInjector, Say, subject
from experiments.testing.soak_kernels import soak_kernels
from experiments.worker import DONE, Options

LANES: dict[str, Value] = {"implementation": "lanes", "hidden": (8,)}
REPLAY: dict[str, Value] = {"hidden": (8, 8), "buffer_size": 200, "batch_size": 8, "learning_starts": 50}
ROLLOUT: dict[str, Value] = {"hidden": (8, 8), "rollout_steps": 128, "minibatch_size": 32, "epochs": 2}
SMALL: dict[str, Value] = {"hidden": (8,)}
RECURRENT: dict[str, Value] = {"units": 4, "hidden": (8,)}
# More than a block of noise (1024 steps), and longer than an episode where episodes have a fixed length.
ROWS = (
    Row("Hopper-v4", (Arm("", "stream_ac", {"hidden": (8,)}),), steps=1500, seeds=5, bin_width=1),
    Row("Hopper-v4", (Arm("", "classic_ac", {"hidden": (8,)}),), steps=1100, seeds=2, bin_width=1),
    Row("Hopper-v4", tuple(Arm("", name, LANES) for name in ("ppo1", "sac1", "td3_1")), steps=1100, seeds=2, bin_width=1),
    Row("Hopper-v4", (Arm("", "ppo", ROLLOUT),), steps=4000, seeds=1, bin_width=1),
    Row("Hopper-v4", (Arm("", "sac", REPLAY), Arm("", "td3", REPLAY)), steps=1500, seeds=1, bin_width=1),
    Row("dm_control/cheetah-run-v0", (Arm("", "stream_ac", {"hidden": (8,)}),), steps=1100, seeds=2, bin_width=1),
    Row("CartPole-v1", (Arm("", "stream_sarsa"), Arm("", "dqn1", LANES)), steps=1100, seeds=2, bin_width=1),
    Row("CartPole-v1", (Arm("", "dqn", REPLAY),), steps=6000, seeds=1, bin_width=1),
    Row("ETTm2-generated", (Arm("", "stream_td"), Arm("", "classic_td")), steps=1500, seeds=2, bin_width=1),
    Row("MinAtar/Breakout-v1", (Arm("", "stream_q"),), steps=1500, seeds=3, bin_width=1),
    Row("BreakoutNoFrameskip-v4", (Arm("", "stream_q"),), steps=500, seeds=2, bin_width=1),
    Row("Hopper-v4", tuple(Arm("", name, SMALL) for name in ("avg", "iac", "avg_sac1")), steps=1100, seeds=2, bin_width=1),
    Row("Create-Mover-v0", (Arm("", "avg", SMALL),), 1100, seeds=2, bin_width=1, environment={"device": "jetson_nano"}),
    Row("memory/MemoryChain-v0", (Arm("", "qrc", RECURRENT),), steps=1500, seeds=2, bin_width=1),
    Row("masked/Hopper-v4", (Arm("", "stream_ac", {**RECURRENT, "cell": "rtu"}),), steps=1100, seeds=2, bin_width=1),
    Row("popgym-RepeatFirstEasy-v0", (Arm("", "stream_q", {**RECURRENT, "cell": "gru"}),), steps=1100, seeds=1, bin_width=1),
    Row("permuted_digits", (Arm("", "upgd", SMALL), Arm("", "s_ewc", SMALL)), steps=1500, seeds=2, bin_width=1),
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    kills: Annotated[int, typer.Option(help="How many kills have to land.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the moments and the kinds of kills.")] = 0,
    store: Annotated[Path, typer.Option(help="A folder that is empty or does not exist yet.")] = Path("runs/soak"),
    log: Annotated[Path, typer.Option(help="File to write the log to.")] = Path("runs/soak.log"),
    compiling: Annotated[bool, typer.Option("--compiling", help="Kill only while kernels are compiled.")] = False,
) -> None:
    """Kill training again and again, and compare what it leaves with the same training left alone."""
    with told_plainly():
        positive("--kills", kills)
        # A shell starts what it puts into the background deaf to Ctrl-C, and a command would inherit that and never stop.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not Path("/proc/self/stat").exists():
            raise UserError("the processes of a command are found in /proc, which this system has not; use Linux.")
        if store.exists() and (not store.is_dir() or any(store.iterdir())):
            raise UserError(f"{store} is not an empty folder; choose another with --store.")
        with writing_to(log, "--log"):
            log.parent.mkdir(parents=True, exist_ok=True)
            log.touch()
        with open(log, "w") as file:

            def say(line: str) -> None:
                print(line, flush=True)
                print(line, file=file, flush=True)

            faults = soak_kernels(kills, seed, store, say) if compiling else soak(ROWS, kills, seed, store, say)
    if faults:
        raise SystemExit(1)


def soak(rows: Sequence[Row], kills: int, seed: int, folder: Path, say: Say) -> list[str]:
    """Train a plan under so many kills, compare it with one left alone, and return what went wrong."""
    told = provenance()
    say(f"{kills} kills, seed {seed}. Begun {told['started']}, commit {told['git']['commit']}, dirty {told['git']['dirty']}.")
    say(f"{told['machine']['cores']} cores, {told['machine']['processor']}, {told['machine']['system']}.")
    say(f"Python {told['python']}, " + ", ".join(f"{name} {version}" for name, version in exact_versions().items()) + ".")
    injector = FaultInjector(Store(folder / "killed"), kills, random.Random(seed), say)
    runs: list[Run] = []
    while injector.landed < kills and not injector.faults:
        runs += _runs(rows, round_number=len(runs) // len(_runs(rows, 0)))
        say(f"{len(runs)} runs, {sum(run.steps for run in runs):,} steps.")
        injector.train(runs)
    injector.start_later(_runs(rows[:1], round_number=99)[:1])

    alone = Store(folder / "alone")
    with warnings.catch_warnings(action="ignore"):  # as those of workers, which nobody reads
        codes = run_inline(plan(alone, runs, workers=1), alone, Options(checkpoint_seconds=1e9))
    if any(code != DONE for code in codes):
        injector.faults.append("training that was left alone failed")
    faults = injector.faults + compare(injector.store, alone, runs)
    say("")
    _summarise(injector, runs, faults, say)
    return faults


def _runs(rows: Sequence[Row], round_number: int) -> list[Run]:
    return [resolve(row, arm, round_number * 100 + seed) for row in rows for arm in row.arms for seed in range(row.seeds)]


def _summarise(injector: FaultInjector, runs: Sequence[Run], faults: Sequence[str], say: Say) -> None:
    kinds = sorted({kind for kind, _ in injector.counts})
    table = {kind: [injector.counts[kind, moment] for moment in MOMENTS] for kind in kinds}
    table["all"] = [sum(column) for column in zip(*table.values(), strict=True)]
    say(f"{'kills':20}" + "".join(f"{name:>15}" for name in (*MOMENTS, "all")))
    for kind, counts in table.items():
        say(f"{kind:20}" + "".join(f"{number:15}" for number in (*counts, sum(counts))))
    say("")
    for name in sorted({*injector.subjects, *map(subject, runs)}):
        say(f"{name:50}{injector.subjects[name]:5}")
    say("")
    resumed = sum(len(injector.store.provenance(run.run_id).get("resumed_at", ())) for run in runs)
    files = sum(len(files) for files in result_bytes(injector.store, runs).values())
    say(f"{injector.starts} starts of the command; a run went on from a checkpoint {resumed} times.")
    say(f"{len(runs)} runs, {files} files compared byte for byte with those of training left alone.")
    for fault in faults:
        say(f"FAULT: {fault}")
    say("PASSED: nothing lost, duplicated, different or left behind." if not faults else f"FAILED: {len(faults)} faults.")


if __name__ == "__main__":
    run_app(app)
