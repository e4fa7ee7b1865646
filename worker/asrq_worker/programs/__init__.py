"""What the commands run: a worker, everything on one machine, files without a queue, the dashboard."""
