"""`RQ_KEY_PREFIX`, with which RQ names its keys, and asrq does not."""

from __future__ import annotations

import os

from asrq_jobs.errors import SettingsError

_VARIABLE = "RQ_KEY_PREFIX"


def refuse() -> None:
    """Refuse to run where RQ, told by its own variable, would keep workers and registries under keys of another name.

    Called before RQ is imported, which reads the variable then.

    Raises:
        SettingsError: it would.
    """
    prefix = os.environ.get(_VARIABLE, "rq")
    if prefix != "rq":
        raise SettingsError(
            f"{_VARIABLE} is {prefix!r} in the environment, but asrq's jobs are under rq: in Redis.",
            hint=f"Start asrq without it: env -u {_VARIABLE} asrq …",
        )
