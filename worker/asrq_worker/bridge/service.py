"""The bridge: does what the application says, until the pipe closes, the bridge is ended, or a signal comes."""

from __future__ import annotations

import time

from asrq_jobs.errors import AsrqError, CanceledError, InternalError
from asrq_jobs.request import REQUEST_SCHEMA, BlobAudio, Request
from asrq_jobs.settings import Settings
from asrq_worker.bridge import messages
from asrq_worker.bridge.dictations import DictationFeed, Dictations
from asrq_worker.bridge.jobs import Jobs
from asrq_worker.bridge.messages import Audio, Blob, Cancel, End, Op, Ping, Shutdown, Status, Transcribe
from asrq_worker.bridge.uploads import PendingUploads
from asrq_worker.job.transcriber import Transcriber
from asrq_worker.process.flag import Flag
from asrq_worker.process.stdio import Message, Stdio, lines
from asrq_worker.process.supervision import Supervised, within
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.bridge")

_LOOK_S = 0.2
_LAST_RESULTS_S = 1.0
_CLOSE_S = 1.5


class Bridge:
    """A transcriber, and the application at the other end of the pipe."""

    def __init__(self, settings: Settings, stdio: Stdio, stop: Flag) -> None:
        """`stop` ends the bridge; the bridge sets it as well."""
        self._settings = settings
        self._stdio = stdio
        self._stop = stop
        self._transcriber = Transcriber(settings, feeds=self._feed)
        most = settings.max_audio_mb << 20
        self._uploads = PendingUploads(self._transcriber.spool, most=most)
        self._dictations = Dictations(self._transcriber.spool, most=most, longest_s=settings.max_audio_s)
        self._jobs = Jobs(self._transcriber.pipeline, settings, self._send, self._dictations)
        self._failure: AsrqError | None = None

    def run(self) -> None:
        """Serve until `stop` is set; every accepted job has its result then, if the application still reads.

        Threads may be left behind, one of them blocked in reading: the process is to end without waiting for them.

        Raises:
            SetupError, EngineError, DecoderError, InternalError: nothing can be served.
        """
        for work in (self._load, self._read):
            Supervised(f"bridge{work.__name__}", work, ends=True).start()
        warm = {self._settings.backend, self._settings.fallback_backend if self._settings.fallback_warm else None}
        # Not without a limit: a signal that strikes just before the wait is handled when the main thread runs again.
        while not self._stop.wait(_LOOK_S):
            self._transcriber.fleet.retire(filter(None, warm), idle_s=self._settings.engine_idle_s)
        # An application that does not read, or a child that does not die, must not keep us.
        within(_LAST_RESULTS_S, lambda: self._jobs.stop_all(self._failure or CanceledError("The bridge has ended.")))
        within(_CLOSE_S, self._transcriber.close)
        if self._failure is not None:
            raise self._failure

    def _load(self) -> None:
        began = time.monotonic()
        try:
            self._transcriber.start()
            loaded = self._transcriber.wait_ready()
        except Exception as error:  # noqa: BLE001  # the application must hear of any failure
            if not self._stop.is_set():
                self._failure = error if isinstance(error, AsrqError) else _defect("start", error)
                self._stop.set()
            return
        self._send(messages.ready(loaded))
        self._jobs.start()
        _log.info(
            "bridge.ready",
            backend=loaded.identity.backend,
            model=loaded.identity.model,
            device=loaded.identity.device,
            load_s=round(loaded.load_s, 3),
            start_s=round(time.monotonic() - began, 3),
        )

    def _read(self) -> None:
        for number, line in enumerate(lines(self._stdio.incoming, messages.LONGEST_LINE), start=1):
            try:
                op = messages.parse(line)
                if isinstance(op, Shutdown):
                    break
                self._obey(op)
            except AsrqError as error:
                self._send(messages.refused(error, number, messages.concerns(line)))
            except Exception as error:  # noqa: BLE001  # a defect of ours must not cost the application its bridge
                self._send(messages.refused(_defect("line", error), number, messages.concerns(line)))
        self._stop.set()

    def _obey(self, op: Op) -> None:
        match op:
            case Transcribe():
                request = Request.parse({"schema": REQUEST_SCHEMA} | op.request)
                self._jobs.check(request)
                audio = request.audio
                self._jobs.add(request, self._uploads.take(audio) if isinstance(audio, BlobAudio) else None)
            case Cancel():
                self._jobs.cancel(op.id)
            case Blob():
                self._uploads.add(op.sha256, op.offset, op.data)
            case Audio():
                self._dictations.append(op.id, op.seq, op.data)
            case End():
                self._dictations.end(op.id)
            case Ping():
                self._send({"op": "pong"})
            case Status():
                self._send(self._status())

    def _feed(self, job_id: str) -> DictationFeed:
        return self._dictations.feed(job_id)

    def _send(self, message: Message) -> None:
        if not self._stdio.send(message):
            self._stop.set()  # the application does not read any more

    def _status(self) -> Message:
        member = self._transcriber.fleet.find(self._settings.backend)
        engine = member.engine if member else None
        return {
            "op": "status",
            "state": engine.state.value if engine else "stopped",
            "backend": self._settings.backend,
            "model": self._settings.model_of(self._settings.backend),
            "memory_mb": engine.memory_mb() if engine else None,
            "restarts": engine.restarts if engine else 0,
            "error": engine.error.info().model_dump(mode="json") if engine and engine.error else None,
            **self._jobs.counts(),
        }


def _defect(where: str, error: Exception) -> InternalError:
    _log.defect(f"bridge.{where}_defect", error)
    return InternalError(f"A defect in asrq ({type(error).__name__}); its traceback is on standard error.")
