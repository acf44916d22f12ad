"""One module per published figure, each exporting one `EXPERIMENT`."""
