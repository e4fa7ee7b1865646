"""Backends that work as far as could be tried; docs/explanation/experimental.md says how far that is."""
