"""The commands that need a worker's packages, which are imported when a command runs and not for its help."""
