"""Write walker2d.csv from a store of runs on the old simulator: write_table.py STORE."""

import sys
from pathlib import Path

import pandas as pd

from analysis.curves import bin_returns
from experiments.store import Store

store = Store(sys.argv[1])
rows = []
for run_id in sorted(store.finished()):
    _, _, tables = store.load(run_id)
    episodes = tables["episodes"].to_pandas()
    means, _ = bin_returns(episodes["step"].to_numpy(), episodes["episodic_return"].to_numpy(), 50_000, 500_000)
    seed = int(run_id.split("-s")[-1].split("-")[0])
    rows += [(seed, 50_000 * (bin + 1), mean) for bin, mean in enumerate(means)]
frame = pd.DataFrame(rows, columns=["seed", "step", "mean_return"]).sort_values(["seed", "step"])
frame.to_csv(Path(__file__).parents[2] / "results/simulator_version/walker2d.csv", index=False, float_format="%.8g")
last = frame[frame["step"] == 500_000]["mean_return"]
print(f"bin ending at 500k steps: {last.mean():.0f}, standard error {last.sem():.0f}, {len(last)} seeds")
