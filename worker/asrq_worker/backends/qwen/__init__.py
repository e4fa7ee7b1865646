"""Qwen3-ASR, on PyTorch."""
