"""The process that tells the speakers of one recording apart.

Started as `python -m asrq_worker.speakers.child`; JSON lines over pipes (process/serve.py).

    in    {"op":"tell","path","samples","spans","least","most"}    the file of raw float32, and the speech in it
    out   {"op":"progress"}                                        while it works
          {"op":"done","turns":[[start,stop,speaker],…]}
          {"op":"error","error"}                                   an ErrorInfo document
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asrq_jobs import extras
from asrq_jobs.errors import AsrqError, ExtraMissingError
from asrq_worker.backends.base import Samples
from asrq_worker.process.serve import Message, serve
from asrq_worker.speakers import groups


def make_handler(send: Callable[[Message], None]) -> Callable[[Message], None]:
    """Return what takes the one message."""

    def tell(message: Message) -> None:
        try:
            try:
                from asrq_worker.speakers.voices import Voices
            except ImportError as error:
                missing = f"Telling speakers apart needs the package {error.name}."
                raise ExtraMissingError(missing, hint=extras.hint("speakers")) from error

            def read(start: int, stop: int) -> Samples:
                return np.fromfile(message["path"], dtype="<f4", count=stop - start, offset=start * 4)

            spans = [(start, stop) for start, stop in message["spans"]]
            listened = groups.windows(spans)
            vectors = Voices().vectors(read, message["samples"], listened, lambda _done: send({"op": "progress"}))
            whose = groups.speakers(vectors, listened, groups.Number(message["least"], message["most"]))
            found = groups.turns(spans, listened, whose.tolist())
            send({"op": "done", "turns": [[turn.start, turn.stop, turn.speaker] for turn in found]})
        except AsrqError as error:
            send({"op": "error", "error": error.info().model_dump()})

    return tell


if __name__ == "__main__":
    serve(make_handler)
