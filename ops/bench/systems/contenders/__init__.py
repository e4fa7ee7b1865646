"""Each module: how one system is made to transcribe, and `submit`, which gives it a job."""
