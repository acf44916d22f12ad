"""Print what Stream AC reached on Walker2d-v4 in the bin ending at 500k steps on both simulators, and on the two together."""

from pathlib import Path

import numpy as np
import pandas as pd

RESULTS = Path(__file__).parents[2] / "results"
STEP, PUBLISHED = 500_000, 947

old = pd.read_csv(RESULTS / "simulator_version/walker2d.csv").query("step == @STEP")["mean_return"]
curves = pd.read_parquet(RESULTS / "stream_barrier/anchors/curves.parquet")
current = curves.query("env_id == 'Walker2d-v4' and algorithm == 'Stream AC' and step == @STEP")["mean_return"]
for name, returns in (("MuJoCo 2.3.7", old), ("current", current), ("both", pd.concat([old, current]))):
    share = returns.mean() / PUBLISHED
    print(
        f"{name}: {returns.mean():.0f}, standard error {returns.sem():.0f}, {len(returns)} seeds, {share:.2f} of the published"
    )
print(f"difference: {old.mean() - current.mean():.0f}, standard error {np.hypot(old.sem(), current.sem()):.0f}")
