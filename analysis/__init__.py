"""From finished runs to figures, and to our numbers beside the published ones. Reads the store, never the learners."""
