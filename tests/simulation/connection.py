"""Connections on which each command is a step of the scheduler, and may go wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import redis.exceptions
from redis import ConnectionPool, Redis, UnixDomainSocketConnection
from simulation.scheduler import Actor, Scheduler

from asrq_jobs.connection import connect
from asrq_jobs.settings import Settings

Args = tuple[Any, ...]
READS = frozenset({
    "EXISTS", "GET", "HGET", "HGETALL", "HMGET", "LLEN", "LPOS", "LRANGE", "MGET", "PING", "PTTL", "SCAN", "SMEMBERS",
    "TIME", "TTL", "TYPE", "WATCH", "UNWATCH", "XRANGE", "XREAD", "XREVRANGE", "ZCARD", "ZMSCORE", "ZRANGE",
    "ZRANGEBYSCORE", "ZREVRANGE", "ZSCORE", "SCRIPT", "MULTI", "EXEC",
})  # fmt: skip
"""Commands after which everything is as it was."""
_ASIDE = ("rq:worker", "asrq:hosts", "asrq:limits", "asrq:stats", "asrq:reaper", "asrq:outcomes")
_LOOKS = frozenset({"TYPE", "TTL", "EXISTS", "HMGET"})


@dataclass(frozen=True)
class Unit:
    """Commands that reach Redis in one step: a transaction, or some whose order beside others does not matter."""

    commands: tuple[Args, ...]

    @property
    def first(self) -> Args:
        return self.commands[0]

    @cached_property
    def verb(self) -> str:
        return _text(self.first[0]).upper()

    @cached_property
    def matters(self) -> bool:
        """Whether it may change what a job is or where: registrations, counters and tidying do not."""
        return not all(
            (verb := _text(command[0]).upper()) in READS
            or verb == "ZREMRANGEBYSCORE"
            or (len(command) > 1 and _text(command[1]).startswith(_ASIDE))
            for command in self.commands
        )


Told = Callable[[Actor, Unit, Any], None]


class Server:
    """What the simulation knows of the real server: who is told of steps, which script has which digest."""

    def __init__(self) -> None:
        self.scheduler: Scheduler | None = None
        self.faults: Callable[[Actor, Unit], str] = lambda _actor, _unit: "none"
        """Says what goes wrong with a command: none, unsent, unheard, crash (before it) or crashed (after it)."""
        self.done: Told = lambda _actor, _unit, _seen: None
        """Told of each step, with the answer to `look` if it mattered."""
        self.before: Callable[[], list[Args]] = list
        """What is to be sent before the next step, in the same round trip."""
        self.look: Args = ("PING",)
        self.scripts: dict[str, str] = {}
        self.waits: Callable[[str], bool] = lambda _list: False
        """Whether something is in a list."""
        self.news: Callable[[str], int] = lambda _stream: 0
        """How many entries a stream has."""

    def told(self, unit: Unit) -> str:
        """The unit in words."""
        if unit.verb == "EVALSHA":
            return f"{self.scripts.get(_text(unit.first[1]), '?')}.lua"
        if unit.verb == "FCALL":
            return f"{_text(unit.first[1]).removeprefix('asrq_')}.lua"
        words = " ".join(_text(word)[:50] for word in unit.first[:4])
        return f"{words} …+{len(unit.commands) - 1}" if len(unit.commands) > 1 else words


SERVER = Server()


class _Stepwise(UnixDomainSocketConnection):
    """Sends nothing before the scheduler lets its actor go on. Outside of actors it is a connection like any other."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self._waiting: deque[Unit] = deque()
        self._answers: deque[Any] = deque()
        self._cut = 0
        self._watching = False
        self._shaking_hands = False
        super().__init__(*args, **named | {"health_check_interval": 0})

    def _plain(self) -> bool:
        return self._shaking_hands or SERVER.scheduler is None or SERVER.scheduler.actor is None

    def connect(self) -> None:
        """Connect for real."""
        if self._sock is not None:
            return
        self._shaking_hands = True
        try:
            super().connect()
        finally:
            self._shaking_hands = False

    def disconnect(self, *args: Any, **named: Any) -> None:
        """Forget what was to be sent. The real connection stays, as all that was sent has been read."""
        if self._watching or SERVER.scheduler is None or self._shaking_hands:
            super().disconnect(*args, **named)
        self._watching = False
        self._waiting.clear()
        self._answers.clear()
        self._cut += 1

    def send_command(self, *args: Any, **named: Any) -> None:
        """Keep a command until its answer is wanted."""
        if self._plain():
            super().send_command(*args, **named)
        else:
            self._waiting.append(Unit((args,)))

    def pack_commands(self, commands: Any) -> Any:
        """Leave the commands of a pipeline as they are."""
        return super().pack_commands(commands) if self._plain() else list(commands)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Keep them until their answers are wanted."""
        if self._plain() or not (isinstance(command, list) and command and isinstance(command[0], tuple)):
            super().send_packed_command(command, check_health)
        else:
            self._waiting.extend(units(command))

    def read_response(self, *args: Any, **named: Any) -> Any:
        """Take the next step, or read what it has brought."""
        if self._plain():
            return super().read_response(*args, **named)
        if not self._answers:
            try:
                self._answers.extend(self._step(self._waiting.popleft()))
            except BaseException:  # also the end of the actor: the next user of the connection starts afresh
                self.disconnect()
                raise
        answer = self._answers.popleft()
        if isinstance(answer, redis.exceptions.ResponseError):
            raise answer
        return answer

    def _step(self, unit: Unit) -> list[Any]:
        scheduler = SERVER.scheduler
        assert scheduler is not None
        actor = scheduler.actor
        assert actor is not None
        cut = self._cut
        if unit.verb == "BLMOVE":
            return [self._wait(scheduler, unit, ("LMOVE", *unit.first[1:5]), float(unit.first[5]), actor)]
        if unit.verb == "XREAD" and "BLOCK" in (words := [_text(word) for word in unit.first]):
            at = words.index("BLOCK")
            plain = (*unit.first[:at], *unit.first[at + 2 :])
            return [self._wait(scheduler, unit, plain, float(unit.first[at + 1]) / 1000, actor)]
        scheduler.pause(about=SERVER.told(unit) if unit.matters else "")
        if self._cut != cut:
            raise redis.exceptions.ConnectionError("It was closed.")
        if unit.verb == "TIME":
            now = scheduler.now
            return [[int(now), int(now % 1 * 1e6)]]
        return self._do(scheduler, actor, unit)

    def _wait(self, scheduler: Scheduler, unit: Unit, plain: Args, seconds: float, actor: Actor) -> Any:
        """A command that blocks: do the one that does not, when it may find something."""
        cut, until = self._cut, scheduler.now + seconds
        pops = plain[0] == "LMOVE"
        key = _text(plain[1 if pops else -2])
        seen = -1

        def ready() -> bool:
            return self._cut != cut or (SERVER.waits(key) if pops else SERVER.news(key) != seen)

        while True:
            scheduler.pause(ready=ready, seconds=until - scheduler.now, about=SERVER.told(Unit((plain,))))
            seen = SERVER.news(key)
            if self._cut != cut:
                raise redis.exceptions.ConnectionError("It was closed.")
            (answer,) = self._do(scheduler, actor, Unit((plain,)))
            if answer or scheduler.now >= until:
                return answer

    def _do(self, scheduler: Scheduler, actor: Actor, unit: Unit) -> list[Any]:
        fault = SERVER.faults(actor, unit)
        if fault != "none":
            scheduler.note(f"{SERVER.told(unit)}: {fault}")
        if fault == "crash":
            scheduler.crash(actor.host)
        if fault == "unsent":
            raise redis.exceptions.ConnectionError("It was not sent.")
        before, after = SERVER.before(), [SERVER.look] if unit.matters else []
        super().send_packed_command(super().pack_commands([*before, *unit.commands, *after]), False)
        self._watching = unit.verb == "WATCH" or (self._watching and unit.verb not in {"MULTI", "UNWATCH"})
        answers = [self._read() for _ in range(len(before) + len(unit.commands) + len(after))]
        SERVER.done(actor, unit, answers.pop() if after else None)
        if fault == "crashed":
            scheduler.crash(actor.host)
        if fault == "unheard":
            raise redis.exceptions.ConnectionError("Its answer was lost.")
        return answers[len(before) :]

    def _read(self) -> Any:
        try:
            return self._parser.read_response()
        except redis.exceptions.ResponseError as error:
            return error


def units(commands: Sequence[Args]) -> list[Unit]:
    """Divide the commands of a pipeline into steps: one for a transaction, else one each that somebody may see."""
    if _text(commands[0][0]).upper() == "MULTI":
        return [Unit(tuple(commands))]
    divided: list[list[Args]] = []
    quiet = False
    for command in commands:
        now_quiet = _text(command[0]).upper() in _LOOKS or _text((*command, "")[1]).startswith(_ASIDE)
        if quiet and now_quiet:
            divided[-1].append(command)
        else:
            divided.append([command])
        quiet = now_quiet
    return [Unit(tuple(found)) for found in divided]


class _Pool(ConnectionPool):
    """Counts nothing, looks at nothing: that takes as long as a command does here."""

    def get_connection(self, *_args: Any, **_named: Any) -> Any:
        """Return one that is connected."""
        connection = self._available_connections.pop() if self._available_connections else self.make_connection()
        self._in_use_connections.add(connection)
        connection.connect()
        return connection

    def release(self, connection: Any) -> None:
        """Take it back."""
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)


_clients: dict[str, Redis] = {}


def client(settings: Settings, place: str) -> Redis:
    """Return a client as production makes it, but stepwise; kept from run to run, as to connect takes its time.

    Over a Unix socket, which is the quickest.
    """
    name = f"{settings.redis_url} {place}"
    if name not in _clients:
        made = connect(settings)
        made.connection_pool = _Pool(_Stepwise, **made.connection_pool.connection_kwargs)
        _clients[name] = made
    return _clients[name]


def _text(word: object) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
