"""Where uploads go that Redis should not hold: a folder that workers share, or any place that fsspec can write to.

An upload is at <job>.<digest>/<name>, so that nothing else has to say whose it is.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from asrq_jobs.aio import AsyncClient
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import AsrqError, JobNotFoundError, NoRoomError, SettingsError, StorageError
from asrq_jobs.request import PathAudio, UrlAudio
from asrq_jobs.settings import expanded
from asrq_worker.http.uploads import Incoming
from asrq_worker.storage.disk import refusal
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.http")

ABOVE = 64 << 20
"""Bytes of an upload that Redis still holds where there is a store."""
_BLOCK = 1 << 20
_DIGITS = 16
_SWEEP_S = 60.0
_ORPHAN_S = 3600.0
"""So long a job may take from the store of its upload to its submission."""
_OURS = re.compile(rf"([A-Za-z0-9_-]{{1,64}})\.[0-9a-f]{{{_DIGITS}}}/[^/]+")


@dataclass(frozen=True)
class _StoredUpload:
    """An upload in the store; `written` is when, Unix s."""

    job_id: str
    path: str
    written: float


class Store:
    """Blocks: for a thread. Any number of gateways may use one place, for one queue."""

    def __init__(self, address: str) -> None:
        """Look at the place.

        Raises:
            SettingsError: nothing can be written there.
        """
        import fsspec

        self._is_folder = "://" not in address
        if self._is_folder and not expanded(Path(address)).is_absolute():
            raise SettingsError(
                f"Uploads cannot be stored at {address}: jobs name the place, and workers start in other folders.",
                hint="Write ASRQ_HTTP_STORE as an absolute path, or as an address such as s3://….",
            )
        self._address = str(expanded(Path(address))) if self._is_folder else address.rstrip("/")
        try:
            self._files, self._root = fsspec.url_to_fs(self._address)
            self._files.makedirs(self._root, exist_ok=True)
        except Exception as error:  # each file system raises errors of its own library
            raise SettingsError(
                f"Uploads cannot be stored at {self._address}: {type(error).__name__}: {error}.",
                hint="Check ASRQ_HTTP_STORE; an address such as s3://… needs its package, such as s3fs.",
            ) from error

    def put(self, job_id: str, incoming: Incoming, name: str | None) -> PathAudio | UrlAudio:
        """Write an upload, unless it is there; returns how its job names it.

        Raises:
            NoRoomError, StorageError: that failed.
        """
        inside = f"{job_id}.{incoming.sha256[:_DIGITS]}/{_safe(name)}"
        try:
            self._write(f"{self._root}/{inside}", incoming)
        except Exception as error:
            raise _explained(error) from error
        where = f"{self._address}/{inside}"
        return PathAudio(path=where) if self._is_folder else UrlAudio(url=where)

    def _write(self, path: str, incoming: Incoming) -> None:
        if self._files.exists(path) and self._files.size(path) == incoming.size:
            return
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        incoming.seek(0)
        # Another request may write the same at the same time. In a folder it appears whole; in a store it does anyway.
        begun = f"{path}.{uuid.uuid4().hex}" if self._is_folder else path
        with self._files.open(begun, "wb") as out:
            shutil.copyfileobj(incoming.reader, out, _BLOCK)
        if self._is_folder:
            Path(begun).replace(path)

    def entries(self) -> Iterator[_StoredUpload]:
        """Yield what is there of ours."""
        self._files.invalidate_cache()
        for path, info in self._files.find(self._root, detail=True).items():
            inside = _OURS.fullmatch(path.removeprefix(self._root).lstrip("/"))
            if inside and (written := _written(info)) is not None:
                yield _StoredUpload(inside[1], path, written)

    def remove(self, path: str) -> None:
        """Remove an upload, with what was made for it alone."""
        with suppress(FileNotFoundError):
            self._files.rm(path)
        with suppress(OSError):  # another one is there, or there are no folders
            self._files.rmdir(path.rpartition("/")[0])

    def erase(self, job_id: str, where: str) -> None:
        """Remove what a job names, a path or an address, if it is here and its own."""
        inside = where.removeprefix(f"{self._address}/")
        if inside != where and (named := _OURS.fullmatch(inside)) and named[1] == job_id:
            self.remove(f"{self._root}/{inside}")


async def _sweep(store: Store, client: AsyncClient) -> int:
    """Remove what no job needs: of jobs that have completed, or are not there. Returns how many were removed."""
    removed = 0
    with queue_errors(client.settings):
        now, _ = await client.redis.time()  # the clock of a gateway may be wrong
    for entry in await asyncio.to_thread(lambda: list(store.entries())):
        if not await _needed(entry, client, now):
            await asyncio.to_thread(store.remove, entry.path)
            removed += 1
    return removed


async def keep_swept(store: Store, client: AsyncClient) -> None:
    """Sweep again and again."""
    while True:
        await asyncio.sleep(_SWEEP_S)
        try:
            removed = await _sweep(store, client)
        except (AsrqError, OSError) as error:
            _log.warning("http.not_swept", reason=type(error).__name__)
        else:
            if removed:
                _log.info("http.swept", removed=removed)


async def _needed(entry: _StoredUpload, client: AsyncClient, now: float) -> bool:
    """Whether a job may still read an upload: one that failed or was canceled may be retried."""
    try:
        return (await client.state(entry.job_id)).status != "completed"
    except JobNotFoundError:
        return now - entry.written < _ORPHAN_S


def _safe(name: str | None) -> str:
    """Return a name that leads nowhere: letters, digits, points and dashes, as in no address with a meaning."""
    return re.sub(r"[^\w.-]", "_", name or "").lstrip(".")[-100:] or "audio"


def _written(info: dict[str, Any]) -> float | None:
    """Return when a file was written, Unix s: each file system has its own field for it."""
    for field in ("mtime", "LastModified", "last_modified", "updated", "created"):
        found = info.get(field)
        if isinstance(found, int | float):
            return float(found)
        if isinstance(found, datetime):
            return found.timestamp()
    return None


def _explained(error: Exception) -> StorageError | NoRoomError:
    if isinstance(error, OSError) and error.errno is not None:
        return refusal(error)
    return StorageError(f"The store does not take the upload: {type(error).__name__}.")
