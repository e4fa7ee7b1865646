"""One run over an archive: what is done is skipped, a few files at a time are in the queue, the rest waits on disk."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from asrq_jobs import formats, uploads
from asrq_jobs.cli import failure
from asrq_jobs.cli.archive.folders import Folder
from asrq_jobs.cli.archive.items import Item
from asrq_jobs.cli.archive.report import Line, Report, digest, free_output
from asrq_jobs.cli.archive.shown import Shown, Totals
from asrq_jobs.cli.follow import Condition, Following
from asrq_jobs.cli.norms import of_norms
from asrq_jobs.cli.output import Form, error_of, failed
from asrq_jobs.cli.progress import trouble
from asrq_jobs.client import Client
from asrq_jobs.errors import (
    AsrqError,
    AudioError,
    AudioNotFoundError,
    JobNotFoundError,
    QueueError,
    QueueFullError,
    from_info,
)
from asrq_jobs.request import Audio, BlobAudio, Request, UrlAudio
from asrq_jobs.result import Result

_TRIES = 3
"""Of a file in one run: after a failure that may pass, or where somebody erased its job."""
_PAUSE_S = 1.0
_ALL_BYTES = 256 << 20
_NO_ID = "id"


_Prepared = tuple[Request, bytes]


@dataclass
class _Submission:
    bytes: int
    items: list[Item]


class Run:
    """Takes each file to its end. `shown` is told of what happens.

    The id of a job is made of what it is about, content and options: to begin again, here or on another machine, is to
    find the jobs that a former run has left in the queue. What is written is erased there.
    """

    def __init__(
        self,
        client: Client,
        report: Report,
        folder: Folder,
        forms: Sequence[Form],
        totals: Totals,
        *,
        options: dict[str, Any],
        by_path: bool,
        most: int,
        shown: Shown,
    ) -> None:
        """`most` files are in the queue at a time, with no more than 256 MiB, or a single one. Each is written in all
        `forms`.
        """
        self._client, self._report, self._folder = client, report, folder
        self._options, self._by_path, self._most, self._shown = options, by_path, most, shown
        self._forms = {" ".join([form.form, *of_norms(form.norms)]): form for form in forms}
        self._following = Following(client)
        self._waiting = deque[Item]()
        self._tries: dict[str, int] = {}
        self._running: dict[str, _Submission] = {}
        self._ended = deque(report.last)  # to be erased: a former run may have been killed before it did so
        self._condition = Condition()
        self._held: _Prepared | None = None  # of the first that waits, until there is room for it
        self._began = time.monotonic()
        self.totals = totals

    def add(self, items: Iterable[Item]) -> None:
        """Take these files, too."""
        before = len(self._waiting)
        self._waiting.extend(items)
        self.totals.files += len(self._waiting) - before

    @property
    def idle(self) -> bool:
        """Whether each file so far is done with."""
        return not (self._waiting or self._running or self._ended)

    def step(self, within_s: float = 1.0) -> None:
        """Do what can be done, and wait for about so long for what is in the queue. Rides out any outage once the
        server has answered.

        Raises:
            QueueError: Redis cannot be reached at first, or refuses us.
            OutputError: a transcript or the report cannot be written.
        """
        try:
            self._erase()
            while self._waiting and len(self._running) < self._most and self._send(self._waiting[0]):
                self._waiting.popleft()
                self._take(within_s=0.001)
            if self._running:
                self._take(within_s)
            elif self._waiting:  # others have filled the lane
                time.sleep(_PAUSE_S)
        except QueueError as error:
            if not (error.retryable and self._following.reached):
                raise
            self._shown.trouble(f"{error.message.rstrip('.')}; trying again")
            time.sleep(_PAUSE_S)
        else:
            self._shown.trouble(trouble(self._condition, silent_s=0.0))
        self._count()

    def _erase(self) -> None:
        while self._ended:
            with suppress(JobNotFoundError):
                self._client.erase(self._ended[0])
            self._ended.popleft()

    def _send(self, item: Item) -> bool:
        """Submit a file that is not done; whether there was room for it."""
        try:
            self._held = self._held or self._prepared(item)
        except AsrqError as error:
            if failure.concerns_all(error):
                raise
            if item.arrived and isinstance(error, AudioNotFoundError):
                self.totals.files -= 1
                return True
            self._settle(item, failed(_NO_ID, error))
            return True
        request, content = self._held
        if not self._done(item, request.id):
            job = self._running.get(request.id) or self._submitted(item, request, content)
            if job is None:
                return False
            job.items.append(item)
            for kind in self._lacking(item, request.id):
                output = self._output(item, kind)  # its own from now on
                self._report.add(Line(source=item.name, status="queued", id=request.id, output=output, form=kind))
        self._held = None
        return True

    def _submitted(self, item: Item, request: Request, content: bytes) -> _Submission | None:
        """Submit the job of a file, unless there is no room for it."""
        size = len(content) if isinstance(request.audio, BlobAudio) else 0
        if self._running and size + sum(job.bytes for job in self._running.values()) > _ALL_BYTES:
            return None
        self._shown.begun(request.id, item.name)
        try:
            if isinstance(request.audio, BlobAudio):
                self._client.upload(content, name=request.audio.name)
            self._client.submit_request(request)
        except QueueFullError:
            return None
        self._following.add(request.id, known=True)
        return self._running.setdefault(request.id, _Submission(size, []))

    def _prepared(self, item: Item) -> _Prepared:
        """Return the request for a file, and its bytes if it is here."""
        source, options = item.source, self._options | item.options
        if source.path is None:
            return _request_of_address(item, options), b""
        audio: Audio
        content, audio = uploads.prepare(source.path, source.name, max_mb=self._client.settings.max_audio_mb)
        audio = uploads.by_path(source.path) if self._by_path else audio
        return _request(audio, content, options), content

    def _done(self, item: Item, job_id: str) -> bool:
        """Whether a former run has done with this content, options and formats; what is wrong with a file stays so."""
        if self._lacking(item, job_id):
            return False
        lines = [self._report.get(item.name, kind) for kind in self._forms]
        if error := next((line.error for line in lines if line and line.error), None):
            self._fail(item, Result(id=job_id, status="failed", error=error))
        else:
            self.totals.skipped += 1
        self._count()
        return True

    def _lacking(self, item: Item, job_id: str) -> list[str]:
        """Return the formats in which a file is not done with."""
        found = []
        for kind in self._forms:
            line = self._report.get(item.name, kind)
            if line is None or line.id != job_id:
                found.append(kind)
            elif line.status == "completed" and line.output:
                found += [kind] * (not self._folder.has(line.output))
            elif line.error is None or not isinstance(from_info(line.error), AudioError):
                found.append(kind)
        return found

    def _output(self, item: Item, kind: str) -> str:
        return free_output(self._report, self._folder, item.name, formats.extension(self._forms[kind].form))

    def _take(self, within_s: float) -> None:
        for job_id, news in self._following.news(within_s):
            if isinstance(news, Condition):
                self._condition = news
                continue
            self._shown.news(job_id, news)
            if isinstance(news, Result | AsrqError):
                self._end(job_id, news)

    def _end(self, job_id: str, news: Result | AsrqError) -> None:
        job = self._running.pop(job_id)
        self._shown.over(job_id)
        result = news if isinstance(news, Result) else failed(job_id, news)
        passing = isinstance(news, JobNotFoundError) or bool(result.error and result.error.retryable)
        tries = self._tries[job_id] = self._tries.get(job_id, 0) + 1
        if not passing or tries == _TRIES:
            for item in job.items:
                self._settle(item, result)
        if passing and tries < _TRIES:
            self._waiting.extend(job.items)
        self._ended.append(job_id)
        self._erase()

    def _settle(self, item: Item, result: Result) -> None:
        """Write what has become of a file, its transcripts first."""
        for kind in self._lacking(item, result.id):
            self._write(item, result, kind)
        if result.status == "completed":
            self.totals.completed += 1
            self.totals.audio_s += result.duration or 0.0
            for code in result.warnings:
                self._shown.remark(partial(failure.warn, code, about=item.name))
        else:
            self._fail(item, result)
        self._count()

    def _write(self, item: Item, result: Result, kind: str) -> None:
        output, written = self._output(item, kind), None
        if result.status == "completed":
            text = formats.render(result, self._forms[kind].form, self._forms[kind].norms)
            self._folder.put(output, text)
            written = digest(text)
        self._report.add(
            Line(
                source=item.name,
                status=result.status,
                id=None if result.id == _NO_ID else result.id,
                output=output if result.status == "completed" else None,
                sha256=written,
                form=kind,
                language=result.language,
                duration=result.duration,
                warnings=result.warnings,
                error=result.error,
            )
        )

    def _fail(self, item: Item, result: Result) -> None:
        self.totals.failed += 1
        self._shown.remark(partial(failure.say, error_of(result), about=item.name))

    def _count(self) -> None:
        self.totals.elapsed_s = time.monotonic() - self._began
        self._shown.counted(self.totals)


def _request_of_address(item: Item, options: dict[str, Any]) -> Request:
    """Return the request for a file at an address: the same as long as the store says the same of it."""
    url = item.source.url or ""
    return _request(UrlAudio(url=url), "\0".join(filter(None, (url, item.version))).encode(), options)


def _request(audio: Audio, content: bytes, options: dict[str, Any]) -> Request:
    """Return the request whose id is made of all that its transcript depends on."""
    request = Request.build(id=_NO_ID, audio=audio, **options)
    about = hashlib.sha256(request.to_json().encode() + b"\0" + hashlib.sha256(content).digest())
    return request.model_copy(update={"id": f"batch-{about.hexdigest()[:48]}"})
