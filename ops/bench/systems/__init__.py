"""A benchmark of systems that transcribe; see `__main__`."""
