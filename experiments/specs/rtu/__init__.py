"""RTU: streaming under partial observability with real-time recurrent learning (arXiv:2605.24709)."""
