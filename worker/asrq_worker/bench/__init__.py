"""`asrq bench`: quality and speed of backends over a manifest of speech, measured through the real queue."""
