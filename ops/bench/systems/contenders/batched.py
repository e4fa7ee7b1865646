"""faster-whisper's BatchedInferencePipeline, one file after the other: it batches within a file only."""

from __future__ import annotations

import os

from systems.contenders.hearing import hear, load, put, taken

submit = put

if __name__ == "__main__":
    from faster_whisper import BatchedInferencePipeline

    pipeline = BatchedInferencePipeline(load())
    for job in taken():
        hear(pipeline, job, batch_size=int(os.environ["BENCH_BATCH"]))
