"""The process that tells the speakers of one recording apart.

Started as `python -m asrq_worker.speakers.child`; JSON lines over pipes (process/serve.py).

    in    {"op":"tell","path","samples","spans","least","most","voices"}
                                              the file of raw float32, the speech in it, the folder of enrolled voices
    out   {"op":"progress"}                   while it works
          {"op":"done","turns":[[start,stop,speaker],…],"names":[name or null,…],"unread"}
                                              unread: why voices could not be compared, or null
          {"op":"error","error"}              an ErrorInfo document

    in    {"op":"enroll","path","samples","spans"}
    out   {"op":"done","vector","speakers"}   of all speech; how many speak
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from asrq_jobs import extras
from asrq_jobs.errors import AsrqError, ExtraMissingError, StorageError
from asrq_worker.backends.base import Samples
from asrq_worker.process.serve import serve
from asrq_worker.process.stdio import Message
from asrq_worker.speakers import clusters, enrolled, names
from asrq_worker.speakers.clusters import Span, Vectors


def make_handler(send: Callable[[Message], None]) -> Callable[[Message], None]:
    """Return what takes the one message: `tell` or `enroll`."""

    def tell(message: Message) -> None:
        try:
            spans = [(start, stop) for start, stop in message["spans"]]
            listened = clusters.windows(spans)
            vectors = _vectors(message, listened, lambda _done: send({"op": "progress"}))
            if message["op"] == "enroll":
                send({"op": "done", **_enrolled(vectors, listened)})
                return
            whose = clusters.speakers(vectors, listened, clusters.Number(message["least"], message["most"]))
            found = clusters.turns(spans, listened, whose.tolist())
            told = _names(clusters.means(vectors, listened, whose), message["voices"])
            send({"op": "done", "turns": [[turn.start, turn.stop, turn.speaker] for turn in found], **told})
        except AsrqError as error:
            send({"op": "error", "error": error.info().model_dump()})

    return tell


def _vectors(message: Message, listened: list[Span], on_some: Callable[[int], None]) -> Vectors:
    try:
        from asrq_worker.speakers.voices import VoiceNetwork
    except ImportError as error:
        missing = f"Telling speakers apart needs the package {error.name}."
        raise ExtraMissingError(missing, hint=extras.hint("speakers")) from error

    def read(start: int, stop: int) -> Samples:
        return np.fromfile(message["path"], dtype="<f4", count=stop - start, offset=start * 4)

    return VoiceNetwork().vectors(read, message["samples"], listened, on_some)


def _enrolled(vectors: Vectors, listened: list[Span]) -> Message:
    apart = clusters.speakers(vectors, listened, clusters.Number())
    alone = np.zeros(len(listened), dtype=np.int64)
    return {"vector": clusters.means(vectors, listened, alone)[0].tolist(), "speakers": len(set(apart.tolist()))}


def _names(means: Vectors, folder: str | None) -> Message:
    """Return the names of the speakers; an enrolled voice that cannot be read costs its name, no turn."""
    if folder is None:
        return {"names": [None] * len(means), "unread": None}
    try:
        held = enrolled.read(Path(folder))
    except StorageError as error:
        return {"names": [None] * len(means), "unread": error.message}
    unread = enrolled.damaged(held.damaged[0]).message if held.damaged else None
    return {"names": names.named(means, held.voices), "unread": unread}


if __name__ == "__main__":
    serve(make_handler)
