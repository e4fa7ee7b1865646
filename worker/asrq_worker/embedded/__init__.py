"""A Valkey of our own, for where there is no Redis."""
