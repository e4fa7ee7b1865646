"""Audio that the application hands over as bytes, kept in the spool until a request names it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrq_jobs.errors import (
    AsrqError,
    AudioEmptyError,
    AudioMismatchError,
    AudioTooLargeError,
    BlobMissingError,
    InvalidRequestError,
)
from asrq_jobs.request import BlobAudio
from asrq_worker.storage.disk import writing
from asrq_worker.storage.spool import Spool, discard


@dataclass
class _Upload:
    path: Path
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


class PendingUploads:
    """Used by one thread. `most` limits the bytes of all uploads that no request has named yet."""

    def __init__(self, spool: Spool, *, most: int) -> None:
        self._spool = spool
        self._most = most
        self._pending: dict[str, _Upload] = {}

    def add(self, sha256: str, offset: int, data: bytes) -> None:
        """Keep a piece; offset 0 begins the upload, anew if there was one.

        Raises:
            InvalidRequestError: the piece does not follow the one before it.
            AudioTooLargeError: more than may be kept; the upload is dropped.
            StorageError, NoRoomError: it cannot be kept; the upload is dropped.
        """
        if offset == 0:
            self._drop(sha256)
            self._pending[sha256] = _Upload(self._spool.new_file())
        upload = self._pending.get(sha256)
        if upload is None or upload.size != offset:
            raise InvalidRequestError(
                f"A piece at offset {offset} cannot follow {upload.size if upload else 0} bytes.",
                hint="Send the pieces in order; offset 0 begins anew.",
            )
        if sum(other.size for other in self._pending.values()) + len(data) > self._most:
            self._drop(sha256)
            raise AudioTooLargeError(
                f"Uploads that no request has named yet may take {self._most >> 20} MiB together.",
                hint="Name the file's path instead, or raise ASRQ_MAX_AUDIO_MB.",
            )
        try:
            with writing(), upload.path.open("ab") as file:
                file.write(data)
        except AsrqError:
            self._drop(sha256)
            raise
        upload.digest.update(data)
        upload.size += len(data)

    def take(self, audio: BlobAudio) -> Path:
        """Return the file of a complete upload, which is the caller's from now on.

        Raises:
            AudioEmptyError: it is to have no bytes.
            BlobMissingError: it is not there.
            AudioMismatchError: it is not what its hash and length say; it is dropped.
        """
        if audio.bytes == 0:
            raise AudioEmptyError(f"{audio.name or 'The audio'} is empty (0 bytes).")
        upload = self._pending.get(audio.sha256)
        if upload is None:
            raise BlobMissingError(
                "The audio was not uploaded, or a request has used it already.",
                hint="Send its bytes (op blob) before each request that names them.",
            )
        if (upload.size, upload.digest.hexdigest()) != (audio.bytes, audio.sha256):
            self._drop(audio.sha256)
            raise AudioMismatchError(
                "The uploaded bytes do not match their sha256 and length.", hint="Upload the audio again."
            )
        return self._pending.pop(audio.sha256).path

    def _drop(self, sha256: str) -> None:
        if upload := self._pending.pop(sha256, None):
            discard(upload.path)
