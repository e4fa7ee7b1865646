"""How an extra that is missing is added. asrq is on no package index, so pip has to be told where to take it from."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from asrq_jobs.redaction import redacted_url


def hint(extra: str) -> str:
    """Return what to do where an extra is missing, as a sentence."""
    return f"Run: {command(extra)}."


def command(extra: str) -> str:
    """Return the command that adds an extra to the asrq that runs, from where that was installed.

    Installers note the source beside the package: https://packaging.python.org/specifications/direct-url/
    """
    try:
        return _command(json.loads(distribution("asrq").read_text("direct_url.json") or "{}"), extra)
    except PackageNotFoundError:
        return _command({}, extra)


def _command(source: dict[str, Any], extra: str) -> str:
    url = source.get("url", "")
    if url.startswith("file:") and "vcs_info" not in source:
        path = Path(url2pathname(urlsplit(url).path))
        if path.exists():
            editable = "-e " if source.get("dir_info", {}).get("editable") else ""
            return f"pip install {editable}{shlex.quote(f'{path}[{extra}]')}"
    elif url:
        if "://git@" not in url:  # which is the same for all, over SSH
            url = redacted_url(url)
        if vcs := source.get("vcs_info"):
            url = f"{vcs['vcs']}+{url}@{vcs.get('requested_revision') or vcs['commit_id']}"
        return f"pip install {shlex.quote(f'asrq[{extra}] @ {url}')}"
    return f"pip install '.[{extra}]' in a clone of asrq"
