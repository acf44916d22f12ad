"""The learners of the papers: pure functions of one stream of experience."""
