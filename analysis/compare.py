"""Set our numbers beside the published ones: python -m analysis.compare NAME

Reads the checked-in aggregates in `results/NAME/*/`, so it needs no run store. Like is compared with like: where the bins
of the published curve are wider than ours, ours are pooled to its bins, and where no such comparison is possible the table
says how wide both are. Nothing is extrapolated: a budget at which the paper shows nothing has no verdict.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from analysis import published, published_avg
from analysis.budget import short_steps
from analysis.curves import pool
from analysis.published import Published
from analysis.statistics import Mean, mean_over_runs
from analysis.tables import console, render, render_metrics
from experiments import catalog
from experiments.errors import UserError, told_plainly

CHECKPOINTS = (100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000)
ATARI_CHECKPOINTS = (5_000_000, 10_000_000, 20_000_000, 50_000_000, 100_000_000, 200_000_000)  # frames
TOLERANCE = 0.25
# Under this share of the best published return of a task at a budget, a return is as good as none: ratios mean nothing there.
NEAR_ZERO = 0.05
NOT_PUBLISHED = "not published"

COLUMNS = [
    *("env_id", "algorithm", "step", "bin_width", "ours", "ci90", "n", "seeds", "diverged"),
    *("published", "published_figure", "published_bin_width", "published_ci90", "ratio", "verdict", "fig2_bar", "avg_fig1"),
    *("steps", "paper_steps", "paper_seeds"),
]


@dataclass(frozen=True)
class Aggregates:
    """What `results/NAME/PRESET` holds of a report."""

    curves: pd.DataFrame
    summary: pd.DataFrame
    manifest: dict[str, Any]


def verdict(ours: Mean, paper: float, scale: float) -> str:
    """Judge a mean against the published one.

    Args:
        ours: our mean and its interval.
        paper: the published mean.
        scale: how large returns are on this task at this budget.

    Returns:
        "within 25 %" if the difference is under a quarter of the published magnitude; else "both near zero" if both are
        under 5 % of the scale; else "below" or "above", with ", in CI" if the published mean is inside our 90 % interval.
    """
    if abs(ours.mean - paper) <= TOLERANCE * abs(paper):
        return "within 25 %"
    if max(abs(ours.mean), abs(paper)) < NEAR_ZERO * scale:
        return "both near zero"
    side = "below" if ours.mean < paper else "above"
    return f"{side}, in CI" if abs(ours.mean - paper) <= ours.ci90 else side


def compare(curves: pd.DataFrame, summary: pd.DataFrame, paper_budget: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    """Compare every arm on every environment at the checkpoints within its curve and at its last bin.

    Args:
        curves: per-run curves, as `analysis.curves.tabulate` gives them.
        summary: one row per arm and environment, as `analysis.statistics.summarise` gives it.
        paper_budget: by environment the `steps` and `seeds` of the published protocol, where known.
    """
    rows = []
    by_arm = dict(iter(curves.groupby(["env_id", "algorithm"], sort=False, observed=True)))
    for arm in summary.itertuples():
        own = by_arm.get((arm.env_id, arm.algorithm), curves.iloc[:0])
        budget = paper_budget.get(arm.env_id, {})
        checkpoints = {c for c in checkpoints_of(arm.env_id) if c <= arm.final_step and c % arm.bin_width == 0}
        for step in sorted({*checkpoints, arm.final_step}) if arm.seeds else [arm.final_step]:
            paper = published.lookup(arm.env_id, arm.algorithm, step, arm.bin_width)
            ours, width = _ours(own, step, arm.bin_width, paper)
            last = step == arm.final_step
            rows.append(
                {
                    **{"env_id": arm.env_id, "algorithm": arm.algorithm, "step": step, "bin_width": width},
                    **{"ours": ours.mean, "ci90": ours.ci90, "n": ours.n, "seeds": arm.seeds, "diverged": arm.diverged},
                    **_judged(arm, step, ours, paper),
                    "fig2_bar": published.bar(arm.env_id, arm.algorithm) if last else None,
                    "avg_fig1": published_avg.value(arm.env_id, arm.algorithm) if last else None,
                    **{"steps": arm.steps, "paper_steps": budget.get("steps"), "paper_seeds": budget.get("seeds")},
                }
            )
    frame = pd.DataFrame(rows, columns=COLUMNS)
    whole = ["published_bin_width", "paper_steps", "paper_seeds"]
    return frame.astype(
        {**dict.fromkeys(whole, "Int64"), "fig2_bar": "float64", "avg_fig1": "float64", "published_ci90": "float64"}
    )


def checkpoints_of(env_id: str) -> tuple[int, ...]:
    """Return the steps at which curves are compared, in agent steps."""
    if published.is_atari(env_id):
        return tuple(frames // published.FRAMES_PER_STEP for frames in ATARI_CHECKPOINTS)
    return CHECKPOINTS


def _ours(own: pd.DataFrame, step: int, width: int, paper: Published | None) -> tuple[Mean, int]:
    if paper is not None and paper.bin_width > width and paper.bin_width % width == 0:
        # The published bin ends at `step`, so ours up to there fill whole published bins.
        width, own = paper.bin_width, pool(own[own["step"] <= step], paper.bin_width)
    return mean_over_runs(own.loc[own["step"] == step, "mean_return"].to_numpy()), width


def _judged(arm: Any, step: int, ours: Mean, paper: Published | None) -> dict[str, Any]:
    if paper is None:
        ended = published.ends_at(arm.env_id, arm.algorithm)
        # Beyond the end of this curve, yet others of the task go on: some run diverged.
        stops = ended is not None and ended < step and published.scale(arm.env_id, step) is not None
        begun = published.begins_at(arm.env_id, arm.algorithm)
        judged = f"ends at {short_steps(ended)}" if stops and ended else NOT_PUBLISHED
        judged = f"begins at {short_steps(begun)}" if begun is not None and step < begun else judged
        return {"published": math.nan, "ratio": math.nan, "verdict": judged if ours.n else _absent(arm)}
    scale = published.scale(arm.env_id, step) or abs(paper.value)
    judged = verdict(ours, paper.value, scale) if ours.n else _absent(arm)
    return {
        "published": paper.value,
        "published_figure": paper.figure,
        "published_bin_width": paper.bin_width,
        "published_ci90": paper.ci90,
        # The ratio of two negative or of two negligible numbers would say nothing.
        "ratio": ours.mean / paper.value if paper.value > 0 and judged != "both near zero" else math.nan,
        "verdict": judged,
    }


def _absent(arm: Any) -> str:
    return "no run yet" if not arm.seeds else "diverged" if arm.diverged == arm.seeds else "no episode"


# Command


def read_aggregates(folder: Path) -> Aggregates:
    """Read what a report wrote."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["measurement"]:
            return Aggregates(pd.DataFrame(), pd.DataFrame(), manifest)
        curves, summary = pd.read_parquet(folder / "curves.parquet"), pd.read_csv(folder / "summary.csv")
        return Aggregates(curves, summary, manifest)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; draw {folder} again with `python -m analysis.report`.") from None
    except ValueError as error:  # also of pyarrow, pandas and json
        raise UserError(f"{folder} cannot be read ({error}); draw it again with `python -m analysis.report`.") from None


