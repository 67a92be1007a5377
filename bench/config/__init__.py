"""What is asked for: identities, the registry, suites, recipes, trainings. Read and checked before anything runs."""
