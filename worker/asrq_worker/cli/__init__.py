"""The commands that need a worker's packages, which are imported when a command runs and not for its help."""

import os

# As it is imported, numpy starts a thread for each core, and all of them spin for a while. Nothing in the process of a
# command computes so much that they would help; its children are told how many they have.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
