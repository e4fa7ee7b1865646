"""One attempt at a job on this machine, from a request to a result. Knows no queue."""
