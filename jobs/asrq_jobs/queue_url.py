"""Addresses of Redis: what may stand in `ASRQ_REDIS_URL`, and what is wrong with one.

redis-py passes on what it does not know, drops what it cannot read and lets an address win over our settings. So an
address is looked at before redis-py sees it.

    redis://[[user]:[password]@][host][:port][/database][?option=value&…]     rediss:// likewise, with TLS
    unix://[[user]:[password]@]/path/of/socket[?option=value&…]
"""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

Problem = str | None
"""What is wrong, as the end of a sentence; it quotes no value, for that may be a password."""

_ENCODE = (
    "cannot be read as an address; in the user name and the password these characters must be percent-encoded: "
    "/ as %2F, # as %23, ? as %3F, @ as %40, : as %3A, % as %25, a space as %20"
)
_TIMES = "ASRQ_REDIS_TIMEOUT_S"
_OUTAGES = "ASRQ_REDIS_RETRY_S"
_OURS = {
    "timeout": _TIMES, "socket_timeout": _TIMES, "socket_connect_timeout": _TIMES,
    "retry": _OUTAGES, "retry_on_timeout": _OUTAGES, "retry_on_error": _OUTAGES,
}  # fmt: skip


def problem(url: str) -> Problem:
    """Return what is wrong with an address, None if nothing is."""
    if url.partition("://")[0] not in {"redis", "rediss", "unix"}:
        return "must start with redis://, rediss:// or unix://"
    if not _is_unambiguous(url):
        return _ENCODE
    parts = urlsplit(url)
    if parts.scheme == "unix" and (parts.hostname or len(parts.path) < 2):  # more than the root
        return "must name the socket by its whole path, as in unix:///run/redis/redis.sock"
    database = unquote(parts.path).removeprefix("/")
    if parts.scheme != "unix" and database and _number(database):
        return f"has a database that {_number(database)}, as in redis://host:6379/0"
    return _query_problem(parts.query, parts.scheme, {"db"} if database and parts.scheme != "unix" else set())


def _is_unambiguous(url: str) -> bool:
    """Whether nobody can take a part of the password for the host, the port, the database or an option."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is no number, or brackets that are none
        return False
    behind = parts.query if parts.scheme == "unix" and not parts.netloc else parts.path + parts.query
    # urllib drops tabs and line ends without a word.
    return url.isprintable() and "@" not in behind and not parts.fragment and port != 0


def _query_problem(query: str, scheme: str, given: set[str]) -> Problem:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _OURS:
            return f"has the option {name}, which is a setting of its own here: {_OURS[name]}"
        if name.startswith("ssl_") and scheme != "rediss":
            return f"has the option {name}, which is of use with rediss:// alone"
        if name not in _OPTIONS:
            # What follows a password there may be the rest of it, behind an ampersand.
            named = "an option" if "password" in given else f"the option {name!r}"
            return f"has {named} that nobody knows; there are {', '.join(_OPTIONS)}"
        if name in given:
            return f"says {name} twice"
        if wrong := _OPTIONS[name](value):
            return f"has the option {name}, which {wrong}"
        given.add(name)
    return None


def _number(value: str) -> Problem:
    return None if value.isascii() and value.isdecimal() else "must be a number"


def _text(value: str) -> Problem:
    return None if value else "must not be empty"


def _one_of(*values: str) -> Callable[[str], Problem]:
    return lambda value: None if value in values else f"must be {' or '.join(values)}"


def _readable(value: str) -> Problem:
    return None if os.access(value, os.R_OK) else "must be the path of something that is there and may be read"


_OPTIONS: dict[str, Callable[[str], Problem]] = {
    "client_name": _text,
    "db": _number,
    "health_check_interval": _number,
    "password": _text,
    "protocol": _one_of("2", "3"),
    "ssl_ca_certs": _readable,
    "ssl_cert_reqs": _one_of("none", "optional", "required"),
    "ssl_certfile": _readable,
    "ssl_check_hostname": _one_of("true", "false"),
    "ssl_ciphers": _text,
    "ssl_keyfile": _readable,
    "username": _text,
}
