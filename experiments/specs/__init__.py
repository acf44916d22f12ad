"""One module per published figure, in a folder per paper, each exporting one `EXPERIMENT`; the rest is what they share."""
