"""Listens for commands to this host: ours on `asrq:control`, RQ's on the channel of each slot.

Redis delivers messages to all of its databases. One on `asrq:control` is a hint to look into our own: at the lease and
the mark of a job, at the policy, at the command that it names. A slot's name is its own, and so is its channel.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, cast

from redis import Redis
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from asrq_jobs import keys
from asrq_jobs.errors import SettingsError
from asrq_worker.engine.fleet import Fleet
from asrq_worker.queue.leases import LeaseKeeper
from asrq_worker.queue.loop import Loop
from asrq_worker.queue.policy_watch import PolicyWatch
from asrq_worker.queue.slot import Slot
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.commands")
_LOOK_S = 1.0


class CommandListener:
    """One connection and one thread for all slots. A command missed during an outage is not lost for good: the
    lease keeper reads the cancel marks as well."""

    def __init__(
        self,
        redis: Redis,
        keeper: LeaseKeeper,
        policy: PolicyWatch,
        fleet: Fleet,
        slots: Iterable[Slot],
        shutdown: Callable[[], None],
        forget: Callable[[str], None],
    ) -> None:
        """`forget` ends what goes on about a job after its end."""
        self._redis = redis
        self._keeper = keeper
        self._policy = policy
        self._fleet = fleet
        self._slots = {PUBSUB_CHANNEL_TEMPLATE % slot.name: slot for slot in slots}
        self._shutdown = shutdown
        self._forget = forget
        self.loop = Loop("commands", self._listen, keeper.outage, _log)

    def _listen(self) -> float:
        """Listen until told to stop, or until the connection breaks."""
        with self._redis.pubsub() as pubsub:
            pubsub.subscribe(keys.CONTROL, *self._slots)
            while not self.loop.stopping.is_set():
                message = pubsub.get_message(timeout=_LOOK_S)
                if message is not None and message["type"] == "message":
                    self._handle(message)
                elif message is not None:  # subscribed: what was said before is in the marks
                    self._keeper.keep()
        return 0.0

    def _handle(self, message: dict[str, Any]) -> None:
        try:
            payload = json.loads(cast("bytes", message["data"]))
            slot = self._slots.get(cast("bytes", message["channel"]).decode())
            if slot is None:
                self._look(payload["command"], payload)
            elif payload["command"] == "shutdown":
                self._shutdown()
            elif payload["command"] in {"stop-job", "stop-execution"}:
                self._keeper.cancel(str(payload["job_id"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            _log.warning("command.malformed")
        except SettingsError as error:
            _log.warning("command.refused", code=error.code)

    def _look(self, command: str, hint: dict[str, Any]) -> None:
        """Do what our own database holds of what a message hints at."""
        if command == "policy":
            self._policy.look()
        elif command == "cancel":
            job_id = str(hint["id"])
            if self._keeper.wanted(job_id):
                self._keeper.keep()
            if not self._redis.exists(keys.job(job_id)):  # erased
                self._forget(job_id)
        elif command in {"load", "unload"}:
            text = cast("bytes | None", self._redis.get(keys.command(str(hint["id"]))))
            if text is not None:
                self._follow(json.loads(text))

    def _follow(self, told: dict[str, Any]) -> None:
        if told["command"] == "load":
            self._fleet.enlist(str(told["backend"]))
        elif told["command"] == "unload":
            self._fleet.unload(str(told["backend"]))
