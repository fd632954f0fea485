"""Running a suite against a live mesh."""
