"""Turns what a request names into a file on this machine: a path, an upload or a URL."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from asrq_jobs.errors import (
    AudioEmptyError,
    AudioMismatchError,
    AudioTooLargeError,
    AudioUnreadableError,
    BlobMissingError,
)
from asrq_jobs.request import BlobAudio, PathAudio, Stored, UrlAudio
from asrq_jobs.settings import Settings
from asrq_worker.audio import url
from asrq_worker.audio.roots import Roots
from asrq_worker.storage.disk import placed, write_all, writing
from asrq_worker.storage.spool import Spool, discard

_BLOCK = 1 << 20  # bytes: even of a slow disk or network a few seconds' worth, for `check` is called in between

Check = Callable[[], None]
Uploads = Callable[[str], Iterator[bytes]]
"""Yields the bytes that were uploaded under a sha256, in blocks small enough for `check`; none if they are gone."""


@dataclass(frozen=True)
class LocalAudio:
    """An open file that can be decoded. `bytes` and `sha256` are what was read of it, `name` is for people; `ours` is
    its path in our spool, None for one that stays, which others may write to."""

    file: BinaryIO
    bytes: int
    sha256: str
    name: str | None
    ours: Path | None = None
    written: tuple[int, int] | None = None

    @property
    def changed(self) -> bool:
        """Whether the file may hold something else by now than what was read."""
        return self.written is not None and self.written != _written(self.file)

    def discard(self) -> None:
        """Close the file, and delete it if it is ours."""
        self.file.close()
        if self.ours is not None:
            discard(self.ours)


class Fetcher:
    """Fetches audio. Thread-safe."""

    def __init__(self, settings: Settings, spool: Spool, uploads: Uploads | None, *, any_path: bool = False) -> None:
        """Keep what is needed to fetch.

        `uploads` None: nothing was uploaded. `any_path` lifts the rule of the audio roots, for a caller who could read
        the file anyway.
        """
        self._settings = settings
        self._spool = spool
        self._uploads = uploads
        self._roots = Roots(
            [placed(root, setting="ASRQ_AUDIO_ROOTS") for root in settings.audio_roots], anywhere=any_path
        )
        self._most = settings.max_audio_mb << 20

    def fetch(self, audio: Stored, check: Check) -> LocalAudio:
        """Return the audio as a file. `check` is called at least four times a second, as far as
        the file system answers; what it raises passes on.

        Raises:
            AudioError: it is not there, not allowed, empty, too large or not what was uploaded.
            FetchError: the network failed; trying again may help.
            QueueError: an upload cannot be read now.
            StorageError, NoRoomError: it cannot be kept here.
        """
        match audio:
            case PathAudio():
                return self._from_path(audio.path, check)
            case BlobAudio():
                return self._from_blob(audio, check)
            case UrlAudio():
                return self._from_url(audio.url, check)

    def _from_path(self, text: str, check: Check) -> LocalAudio:
        with ExitStack() as undo:
            file = undo.enter_context(self._roots.open(text))
            name, written = Path(file.name).name, _written(file)
            try:
                size, digest = self._measure(_blocks(file), name, check)
            except OSError as error:
                raise AudioUnreadableError(f"{text} cannot be read: {error.strerror}.") from None
            undo.pop_all()
        return LocalAudio(file, size, digest, name, written=written)

    def _measure(self, blocks: Iterator[bytes], name: str | None, check: Check) -> tuple[int, str]:
        """Return length and sha256."""
        digest, size = hashlib.sha256(), 0
        for block in blocks:
            check()
            digest.update(block)
            size += len(block)
            if size > self._most:
                raise AudioTooLargeError(
                    f"{name or 'The audio'} has more than {self._settings.max_audio_mb} MiB.",
                    hint="Send compressed audio (opus, mp3), or ask the operator to raise ASRQ_MAX_AUDIO_MB.",
                )
        if size == 0:
            raise AudioEmptyError(f"{name or 'The audio'} is empty (0 bytes).")
        return size, digest.hexdigest()

    def _store(self, blocks: Iterator[bytes], name: str | None, check: Check) -> LocalAudio:
        """Write the blocks into the spool; nothing stays there if that fails.

        Raises:
            StorageError, NoRoomError: they cannot be written.
        """
        path = self._spool.new_file()
        with ExitStack() as undo:
            undo.callback(discard, path)
            with writing():
                file = undo.enter_context(path.open("xb+", buffering=0))
                size, digest = self._measure(_copied(blocks, file), name, check)
            undo.pop_all()
        return LocalAudio(file, size, digest, name, ours=path)

    def _from_blob(self, audio: BlobAudio, check: Check) -> LocalAudio:
        if self._uploads is None:
            raise BlobMissingError("There is no Redis here to take uploaded audio from.")
        if audio.bytes == 0:
            raise AudioEmptyError(f"{audio.name or 'The audio'} is empty (0 bytes).")
        try:
            local = self._store(self._uploads(audio.sha256), audio.name, check)
        except AudioEmptyError:
            raise BlobMissingError("The uploaded audio is no longer there.") from None
        if local.sha256 != audio.sha256:
            local.discard()
            raise AudioMismatchError(
                "The uploaded bytes do not match their sha256.", hint="Upload the audio again and submit the job anew."
            )
        return local

    def _from_url(self, address: str, check: Check) -> LocalAudio:
        rules = url.Rules(self._settings.url_schemes, self._settings.url_private_hosts)
        with closing(url.stream(address, rules, check)) as blocks:
            return self._store(blocks, url.file_name(address), check)


def _written(file: BinaryIO) -> tuple[int, int]:
    """Return what writing to a file changes: its length, and the time in nanoseconds."""
    state = os.fstat(file.fileno())
    return state.st_size, state.st_mtime_ns


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _copied(blocks: Iterator[bytes], file: IO[bytes]) -> Iterator[bytes]:
    for block in blocks:
        write_all(file, block)
        yield block
