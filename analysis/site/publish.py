"""Write the site once, or again and again while runs go on: what `python -m analysis.report` does without an experiment."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

from rich.text import Text

from analysis.site import content, write
from analysis.site import picture as pictures
from analysis.site.live import Build, Going, Watcher
from analysis.tables import console
from experiments import catalog
from experiments.store import Store


def once(results: Path, folder: Path, picture: Path | None = None) -> None:
    """Write the site, take a picture of its front page if asked to, and print the paths of both."""
    out, page = console(), folder / "index.html"
    write.write(content.collect(results), folder)
    out.print(Text(str(page)), soft_wrap=True)
    if picture is not None:
        pictures.take(page, picture)
        out.print(Text(str(picture)), soft_wrap=True)


def again_and_again(results: Path, folder: Path, store: Store, every: float, build: Build) -> None:
    """Write the site whenever results change or runs of a store finish, until Ctrl-C; say so in a line each time.

    Args:
        results: folder of the reports; nothing is written there.
        folder: of the site.
        store: where runs go on.
        every: seconds between two looks.
        build: makes a report of what is finished of a preset: `analysis.report.build`.
    """
    out, page = console(), folder / "index.html"
    before: tuple[list[Going], list[tuple[str, int]]] | None = None
    with tempfile.TemporaryDirectory(prefix="live-reports-") as live:
        experiments = map(catalog.load_experiment, catalog.experiment_names())
        watcher = Watcher(experiments, store, results, Path(live), build)
        try:
            while True:
                # To read everything takes seconds, which training can use: only where something is new.
                now = (watcher.look(), _dated(results))
                if now != before:
                    going = now[0]
                    changed = write.write(content.collect(results, going, Path(live), watched=True), folder)
                    # Two presets may share runs, so that a sum of runs would count some twice.
                    busy = sum(one.running > 0 for one in going)
                    said = f"{busy} {'preset is' if busy == 1 else 'presets are'} being trained" if busy else "no run goes on"
                    line = f"{time.strftime('%H:%M:%S')}  {page}: {len(changed)} files written; {said}"
                    out.print(Text(line), soft_wrap=True)
                before = now
                time.sleep(every)
        except KeyboardInterrupt:
            out.print("stopped; the site stays as it is")


def _dated(results: Path) -> list[tuple[str, int]]:
    """Return the files of a folder of results, each with the time of its last change; none that is being written."""
    found = []
    for path in sorted(results.glob("[!.]*/**/*")):
        if path.is_file() and not any(part[0] == "." for part in path.relative_to(results).parts):
            with contextlib.suppress(FileNotFoundError):
                found.append((str(path), path.stat().st_mtime_ns))
    return found
