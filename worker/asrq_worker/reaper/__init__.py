"""Recovers the jobs of dead workers: looks, decides, repairs."""
