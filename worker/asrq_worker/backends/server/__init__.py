"""Inference servers that speak OpenAI's API."""
