"""Model repositories of the Hugging Face hub: what of them is on this disk, and fetching what is not.

Our own cache (`model_dir/hub`) is looked at first, then the user's (`HF_HOME`).
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from asrq_jobs import extras
from asrq_jobs.errors import ExtraMissingError, FetchError, ModelMissingError, StorageError
from asrq_worker.storage import disk

_TIMEOUT_S = 10.0
_SHA256_DIGITS = 64
_HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})


def find(
    repository: str, model_dir: Path, files: Sequence[str], complete: Callable[[Path], bool], *, download: bool
) -> Path | None:
    """Return the folder of the newest snapshot on this disk that is `complete`, or None.

    With `download`, its files are checked as well, and those of the repository (glob patterns) are fetched where one is
    missing or damaged.

    Raises:
        ModelMissingError: the hub has no such repository, or it is not public.
        FetchError: the hub cannot be reached.
        StorageError: they cannot be written, or this user cannot see what is there.
        ExtraMissingError: the hub's client is not installed.
    """
    if not download:
        return cached(repository, model_dir, complete)
    intact = cached(repository, model_dir, lambda folder: complete(folder) and not _damaged(folder))
    return intact or _download(repository, model_dir, files)


def cached(repository: str, model_dir: Path, complete: Callable[[Path], bool]) -> Path | None:
    """Return the folder of the newest snapshot on this disk that is `complete`, or None. Never touches the network.

    Raises:
        StorageError: this user cannot see what is there.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.constants import HF_HUB_CACHE
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    except ImportError:
        return None
    for cache, setting in ((model_dir / "hub", "ASRQ_MODEL_DIR"), (Path(HF_HUB_CACHE), "HF_HOME")):
        if not disk.has_place(cache):
            continue
        with disk.reading(cache, what="Models", instead=f"set {setting} to another folder"):
            try:
                folder = Path(snapshot_download(repository, cache_dir=cache, local_files_only=True))
            except (LocalEntryNotFoundError, HFValidationError):
                continue
            if complete(folder):
                return folder
    return None


def _damaged(folder: Path) -> list[Path]:
    """Return the files of a snapshot that are not what was fetched, by the hash that names each: SHA-256, or git's.

    Where the system has no links, files have their own names, and nothing is known of them.
    """
    blobs = {path.resolve() for path in folder.rglob("*") if path.is_file()}  # two equal files are one
    return [blob for blob in blobs if _HASH.fullmatch(blob.name) and _hash_of(blob) != blob.name]


def _hash_of(blob: Path) -> str:
    if len(blob.name) == _SHA256_DIGITS:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False)
    with blob.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()


def _download(repository: str, model_dir: Path, files: Sequence[str]) -> Path:
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    except ImportError:
        raise ExtraMissingError("Fetching models needs huggingface_hub.", hint=extras.hint("worker")) from None
    cache = disk.placed(model_dir, setting="ASRQ_MODEL_DIR") / "hub"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(repository, model_dir, error) from None
    try:
        # Asked first because `snapshot_download` itself would wait for an answer without any limit.
        revision = HfApi().model_info(repository, timeout=_TIMEOUT_S).sha
        fetch = partial(snapshot_download, repository, revision=revision, cache_dir=cache, allow_patterns=list(files))
        folder = Path(fetch())
        if damaged := _damaged(folder):
            for path in damaged:
                path.unlink()
            fetch()
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelMissingError(
            f"The model hub has no model {repository!r}, or it is not public.", hint="Check the name."
        ) from None
    except Exception as error:  # noqa: BLE001  # its transport, and so its exceptions, differ between versions
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            raise _unwritable(repository, model_dir, error) from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FetchError(
            f"Model {repository!r} could not be fetched from the hub: {reason}",
            hint="Check the connection and HF_ENDPOINT, or copy the model's folder here and name its path.",
        ) from None
    return folder


def _unwritable(repository: str, model_dir: Path, error: OSError) -> StorageError:
    return disk.refused(
        model_dir, error, what=f"The model {repository}", instead="set ASRQ_MODEL_DIR to another folder"
    )
