"""Show how training goes: a live table on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from experiments.errors import last_line
from experiments.executor import Job
from experiments.plan import wall_seconds

LOG_SECONDS = 30.0
MOST_LINES = 24


class Progress:
    """A context manager to be called with the jobs of an executor as often as one likes."""

    def __init__(self, console: Console, workers: int):
        self._console = console
        self._workers = workers
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._logged = time.monotonic()
        self._known: dict[int, str] = {}
        self._stopping_since: float | None = None

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, jobs: Sequence[Job]) -> None:
        """Redraw, and print a line for every group that is over."""
        if self._stopping_since is None and any(job.stopping for job in jobs):
            self._stopping_since = time.monotonic()
            self._console.print("stopping, checkpoints are being written; another Ctrl-C kills the workers.", soft_wrap=True)
        for number, job in enumerate(jobs):
            if self._known.get(number) != job.state:
                self._known[number] = job.state
                if job.state in ("done", "failed", "stopped", "held"):
                    self._console.print(self._closing_line(job), highlight=False)
            while job.notes:
                self._console.print(Text(job.notes.pop(0)), soft_wrap=True)
            if job.deaths == 1 and self._known.get(-number - 1) is None:
                self._known[-number - 1] = "died"
                self._console.print(f"worker died, running once more: {job.group.title}", highlight=False)
        if self._live:
            self._live.update(self._table(jobs))
        elif time.monotonic() - self._logged >= LOG_SECONDS:
            self._logged = time.monotonic()
            self._console.print(self._summary(jobs), highlight=False)

    def _closing_line(self, job: Job) -> Text | str:
        if job.state == "failed":
            return Text.assemble(("failed", "red"), f"  {job.group.title}: {last_line(job.message)}")
        if job.state == "held":
            return f"held    {job.group.title}: {job.message}"
        return f"{job.state:7} {job.group.title}, {clock(job.seconds)}"

    def _summary(self, jobs: Sequence[Job]) -> str:
        over = sum(job.state not in ("waiting", "running") for job in jobs)
        rate = sum(job.progress.get("steps_per_second", 0.0) for job in jobs if job.state == "running")
        groups = "group" if len(jobs) == 1 else "groups"
        return f"{over} of {len(jobs)} {groups} done, {rate:,.0f} steps/s, about {clock(self._seconds_left(jobs))} left"

    def _table(self, jobs: Sequence[Job]) -> Table:
        since = self._stopping_since
        title = self._summary(jobs) if since is None else f"stopping for {time.monotonic() - since:.0f} s"
        table = Table(title=title, title_justify="left", title_style="", box=None)
        for name in ("group", "lanes", "steps each", "steps/s", "return so far", "time left"):
            table.add_column(name, justify="left" if name == "group" else "right")
        running = [job for job in jobs if job.state == "running"]
        for job in running[:MOST_LINES]:
            run, progress = job.group.runs[0], job.progress
            recent = progress.get("recent_return")
            table.add_row(
                job.group.title,
                str(len(job.group.runs)),
                f"{progress.get('step', 0):,} / {run.steps:,}" if progress.get("step") else "starting",
                f"{progress['steps_per_second']:,.0f}" if progress.get("steps_per_second") else "",
                "" if recent is None else f"{recent:,.1f}",
                clock(_seconds_left(job)),
            )
        return table

    def _seconds_left(self, jobs: Sequence[Job]) -> float:
        waiting = [job.group for job in jobs if job.state == "waiting"]
        running = max([_seconds_left(job) for job in jobs if job.state == "running"], default=0.0)
        return running + (wall_seconds(waiting, self._workers) if waiting else 0.0)


def _seconds_left(job: Job) -> float:
    rate = job.progress.get("steps_per_second") or 0.0
    if rate <= 0:
        return max(0.0, job.group.seconds - job.seconds)
    steps = (job.group.runs[0].steps - job.progress["step"]) * len(job.group.runs)
    return float(max(0.0, steps / rate))


def clock(seconds: float) -> str:
    """Return a duration as a person writes it: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
