"""Every metric that asrq exports, as data; the reference page is made of it.

Names and units follow https://prometheus.io/docs/practices/naming/. Labels have few values each: no job, no slot, no
path is ever one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MetricKind = Literal["counter", "gauge", "histogram"]
Whose = Literal["worker", "reaper", "gateway", "both"]


@dataclass(frozen=True)
class Metric:
    """One metric. `buckets` are the upper bounds of a histogram's, without the last (+Inf)."""

    name: str
    kind: MetricKind
    whose: Whose
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


# A dictation waits for tens of milliseconds, a file of two hours for minutes.
_WAITS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_WORK = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_SPEEDS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256)
_CHUNKS = (1, 2, 4, 8, 16, 32, 64)

ATTEMPTS = Metric(
    "asrq_attempts_total",
    "counter",
    "worker",
    "Attempts at jobs that ended here: `outcome` is completed, failed, canceled, retry (it will run again later), "
    "front (handed back at shutdown) or lost (another execution has the job); `code` is the error's, or empty.",
    ("lane", "backend", "outcome", "code"),
)
AUDIO = Metric("asrq_audio_seconds_total", "counter", "worker", "Audio of completed jobs.", ("lane", "backend"))
QUEUE_WAIT = Metric(
    "asrq_queue_wait_seconds",
    "histogram",
    "worker",
    "From the last enqueueing of a job to the start of its attempt.",
    ("lane",),
    _WAITS,
)
DECODE = Metric(
    "asrq_decode_seconds",
    "histogram",
    "worker",
    "Fetching, decoding, resampling and finding speech, for completed jobs.",
    ("lane",),
    _WORK,
)
INFERENCE = Metric(
    "asrq_inference_seconds",
    "histogram",
    "worker",
    "The engine's time for a completed job: the sum of the shares of its chunks.",
    ("lane", "backend"),
    _WORK,
)
TOTAL = Metric(
    "asrq_attempt_seconds",
    "histogram",
    "worker",
    "From the start of an attempt that completed its job to its transcript.",
    ("lane", "backend"),
    _WORK,
)
RTFX = Metric(
    "asrq_rtfx_ratio",
    "histogram",
    "worker",
    "RTFx of completed jobs: audio seconds per second of the attempt.",
    ("lane", "backend"),
    _SPEEDS,
)
BATCH = Metric(
    "asrq_batch_chunks",
    "histogram",
    "worker",
    "Chunks in a batch: for each completed job, the mean over the batches that it was in.",
    ("backend",),
    _CHUNKS,
)
BATCH_WAIT = Metric(
    "asrq_batch_wait_seconds",
    "histogram",
    "worker",
    "Wait for the engine: for each completed job, the mean over its chunks.",
    ("lane", "backend"),
    _WAITS,
)
SERVED = Metric(
    "asrq_backend_outcomes_total",
    "counter",
    "worker",
    "Jobs that a backend was tried for: `code` is empty if it served the job, else why it did not.",
    ("backend", "code"),
)
FALLBACKS = Metric(
    "asrq_fallbacks_total",
    "counter",
    "worker",
    "Completed jobs that `stand_in` served because `backend` could not.",
    ("backend", "stand_in"),
)
CACHED = Metric(
    "asrq_cached_total",
    "counter",
    "worker",
    "Completed jobs that were served by the result of an earlier one; they count in no other times than the total.",
    ("lane",),
)
SLOTS = Metric("asrq_slots", "gauge", "worker", "Slots of the worker: jobs that it can run at once.", ("lane",))
LEASES = Metric(
    "asrq_leases",
    "gauge",
    "worker",
    "Leases held, which is jobs running: `progress` is moving, or stalled (not renewed, and soon lost).",
    ("lane", "progress"),
)
READY = Metric("asrq_worker_ready", "gauge", "worker", "1 if the worker is ready, as /readyz says, else 0.")
STORAGE = Metric(
    "asrq_storage_usable",
    "gauge",
    "worker",
    "1 if the worker can write what jobs need written, audio and models; at 0 it takes none.",
)
ENGINE_STATE = Metric(
    "asrq_engine_state",
    "gauge",
    "worker",
    "1 for the state that an engine is in, 0 for the others.",
    ("backend", "state"),
)
ENGINE_RESTARTS = Metric(
    "asrq_engine_restarts_total",
    "counter",
    "worker",
    "Engine processes started again after a failure; `reason` is the code of that failure.",
    ("backend", "reason"),
)
ENGINE_REPLACEMENTS = Metric(
    "asrq_engine_replacements_total",
    "counter",
    "worker",
    "Engine processes that served and were replaced by a fresh one; `reason` is batches, memory or out_of_memory.",
    ("backend", "reason"),
)
MEMORY_STEPS = Metric(
    "asrq_out_of_memory_steps_total",
    "counter",
    "worker",
    "What was done because a batch did not fit into memory: batch_halved, chunk_split, engine_restarted, given_up.",
    ("backend", "step"),
)
ENGINE_MEMORY = Metric(
    "asrq_engine_memory_bytes", "gauge", "worker", "Resident memory of an engine process.", ("backend",)
)
MODEL_LOAD = Metric(
    "asrq_model_load_seconds", "gauge", "worker", "How long the model took to load the last time.", ("backend", "model")
)
CIRCUIT = Metric(
    "asrq_circuit_open",
    "gauge",
    "worker",
    "1 while a backend that failed repeatedly gets no jobs, else 0.",
    ("backend",),
)
DEVICE_USED = Metric(
    "asrq_device_memory_bytes",
    "gauge",
    "worker",
    "Memory in use on an NVIDIA device, by all programs (from nvidia-smi; absent without one).",
    ("device",),
)
DEVICE_TOTAL = Metric(
    "asrq_device_memory_limit_bytes", "gauge", "worker", "Memory that an NVIDIA device has.", ("device",)
)

