"""Turn finished runs into aggregates, a figure and a comparison: python -m analysis.report NAME --preset PRESET

Without NAME, write all that is in `results/` as a static site (`analysis.site`); --watch keeps it fresh while runs go on.

    results/NAME/PRESET/
      curves.parquet   per seed: panel, env_id, algorithm, seed, step (right edge of the bin), mean_return, episodes
      summary.csv      per panel and algorithm: the last bin, intervals, seeds, diverged runs, budget
      compare.csv      the same beside the published numbers; none where nothing was published
      manifest.json    what was run, from which commits, where and when, and what is missing
      figures/         NAME.png, NAME.svg, NAME.pdf and the plotted numbers as NAME.csv

For experiments that are not compared by returns the curves hold (metric, value) instead, and the summary one row per metric.

Overrides make another folder (`PRESET+key=value`), so a customised report never replaces a clean one. Everything is written
beside its place and then moved there; the same runs give the same bytes. Runs of an earlier report in the same folder that the
store does not hold are kept (`analysis.kept`), so that a preset can be trained in several places.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.text import Text

from analysis import load, plot
from analysis import tensorboard as events
from analysis.budget import paper_budget
from analysis.commands import DEFAULT_STORE, command
from analysis.figures import FigureData, drawer
from analysis.kept import Kept, keep
from analysis.kinds import KINDS, OfKind
from analysis.site import publish
from analysis.tables import console
from experiments import catalog, expand, external, settings_text
from experiments.errors import UserError, told_plainly, writing_to
from experiments.settings_text import Seeds, Sweep, seeds_text, written
from experiments.spec import Experiment, Preset, Row, Value
from experiments.store import Store, code_versions, same_version
from experiments.terminal import count, run_app, runs_are

PACKAGES = ("numpy", "scipy", "pandas", "pyarrow", "matplotlib")
LONGEST_NAME = 120
DEFAULT_SITE = Path("site")
WORD = re.compile(r'"[A-Za-z_][A-Za-z0-9_.-]*"')
UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class Report:
    """What a report made: where, and the frames that its files hold; `kept` are runs of an earlier one."""

    preset: Preset
    folder: Path
    files: list[Path]
    kept: Kept
    runs: pd.DataFrame
    summary: pd.DataFrame
    comparison: pd.DataFrame
    numbers: pd.DataFrame
    manifest: dict[str, Any]


def folder_name(
    preset_name: str, settings: Mapping[str, Value | Sweep], seeds: Seeds | None = None, learners: Sequence[str] = ()
) -> str:
    """Name the folder of a report: the preset, and what was changed in it. Different changes never share a name.

    Another version of a learner from outside has the same name: its figure takes the place of the old one's.
    """
    exact = {key: _exact(value) for key, value in sorted(settings.items())} | ({"seeds": seeds_text(seeds)} if seeds else {})
    if learners:
        exact["learner"] = json.dumps(",".join(map(external.class_name, learners)))
    if not exact:
        return preset_name
    # Words need no quotes in a file name; all else that cannot stand there is replaced, and a digest keeps it distinct.
    bare = {key: value.strip('"') if WORD.fullmatch(value) else value for key, value in exact.items()}
    safe = {re.sub(UNSAFE, "_", key): re.sub(UNSAFE, "_", value) for key, value in bare.items()}
    name = "+".join([preset_name, *(f"{key}={value}" for key, value in safe.items())])
    if safe != bare or len(name) > LONGEST_NAME:
        digest = hashlib.sha256(json.dumps(exact).encode()).hexdigest()[:8]
        name = f"{name[:LONGEST_NAME]}~{digest}"
    return name


def _exact(value: Value | Sweep) -> str:
    return ",".join(map(json.dumps, value.values)) if isinstance(value, Sweep) else json.dumps(value)


def build(
    experiment: Experiment,
    preset_name: str,
    store: Store,
    results: Path,
    settings: Mapping[str, Value | Sweep] | None = None,
    seeds: Seeds | None = None,
    learners: Sequence[str] = (),
) -> Report:
    """Aggregate and draw what is finished of a preset, and write it to `results/NAME/PRESET/`.

    Raises:
        UserError: no run is finished, the experiment, preset or a setting does not exist, or an earlier report in the folder
            cannot be kept.
    """
    settings = settings or {}
    preset = experiment.preset(preset_name)
    if settings or seeds is not None or learners:
        preset = expand.override(preset, settings, seeds, learners)
    folder = results / experiment.name / folder_name(preset_name, settings, seeds, learners)
    draw = drawer(experiment)

    kind = KINDS[experiment.kind]
    planned = load.planned(preset, panels=kind.curves)
    collected = _collect(experiment, kind, preset, planned, store)
    kept = keep(folder, kind, experiment, planned, collected.results)
    results_of = collected.results | kept.results
    runs = load.with_status(planned, results_of, store.failures())
    if not results_of:
        raise UserError(
            f"no run of {experiment.name} / {preset_name} is finished in {store.root}; train them with "
            f"`{command('run', experiment.name, preset_name, settings, seeds, learners, store.root)}`."
        )
    curves = kind.tabulate(runs, collected.bins | kept.bins)
    summary = kind.summarise(runs, curves)
    manifest = _manifest(experiment, preset_name, preset, settings, seeds, folder.name, runs, collected, kept, store)
    if learners:  # where they lie is nobody's business
        manifest["learners"] = [external.class_name(name) for name in learners]
    data = FigureData(experiment, preset, store, runs, curves, summary)
    comparison = kind.compare(data, manifest)

    with writing_to(results, "--results"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name[:40]}.", dir=folder.parent) as temporary:
            stem = Path(temporary) / "figures" / experiment.name
            stem.parent.mkdir()
            with plot.style():
                figure, numbers = draw(data)
                plot.save(figure, stem)
            write_csv(numbers, stem.with_name(f"{stem.name}.csv"))
            if kind.curves:
                curves.to_parquet(Path(temporary) / "curves.parquet", index=False, compression="zstd")
                write_csv(summary, Path(temporary) / "summary.csv")
            if not comparison.empty:
                write_csv(comparison, Path(temporary) / "compare.csv")
            (Path(temporary) / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
            files = _move(Path(temporary), folder)
    return Report(preset, folder, files, kept, runs, summary, comparison, numbers, manifest)


@dataclass(frozen=True)
class _Collected:
    results: dict[str, dict[str, Any]]
    provenances: dict[str, dict[str, Any]]
    bins: dict[str, Any]


def _collect(experiment: Experiment, kind: OfKind, preset: Preset, planned: pd.DataFrame, store: Store) -> _Collected:
    # Runs are binned as they are read, so that the episodes of a large preset need not fit into memory together.
    finished = store.finished()
    # `planned` lists the runs in the same order, and has their ids already.
    rows = dict(zip(planned["run_id"], ((row, run) for row, _, run in expand.labelled_runs(preset)), strict=True))
    out = _Collected({}, {}, {})
    for stored in load.read(store, (run_id for run_id in planned["run_id"] if run_id in finished)):
        out.results[stored.run_id] = stored.result
        out.provenances[stored.run_id] = stored.provenance
        row, run = rows[stored.run_id]
        out.bins[stored.run_id] = kind.bins(experiment, row, run, stored, store)
    return out


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame so that the same numbers give the same bytes."""
    frame.to_csv(path, index=False, float_format="%.8g", lineterminator="\n")


