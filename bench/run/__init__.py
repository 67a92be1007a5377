"""From a suite to files: jobs, workers, chains, executors, the runner."""
