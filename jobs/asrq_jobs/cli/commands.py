"""The commands of `asrq`, as data: what `asrq --help` lists without importing any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Section = Literal["Submit", "Run", "Look after"]
SECTIONS: tuple[Section, ...] = ("Submit", "Run", "Look after")


@dataclass(frozen=True)
class Command:
    """Where a command lives (`module:attribute`), its line in `asrq --help`, and the extras that it needs."""

    target: str
    summary: str
    section: Section
    extra: str | None = None


COMMANDS: dict[str, Command] = {
    "submit": Command("asrq_jobs.cli.submit:submit", "Submit audio to the queue, and wait if asked.", "Submit"),
    "batch": Command("asrq_jobs.cli.batch:batch", "Transcribe an archive of many files.", "Submit"),
    "watch": Command("asrq_jobs.cli.batch:watch", "Transcribe what arrives in a folder.", "Submit"),
    "dictate": Command("asrq_jobs.cli.dictate:dictate", "Transcribe speech while it is spoken.", "Submit"),
    "wait": Command("asrq_jobs.cli.outcomes:wait", "Wait for jobs and print their transcripts.", "Submit"),
    "result": Command("asrq_jobs.cli.outcomes:result", "Print the transcripts of jobs that have ended.", "Submit"),
    "status": Command("asrq_jobs.cli.jobs:status", "Show the state of jobs.", "Submit"),
    "events": Command("asrq_jobs.cli.jobs:events", "Follow the events of a job.", "Submit"),
    "cancel": Command("asrq_jobs.cli.jobs:cancel", "Cancel jobs, waiting or running.", "Submit"),
    "retry": Command("asrq_jobs.cli.jobs:retry", "Queue failed or canceled jobs again.", "Submit"),
    "erase": Command("asrq_jobs.cli.jobs:erase", "Erase jobs with their audio and text.", "Submit"),
    "list": Command("asrq_jobs.cli.jobs:list_jobs", "List the jobs of the queue.", "Submit"),
    "transcribe": Command(
        "asrq_worker.cli.transcribe:transcribe", "Transcribe here and now, without a queue.", "Run", "worker"
    ),
    "worker": Command("asrq_worker.cli.worker:worker", "Run a worker with a warm model.", "Run", "worker"),
    "reaper": Command("asrq_worker.cli.reaper:reaper", "Bring back the jobs of workers that died.", "Run", "worker"),
    "up": Command(
        "asrq_worker.cli.up:up", "Run Valkey, a worker and the reaper on this machine.", "Run", "worker,embedded"
    ),
    "http": Command("asrq_worker.cli.http:http", "Serve OpenAI's API from the queue.", "Run", "http"),
    "bridge": Command(
        "asrq_worker.cli.bridge:bridge", "Serve one application over its pipes, without a queue.", "Run", "worker"
    ),
    "demo": Command(
        "asrq_worker.cli.demo:demo", "See it work, from an empty machine to a transcript.", "Run",
        "worker,demo,embedded",
    ),
    "config": Command("asrq_jobs.cli.config:config", "Show the settings and where each came from.", "Look after"),
    "dead": Command("asrq_jobs.cli.dead:dead", "Show failed jobs with their attempts, and purge them.", "Look after"),
    "backend": Command("asrq_jobs.cli.backend:backend", "Show and change which backend serves jobs.", "Look after"),
    "doctor": Command(
        "asrq_worker.cli.doctor:doctor", "Check this machine and the queue, with a fix for each problem.", "Look after",
        "worker",
    ),
    "models": Command("asrq_worker.cli.models:models", "List, fetch, load and unload models.", "Look after", "worker"),
    "voices": Command("asrq_worker.cli.voices:voices", "Keep voices, to name speakers by.", "Look after", "worker"),
    "bench": Command("asrq_worker.cli.bench:bench", "Measure quality and speed of backends.", "Look after", "bench"),
    "dashboard": Command("asrq_worker.cli.dashboard:dashboard", "Serve rq-dashboard.", "Look after", "dashboard"),
}  # fmt: skip