LEADING = Metric("asrq_reaper_leading", "gauge", "reaper", "1 while this reaper leads, 0 while it stands by.")
LAST_ROUND = Metric(
    "asrq_reaper_last_round_timestamp_seconds", "gauge", "reaper", "Unix time at which the reaper last looked."
)
ACTIONS = Metric(
    "asrq_reaper_actions_total",
    "counter",
    "reaper",
    "What the reaper did, in the words of its report (`asrq reaper --once`): requeued, failed and canceled are jobs "
    "that a lost worker ran, recovered those that it had taken and not begun; rolled_back are backends that failed "
    "their trial, damaged are shared keys with a value of the wrong type.",
    ("action",),
)
LANE_JOBS = Metric(
    "asrq_lane_jobs",
    "gauge",
    "reaper",
    "Jobs of a lane: waiting, scheduled (for a retry), running or dead (failed, kept for a retry by hand). Exported by "
    "the reaper that leads, as are all that follow.",
    ("lane", "state"),
)
NEED_JOBS = Metric(
    "asrq_need_jobs",
    "gauge",
    "reaper",
    "Jobs that wait for a certain kind of worker, because others cannot serve them; they also count as waiting in "
    "their lane.",
    ("lane", "need"),
)
BACKLOG = Metric(
    "asrq_lane_backlog_audio_seconds",
    "gauge",
    "reaper",
    "Estimate of the audio that waits in a lane: waiting and scheduled jobs times the mean length of recent ones, "
    "because a job's length is known only once it is decoded. Absent until a job has completed.",
    ("lane",),
)
DRAIN = Metric(
    "asrq_lane_drain_seconds",
    "gauge",
    "reaper",
    "Estimate of the time until the lane is empty if nothing is added: its backlog by the audio of the lane that was "
    "transcribed per second while jobs waited in it. +Inf if it stands still. Absent until it is known.",
    ("lane",),
)
QUEUE_EVENTS = Metric(
    "asrq_queue_events_total",
    "counter",
    "reaper",
    "What Redis has counted over all workers since the queue began: completed, failed, canceled, expired (jobs), "
    "retry, front (executions given back to their lane), refused (invalid jobs), webhooks_delivered and "
    "webhooks_given_up.",
    ("event",),
)

HTTP_REQUESTS = Metric(
    "asrq_http_requests_total",
    "counter",
    "gateway",
    "Requests that were answered: `route` is a path as in /openapi.json, or empty; `status` 499 is a client that left.",
    ("route", "status"),
)
HTTP_SECONDS = Metric(
    "asrq_http_request_seconds",
    "histogram",
    "gateway",
    "From the headers of a request to the end of its answer: of a transcription, the upload and the wait, too.",
    ("route",),
    _WORK,
)

REDIS_UP = Metric("asrq_redis_up", "gauge", "both", "1 if Redis answers this process within 2 s, else 0.")
BUILD = Metric("asrq_build_info", "gauge", "both", "Always 1; the label names the version that runs.", ("version",))
MEMORY = Metric(
    "process_resident_memory_bytes", "gauge", "both", "Resident memory of the process, without its children."
)
CPU = Metric("process_cpu_seconds_total", "counter", "both", "CPU time of the process, without its children.")
FILES = Metric("process_open_fds", "gauge", "both", "Open file descriptors; on Windows, handles.")
STARTED = Metric("process_start_time_seconds", "gauge", "both", "Unix time at which the process started.")

CATALOGUE: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
