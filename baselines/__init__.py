"""What the learners of the papers are compared with."""
