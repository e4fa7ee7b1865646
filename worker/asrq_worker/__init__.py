"""asrq, the worker side: what a transcription host runs."""
