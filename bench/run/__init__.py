"""From a suite to files: jobs, workers, chains of assignments, executors, the timing pass, the runner."""
