"""Child processes that can be killed at any moment: JSON lines over pipes, no fork, no pickle."""
