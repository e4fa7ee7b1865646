"""Checks of this machine and its queue, each with what mends it."""
