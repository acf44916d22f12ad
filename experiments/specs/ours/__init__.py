"""Experiments of our own, around the questions of the papers."""
