"""What was measured on this host, kept beside the models: one file for each thing.

A file that is damaged, or cannot be written, means only that it is measured again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from asrq_worker.process.locking import Hold
from asrq_worker.storage.disk import has_place

log = logging.getLogger(__name__)

FOLDER = "measured"
_CPU_INFO = Path("/proc/cpuinfo")
_LOOK_S = 0.1

T = TypeVar("T")


def once(
    model_dir: Path,
    thing: Mapping[str, object],
    versions: Mapping[str, object],
    kind: type[T],
    measure: Callable[[], T],
    wait_s: float,
) -> T | None:
    """Return what was measured of this before, or measure it and keep it.

    Args:
        model_dir: the folder of the models.
        thing: what is measured, and where.
        versions: what else the figures depend on; those of another version of the thing are replaced.
        kind: a dataclass of what can be JSON.
        measure: does it.
        wait_s: how long to wait for a process that measures; two at once would spoil each other's figures.

    Returns:
        None if another process was still measuring, or the host is busy: figures would say little. The next one tries.
    """
    of = {**thing, **versions}
    key = json.dumps(dict(thing), sort_keys=True)
    folder = model_dir / FOLDER
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    reader = TypeAdapter(kind)
    if (found := _read(path, reader, of)) is not None:
        return found
    if _busy():
        return None
    try:
        with _alone(folder, wait_s):
            if (found := _read(path, reader, of)) is not None:
                return found
            found = measure()
            try:
                _write(path, {"of": of, "found": reader.dump_python(found, mode="json")})
            except OSError as error:
                why = error.strerror or error
                log.warning("What was measured cannot be kept in %s (%s): each start measures it again.", folder, why)
            return found
    except BlockingIOError:
        return None


def processor() -> str:
    """Return what the processor calls itself."""
    with contextlib.suppress(OSError):
        for line in _CPU_INFO.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _busy() -> bool:
    """Whether other programs have had half of the host lately."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1) / 2


def _read(path: Path, reader: TypeAdapter[T], of: Mapping[str, object]) -> T | None:
    try:
        kept = json.loads(path.read_bytes())
        return reader.validate_python(kept["found"]) if kept["of"] == of else None
    except (OSError, ValueError, ValidationError, KeyError, TypeError, RecursionError):
        return None


def _write(path: Path, content: object) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        try:
            json.dump(content, file, indent=1)
            file.close()
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _alone(folder: Path, wait_s: float) -> Iterator[None]:
    """Keep other processes from measuring meanwhile, where the folder can be used.

    Raises:
        BlockingIOError: one of them has not ended in time.
    """
    hold = None
    if has_place(folder):
        give_up_at = time.monotonic() + wait_s
        while hold is None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                hold = Hold(folder)
            except BlockingIOError:
                if time.monotonic() >= give_up_at:
                    raise
                time.sleep(_LOOK_S)
            except OSError:
                break
    try:
        yield
    finally:
        if hold is not None:
            hold.close()
