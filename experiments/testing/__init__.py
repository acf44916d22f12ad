"""Programs that put the suite itself to the test, with real processes, kills and disks."""
