"""Brings back what the dead held: looks, decides, repairs."""
