"""Waiting for jobs: shows their progress on a terminal, and hands over their results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress

from asrq_jobs.cli import failure
from asrq_jobs.cli.follow import Condition, Following, commands_for
from asrq_jobs.cli.interruption import interruptible
from asrq_jobs.cli.norms import of_norms
from asrq_jobs.cli.output import Form, ResultWriter, failed
from asrq_jobs.cli.progress import Bars
from asrq_jobs.client import Client
from asrq_jobs.errors import AsrqError, JobNotFoundError, OutputError, QueueError, WaitTimeoutError
from asrq_jobs.result import Result
from asrq_jobs.states import JobState


class Waiting:
    """The inputs of one command until each has ended; some may join while others are waited for."""

    def __init__(self, client: Client, writer: ResultWriter, bars: Bars | None) -> None:
        self._client = client
        self._following = Following(client)
        self._writer = writer
        self._bars = bars
        self._inputs: dict[str, list[int]] = {}
        self._needs: set[str] = set()
        self._keep_nothing: list[str] = []

    def add(self, index: int, job_id: str, *, known: bool = False) -> None:
        """Wait for the job of an input, too; `known`: the server has just said that there is one."""
        self._inputs.setdefault(job_id, []).append(index)
        self._following.add(job_id, known=known)

    def sending(self, job_id: str) -> None:
        """Show that the audio of a job is on its way to the queue."""
        if self._bars:
            self._bars.sending(job_id)

    def settle(self, index: int, result: Result) -> None:
        """Take the result of an input that has no job."""
        if self._bars:
            self._bars.update(result.id, result)
        self._writer.put(index, result)

    def glance(self) -> None:
        """Take in what has happened so far."""
        if self._following.left:
            self._take(within_s=0.001)

    def finish(self, timeout_s: float | None) -> None:
        """Wait until all have ended.

        Raises:
            WaitTimeoutError: `timeout_s` seconds have passed; what was ready has been handed over.
            QueueError: Redis cannot be reached or refuses.
        """
        self._following.limit(timeout_s)
        while self._following.left:
            self._take(within_s=1.0)

    @property
    def left(self) -> list[str]:
        """The jobs that have not ended."""
        return self._following.left

    @property
    def reached(self) -> bool:
        """Whether the server has answered; if not, nothing is known of the jobs."""
        return self._following.reached

    @property
    def all(self) -> list[str]:
        """The jobs of all inputs."""
        return list(self._inputs)

    def _take(self, within_s: float) -> None:
        for job_id, news in self._following.news(within_s):
            if isinstance(news, Condition):
                self._tell(news)
                continue
            if self._bars:
                self._bars.update(job_id, news)
            elif isinstance(news, JobState) and news.waits_for:
                self._tell_of(news.waits_for)
            if isinstance(news, Result) and news.erased_when_fetched:
                self._keep_nothing.append(job_id)
            if isinstance(news, Result | AsrqError):
                for index in self._inputs[job_id]:
                    self._writer.put(index, news if isinstance(news, Result) else failed(job_id, news))

    def erase(self) -> None:
        """Erase the jobs that are to keep nothing: what they had to say has been written."""
        for job_id in self._keep_nothing:
            with suppress(JobNotFoundError):
                self._client.erase(job_id)

    def _tell_of(self, need: str) -> None:
        if need not in self._needs:
            self._needs.add(need)
            failure.note(f"a job waits for a worker that can serve it: {need}.")

    def _tell(self, condition: Condition) -> None:
        if self._bars:
            self._bars.of_the_queue(condition)
        elif not condition.answers:
            failure.note("the server does not answer; trying again.")
        elif condition.absence:
            failure.note(f"{condition.absence}.")


@contextmanager
def waiting(
    client: Client, form: Form, names: Sequence[str], job_ids: Sequence[str], *, by_id: bool = False
) -> Iterator[tuple[Waiting, ResultWriter]]:
    """Wait for the jobs of inputs; an interruption keeps what is done, and says how to go on.

    `names` is what people call the inputs: file names or, with `by_id`, the ids themselves. Bars show how far each job
    is if stderr is a terminal and stdout gets nothing but text.
    """
    watched = sys.stderr.isatty() and not form.json_lines
    bars = Bars(dict(zip(reversed(job_ids), reversed(names), strict=True))) if watched else None
    writer = ResultWriter(form, names, by_id=by_id, hold=bars is not None and form.terminal)
    wait = Waiting(client, writer, bars)
    again = [*(["--json"] if form.json_lines else ["--format", form.form] if form.form != "txt" else [])]
    again += ["--output", str(form.folder)] if form.folder else []
    again += of_norms(form.norms)
    with interruptible():
        try:
            with bars or nullcontext():
                yield wait, writer
        except (KeyboardInterrupt, AsrqError) as error:
            with suppress(OutputError, BrokenPipeError):
                writer.flush()
            if isinstance(error, WaitTimeoutError):
                error.hint = commands_for(wait.left, *again)
            elif isinstance(error, OutputError):
                failure.note(f"nothing is lost. {commands_for(wait.all, *again)}")
            elif wait.left and wait.reached and isinstance(error, KeyboardInterrupt | QueueError):
                failure.note(f"the jobs go on. {commands_for(wait.left, *again)}")
            raise
        else:
            writer.flush()
            wait.erase()
