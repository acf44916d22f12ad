"""Training loops: streaming learners in lanes, batch learners, measurements."""