def _move(source: Path, target: Path) -> list[Path]:
    # The manifest last: where it is, the rest is complete.
    there = (path.relative_to(source) for path in source.rglob("*") if path.is_file())
    files = sorted(there, key=lambda path: (path.name == "manifest.json", path))
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / file, target / file)
    return [target / file for file in files]


# Manifest


def _manifest(
    experiment: Experiment,
    preset_name: str,
    preset: Preset,
    settings: Mapping[str, Value | Sweep],
    seeds: Seeds | None,
    folder: str,
    runs: pd.DataFrame,
    collected: _Collected,
    kept: Kept,
    store: Store,
) -> dict[str, Any]:
    status = dict(zip(runs["run_id"], runs["status"], strict=True))
    lost = runs[runs["status"] == "diverged"]
    origins = _origins(status, collected.provenances) + kept.origins
    code = _counted(origins)
    return {
        "experiment": experiment.name,
        "title": experiment.title,
        "source": experiment.source,
        "kind": experiment.kind,
        "preset": preset_name,
        "settings": {key: written(value) if isinstance(value, Sweep) else value for key, value in settings.items()},
        "seeds": seeds,
        "folder": folder,
        "description": preset.description,
        "rows": [_row(experiment, row) for row in preset.rows],
        "date": max((origin["date"] for origin in origins if origin["date"]), default=None),
        "code": code,
        "mixed_code": any(not same_version(code[0], version) for version in code[1:]),
        "machines": _distinct(machine for origin in origins for machine in origin["machines"]),
        "packages": _distinct(packages for origin in origins for packages in origin["packages"]),
        "report_packages": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
        "origins": origins,
        "kept": [run_id for run_id in status if run_id in kept.results],
        "diverged": [run_id for run_id, state in status.items() if state == "diverged"],
        "diverged_at": {
            run_id: int(at) for run_id, at in zip(lost["run_id"], lost["diverged_at"], strict=True) if not pd.isna(at)
        },
        "diverged_runs": [{"panel": row.panel, "algorithm": row.algorithm, "seed": int(row.seed)} for row in lost.itertuples()],
        "missing": [run_id for run_id, state in status.items() if state == "missing"],
        "failed": {run_id: _last_line(store.failure(run_id)) for run_id, state in status.items() if state == "failed"},
        "runs": [run_id for run_id, state in status.items() if state in ("finished", "diverged")],
    }


