"""Clusters: the same experiments as SLURM arrays. Nothing here yet; training runs on one machine so far."""