def by_returns(manifest: Mapping[str, Any]) -> bool:
    """Return whether a report holds episodic returns, by its manifest."""
    return not manifest["measurement"] and manifest.get("returns", True)


def read_comparison(folder: Path) -> pd.DataFrame:
    """Read the comparison of a report that holds no returns; empty if nothing was published."""
    path = folder / "compare.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def folders(name: str, results: Path, preset: str | None) -> list[Path]:
    """Return the report folders of an experiment: the one asked for, or all that were not customised."""
    base = results / name
    there = (
        sorted(p.name for p in base.iterdir() if p.name[0] != "." and (p / "manifest.json").exists()) if base.is_dir() else []
    )
    if not there:
        catalog.load_experiment(name)  # says so if the name is wrong
        raise UserError(
            f"there are no results of {name} in {results}; make some with `python -m experiments.run {name}` "
            f"and `python -m analysis.report {name} --preset PRESET`."
        )
    chosen = [preset] if preset is not None else [folder for folder in there if "+" not in folder] or there
    if chosen[0] not in there:
        raise UserError(f"there are no results of {name} for {preset!r} in {results}; there are {', '.join(there)}.")
    return [base / folder for folder in chosen]


app = typer.Typer(add_completion=False)


@app.command()
def main(
    name: Annotated[str, typer.Argument(help="Experiment, as `python -m experiments.list` names it.")],
    preset: Annotated[str | None, typer.Option(help="Only this preset (or customised folder).")] = None,
    results: Annotated[Path, typer.Option(help="Folder of the checked-in aggregates.")] = Path("results"),
) -> None:
    """Print our numbers beside the published ones, with intervals, budgets and verdicts."""
    with told_plainly():
        out = console()
        there = [(folder, read_aggregates(folder)) for folder in folders(name, results, preset)]
        compared = [(folder, one) for folder, one in there if by_returns(one.manifest) or len(read_comparison(folder))]
        if not compared:
            raise UserError(f"{name} has no published numbers to compare with; see the figures in {results / name}.")
        for i, (folder, one) in enumerate(sorted(compared, key=lambda found: int(found[1].summary["steps"].max()))):
            if i:
                out.rule(style="dim")
            if by_returns(one.manifest):
                comparison = compare(one.curves, one.summary, budgets(one.manifest))
                out.print(render(comparison, one.summary, one.manifest, out.width))
            else:
                out.print(render_metrics(read_comparison(folder), one.summary, one.manifest))


def budgets(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return by environment the steps and seeds of the published protocol, as the manifest has them."""
    return {row["env_id"]: row["paper"] for row in manifest["rows"] if row["paper"]}


if __name__ == "__main__":
    app()