def _row(experiment: Experiment, row: Row) -> dict[str, Any]:
    arms = [
        {
            "label": arm.label,
            "algorithm": external.class_name(arm.algorithm),
            "hyperparameters": dict(arm.hyperparameters),
            "seeds": len(row.seeds_of(arm)),
            "steps": row.steps_of(arm),
        }
        for arm in row.arms
    ]
    paper = paper_budget(experiment, row)
    return {
        "panel": row.panel_name,
        "env_id": row.env_id,
        "steps": row.steps,
        "bin_width": row.bin_width,
        "first_seed": row.first_seed,
        "environment": dict(row.environment),
        "arms": arms,
        "paper": {"steps": paper.steps, "seeds": paper.seeds} if paper else None,
        **({"differs": row.differs} if row.differs else {}),
        **({"chosen_seeds": list(row.chosen_seeds)} if row.chosen_seeds else {}),
        **({"window": row.window} if row.window else {}),
    }


def _origins(run_ids: Iterable[str], provenances: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what made the runs: those of the same code, machine and packages together, with the last date of them."""
    found: dict[str, dict[str, Any]] = {}
    for run_id in run_ids:
        if run_id not in provenances:
            continue
        made = provenances[run_id]
        machine, packages = made.get("machine"), {"python": made.get("python"), **made.get("packages", {})}
        origin = {
            "code": _distinct(version or {"commit": None} for version in code_versions(made)),
            "machines": [] if machine is None else [machine],
            "packages": [packages] if "python" in made and "packages" in made else [],
        }
        same = found.setdefault(json.dumps(origin, sort_keys=True), {**origin, "date": None, "runs": []})
        same["runs"].append(run_id)
        dates = (same["date"], made.get("finished") or made.get("started"))
        same["date"] = max((date for date in dates if date), default=None)
    return [found[key] for key in sorted(found)]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Return the different values there are, in a fixed order, whatever order the runs were in."""
    found = {json.dumps(value, sort_keys=True): value for value in values if value is not None}
    return [found[key] for key in sorted(found)]


def _counted(origins: Collection[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the versions of the code, each with the number of runs that it made, at least in part.

    What an older report told of all its runs together is an upper bound where only some of them are kept.
    """
    counts: Counter[str] = Counter()
    for origin in origins:
        for version in origin["code"]:
            name = json.dumps({key: value for key, value in version.items() if key != "runs"}, sort_keys=True)
            counts[name] += min(version.get("runs", len(origin["runs"])), len(origin["runs"]))
    return [{**json.loads(version), "runs": counts[version]} for version in sorted(counts)]


def _last_line(traceback: str) -> str:
    lines = traceback.strip().splitlines()
    return lines[-1] if lines else ""


def _unfinished_lines(runs: pd.DataFrame, status: str) -> list[str]:
    distinct = runs.drop_duplicates("run_id")
    counts = distinct["status"].value_counts()
    gone, failed = int(counts.get("missing", 0)), int(counts.get("failed", 0))
    if not gone + failed:
        return []
    line = f"{gone + failed} of {runs_are(len(distinct))} not finished and not in this report"
    return [f"{line} ({failed} failed: see `{status}`)." if failed else f"{line}."]


def _kept_lines(report: Report) -> list[str]:
    kept, gone = len(report.manifest["kept"]), len(report.kept.left_out)
    lines = [f"{runs_are(kept)} not in the store and kept from an earlier report."] if kept else []
    if gone:
        lines.append(
            f"{count(gone, 'run')} of the earlier report {'was' if gone == 1 else 'were'} left out: "
            "the preset does not ask for them, or asks for other bins."
        )
    return lines


def _mixed_lines(manifest: Mapping[str, Any]) -> list[str]:
    if not manifest["mixed_code"]:
        return []
    return [f"The runs were made by {len(manifest['code'])} versions of the code; manifest.json counts them."]


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[
        str | None, typer.Argument(help="Experiment, as `python -m experiments.list` names it; without one, the site of all.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Size of the experiment; `quick` unless given.")] = None,
    store: Annotated[Path, typer.Option(help="Folder of the run store.")] = DEFAULT_STORE,
    results: Annotated[Path, typer.Option(help="Folder to write aggregates and figures to.")] = Path("results"),
    seeds: Annotated[str | None, typer.Option(help="Seeds, as it was run: 5, or 3,7 or 10-19.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override, as it was run; repeatable.")
    ] = None,
    learner: Annotated[list[str] | None, typer.Option(help="A learner of your own, as it was run; repeatable.")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder to write TensorBoard files of the runs to.")] = None,
    site: Annotated[Path, typer.Option(help="Folder to write the site to.")] = DEFAULT_SITE,
    watch: Annotated[bool, typer.Option("--watch", help="Write the site again whenever runs finish, until stopped.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks of --watch.", min=1.0)] = 15.0,
    picture: Annotated[Path | None, typer.Option(help="Take a picture of the site's front page with Chromium.")] = None,
) -> None:
    """Aggregate finished runs, draw the figure and print our numbers beside the published ones; or write the site of all."""
    with told_plainly():
        if name is None:
            if preset is not None or seeds is not None or setting or learner or tensorboard:
                raise UserError(
                    "--preset, --seeds, --set, --learner and --tensorboard go with an experiment: "
                    "`python -m analysis.report NAME --preset ...`."
                )
            if watch and picture is not None:
                raise UserError("--picture is of a site that is written once; leave out --watch.")
            if watch:
                publish.again_and_again(results, site, Store(store), every, build)
            else:
                publish.once(results, site, picture)
            return
        if watch or picture is not None or site != DEFAULT_SITE:
            raise UserError(f"--site, --watch and --picture are of the site of all experiments; leave out {name!r}.")
        experiment, preset = catalog.load_experiment(name), preset or "quick"
        changes = settings_text.parse_settings(setting or [])
        chosen = settings_text.parse_seeds(seeds)
        report = build(experiment, preset, Store(store), results, changes, chosen, learner or [])
        out = console()
        made = (report.comparison, report.summary, report.numbers, report.manifest)
        for part in KINDS[experiment.kind].report(experiment, *made, out.width):
            out.print(part)
        status = command("status", name, preset, changes, chosen, learner or [], store)
        for line in _unfinished_lines(report.runs, status) + _kept_lines(report) + _mixed_lines(report.manifest):
            out.print(Text(f"\n{line}", style="yellow"))
        out.print()
        for file in report.files:
            out.print(Text(str(file)), soft_wrap=True)
        if tensorboard is not None:
            with writing_to(tensorboard, "--tensorboard"):
                places = events.write(report.preset, Store(store), tensorboard)
            out.print(Text(f"{tensorboard}: TensorBoard files of {len(places)} runs"), soft_wrap=True)


if __name__ == "__main__":
    run_app(app)
