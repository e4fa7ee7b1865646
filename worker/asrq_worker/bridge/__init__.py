"""The bridge: a warm child process of a desktop application, JSON lines instead of a queue."""
