"""Checks of this machine and its queue, each with its fix."""
