"""From a declared experiment to finished runs: specs, plan, workers, store."""
