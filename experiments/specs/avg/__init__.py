"""AVG, *Deep Policy Gradient Methods Without Batch Updates, Target Networks, or Replay Buffers* (arXiv:2411.15370)."""
