"""Backends: what turns chunks of speech into text. Chosen by configuration through `registry`."""
