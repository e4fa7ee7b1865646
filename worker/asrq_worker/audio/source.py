"""Turns what a request names into a file on this machine: a path, an upload or a URL."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from redis import Redis

from asrq_jobs import keys
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import (
    AudioEmptyError,
    AudioMismatchError,
    AudioNotFoundError,
    AudioTooLargeError,
    AudioUnreadableError,
    BlobMissingError,
    PathNotAllowedError,
)
from asrq_jobs.request import Audio, BlobAudio, PathAudio, UrlAudio
from asrq_jobs.settings import Settings
from asrq_worker.audio import url
from asrq_worker.spool import Spool, discard
from asrq_worker.storage import write_all, writing

_BLOCK = 1 << 20  # bytes: even of a slow disk or network a few seconds' worth, for `check` is called in between

Check = Callable[[], None]


@dataclass(frozen=True)
class LocalAudio:
    """A file that can be decoded. `bytes` is its length, `name` is for people; `temporary`: it lies in our spool."""

    path: Path
    bytes: int
    sha256: str
    name: str | None
    temporary: bool

    @property
    def gone(self) -> bool:
        """Whether somebody has removed our file."""
        return self.temporary and not self.path.exists()

    def discard(self) -> None:
        """Delete the file if it is ours."""
        if self.temporary:
            discard(self.path)


class Source:
    """Fetches audio. Thread-safe."""

    def __init__(self, settings: Settings, spool: Spool, redis: Redis | None, *, any_path: bool = False) -> None:
        """Keep what is needed to fetch.

        `redis` is needed for uploads only. `any_path` lifts the rule of the audio roots, for a caller who could read
        the file anyway.
        """
        self._settings = settings
        self._spool = spool
        self._redis = redis
        self._any_path = any_path
        self._roots = [root.expanduser().resolve() for root in settings.audio_roots]
        self._most = settings.max_audio_mb << 20

    def fetch(self, audio: Audio, check: Check) -> LocalAudio:
        """Return the audio as a file. `check` is called at least four times a second, as far as
        the file system answers; what it raises passes on.

        Raises:
            AudioError: it is not there, not allowed, empty, too large or not what was uploaded.
            FetchError: the network failed; trying again may help.
            QueueError: Redis failed.
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
        path = self._allowed(text)
        try:
            # Not following a link that was put there since, and not waiting for whoever feeds a FIFO.
            flags = (
                os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            )
            with open(os.open(path, flags), "rb") as file:  # noqa: PTH123  # pathlib cannot pass flags
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise AudioUnreadableError(f"{text} is not a file.", hint="Name a file, not a folder or device.")
                size, digest = self._measure(_blocks(file), path.name, check)
        except (FileNotFoundError, NotADirectoryError):
            raise AudioNotFoundError(f"There is no file {text}.") from None
        except OSError as error:
            raise AudioUnreadableError(
                f"{text} cannot be read: {error.strerror}.", hint="Let the worker's user read it, or upload it."
            ) from None
        return LocalAudio(path, size, digest, path.name, temporary=False)

    def _allowed(self, text: str) -> Path:
        path = Path(text)
        if not path.is_absolute():
            raise PathNotAllowedError(f"{text} is not an absolute path.", hint="Name the file from the root on.")
        try:
            # On Windows resolving \\host\share already talks to that host, so the drive is looked at first.
            if self._any_path or any(root.drive == path.drive for root in self._roots):
                path = path.resolve()
                if self._any_path or any(path.is_relative_to(root) for root in self._roots):
                    return path
        except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all
            raise AudioNotFoundError(f"{text!r} is not a usable path.") from None
        raise PathNotAllowedError(f"{text} lies outside the folders that this worker may read.")

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
        try:
            with writing(), path.open("xb", buffering=0) as file:
                size, digest = self._measure(_copied(blocks, file), name, check)
        except BaseException:
            discard(path)
            raise
        return LocalAudio(path, size, digest, name, temporary=True)

    def _from_blob(self, audio: BlobAudio, check: Check) -> LocalAudio:
        if self._redis is None:
            raise BlobMissingError("There is no Redis here to take uploaded audio from.")
        if audio.bytes == 0:
            raise AudioEmptyError(f"{audio.name or 'The audio'} is empty (0 bytes).")
        try:
            local = self._store(self._uploaded(self._redis, keys.blob(audio.sha256)), audio.name, check)
        except AudioEmptyError:
            raise BlobMissingError("The uploaded audio is no longer there.") from None
        if local.sha256 != audio.sha256:
            local.discard()
            raise AudioMismatchError(
                "The uploaded bytes do not match their sha256.", hint="Upload the audio again and submit the job anew."
            )
        return local

    def _uploaded(self, redis: Redis, key: str) -> Iterator[bytes]:
        at = 0
        while True:
            with queue_errors(self._settings):
                block = cast("bytes", redis.getrange(key, at, at + _BLOCK - 1))
            if block:
                yield block
            if len(block) < _BLOCK:
                return
            at += _BLOCK

    def _from_url(self, address: str, check: Check) -> LocalAudio:
        rules = url.Rules(self._settings.url_schemes, self._settings.url_private_hosts)
        with closing(url.stream(address, rules, check)) as blocks:
            return self._store(blocks, url.file_name(address), check)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _copied(blocks: Iterator[bytes], file: IO[bytes]) -> Iterator[bytes]:
    for block in blocks:
        write_all(file, block)
        yield block
