"""What users ask for: identities, the registry, suites, recipes, trainings, options. Read before anything runs."""
