"""The numbers of Stream-X (arXiv:2410.14606v2): curves, band widths at their end, reference lines, the bars of Fig. 2.

Its labels have a trace decay that ours may leave out: "Stream AC" is its "Stream AC(0.8)". Where figures overlap they agree to
the reading error; the one with more of our algorithms comes first.
"""

from __future__ import annotations

from functools import cache

import pandas as pd

from analysis.published.names import frames_per_step, is_atari, our_name
from analysis.published.records import FOLDER, Curve, End, Paper, Tables

REFERENCE = " ref"
BARS = "Fig2"
# Means were read off vector figures to about a thousandth of what a curve shows.
READING_ERROR = 0.001
# What a bar of Fig. 2 was given: agent steps, those of Atari being 200M frames.
BAR_STEPS, ATARI_BAR_STEPS = 20_000_000, 50_000_000


@cache
def tables() -> Tables:
    """Read the tables."""
    points, lasts = pd.read_csv(FOLDER / "stream_x_curves.csv"), pd.read_csv(FOLDER / "stream_x_final.csv")
    widths = lasts.set_index(["figure", "env", "algorithm"])["ci90_half_width_at_end"]
    curves: dict[tuple[str, str], list[Curve]] = {}
    for key, group in points.groupby(["figure", "env", "algorithm"], sort=False):
        figure, env, algorithm = (str(part) for part in key)
        env_id = our_name(env)
        steps = tuple(int(x) // frames_per_step(env_id) for x in group["x_steps_or_frames"])
        ci90 = widths.get((figure, env, algorithm))
        known = None if ci90 is None or pd.isna(ci90) else float(ci90)
        values = tuple(float(value) for value in group["mean_return_digitised"])
        seeds, width = STREAM_X.seeds_of(figure), steps[1] - steps[0]
        curves.setdefault((env_id, algorithm), []).append(
            Curve(STREAM_X.name, figure, seeds, width, steps, values, known, READING_ERROR * max(map(abs, values)))
        )
    bars = pd.read_csv(FOLDER / "stream_x_fig2_bars.csv")
    ends = {
        (our_name(row.env), str(row.algorithm)): End(
            float(row.value), STREAM_X.name, BARS, ATARI_BAR_STEPS if is_atari(our_name(row.env)) else BAR_STEPS
        )
        for row in bars.itertuples()
    }
    lines = lasts[lasts["algorithm"].str.endswith(REFERENCE)].drop_duplicates("env")
    references = {
        our_name(row.env): (row.algorithm.removesuffix(REFERENCE), float(row.final_bin)) for row in lines.itertuples()
    }
    return Tables({key: tuple(found) for key, found in curves.items()}, ends, references)


STREAM_X = Paper(
    name="Stream-X",
    seeds=30,  # assumed for Fig. 7, where the paper does not say
    other_seeds=dict.fromkeys(("Fig6", "Fig11", "Fig12"), 10),
    window="the last bin; 0 where some run diverged",
    figures=("Fig7", "Fig8", "Fig3", "Fig14", "Fig5", "Fig4", "Fig13", "Fig12", "Fig11", "Fig6", BARS),
    suffixes=("(0.8)", f"@200M{REFERENCE}", f"@5M{REFERENCE}"),
    read=tables,
)


@cache
def prediction_errors() -> pd.DataFrame:
    """Return the errors of the predictions of Fig. 10: figure, env, algorithm, after_step, to_step, mae, rmse.

    They are errors of the drawn curve, the mean prediction over runs, against the drawn return, in units of the cumulant.
    """
    return pd.read_csv(FOLDER / "stream_x_prediction.csv")


def prediction_error(env_id: str, algorithm: str, after_step: int, to_step: int) -> tuple[float, float] | None:
    """Return mean absolute and root mean square error of a published prediction after one step up to another, or None."""
    table = prediction_errors()
    here = (table["env"] == env_id) & table["algorithm"].isin(STREAM_X.names(algorithm))
    found = table[here & (table["after_step"] == after_step) & (table["to_step"] == to_step)]
    return (float(found["mae"].iloc[0]), float(found["rmse"].iloc[0])) if len(found) else None
