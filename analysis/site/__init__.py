"""The results as a static site: `python -m analysis.report` without an experiment writes it."""
