"""Health check of a container: `healthy.py worker|reaper`; exit code 0 if it does its work.

A worker is healthy while it says that it is ready and none of its slots has missed its heartbeats for so long that RQ
has forgotten it, or while it drains. A reaper is healthy while some reaper leads.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import cast

from redis import Redis

from asrq_jobs import configuration, keys
from asrq_jobs.connection import connect, queue_errors
from asrq_jobs.errors import AsrqError


def worker_is_healthy(redis: Redis, host: str) -> bool:
    """Whether a worker of this host serves jobs; its name is the host's and a random suffix."""
    entries = cast("dict[bytes, bytes]", redis.hgetall(keys.HOSTS))
    slots = cast("set[bytes]", redis.smembers("rq:workers"))
    for name, status in entries.items():
        if not name.startswith(f"{host}-".encode()):
            continue
        state, mine = json.loads(status)["state"], [slot for slot in slots if slot.startswith(b"rq:worker:%s." % name)]
        # One that was killed leaves its entry, but its slots lapse; its successor has an entry of its own.
        if state == "draining" or (state == "ready" and mine and redis.exists(*mine) == len(mine)):
            return True
    return False


def main(role: str) -> int:
    """Return the exit code."""
    try:
        config = configuration.load()
        with queue_errors(config), connect(config, retry_s=0) as redis:
            if role == "reaper":
                return 0 if redis.exists(keys.LEADER) else 1
            return 0 if worker_is_healthy(redis, config.worker_name or socket.gethostname()) else 1
    except AsrqError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
