"""A job between Redis and the pipeline: who may take it, who holds it, how it ends."""
