"""The engine: one child process that holds the model, its supervisor, and the scheduler that feeds it."""
