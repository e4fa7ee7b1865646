"""What an operator sees of a process: metrics, health, and the small HTTP server that tells both."""
