"""Clusters: the same experiments as SLURM arrays, through submitit. `slurm/README.md` tells how to use it."""
