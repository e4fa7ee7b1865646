"""Addresses of Redis: what `ASRQ_REDIS_URL` may say, and what is wrong with one.

redis-py passes on what it does not know, drops what it cannot read and lets an address win over our settings. So an
address is looked at before redis-py sees it.

    redis://[[user]:[password]@][host][:port][/database][?option=value&…]     rediss:// likewise, with TLS
    unix://[[user]:[password]@]/path/of/socket[?option=value&…]
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

Problem = str | None
"""What is wrong, as the end of a sentence; it quotes no value, for that may be a password."""

_ENCODE = (
    "cannot be read as an address; in the user name and the password these characters must be percent-encoded: "
    "/ as %2F, # as %23, ? as %3F, @ as %40, : as %3A, % as %25, a space as %20"
)
_DIGITS = 9
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
    given = {"db"} if database and parts.scheme != "unix" else set()
    return _query_problem(parts.query, parts.scheme, given) or _tls_problem(dict(parse_qsl(parts.query)))


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


def _tls_problem(options: dict[str, str]) -> Problem:
    """Use the options as a connection would, whose errors cannot be told from an outage."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if key and not certificate:
        return "has the option ssl_keyfile, which is of use with ssl_certfile alone"
    try:
        if authority := options.get("ssl_ca_certs"):
            wrong = "ssl_ca_certs, which must be a file of certificates (PEM)"
            context.load_verify_locations(authority)
        if certificate:
            wrong = "ssl_certfile, which with ssl_keyfile must be a certificate and its key (PEM), without a passphrase"
            context.load_cert_chain(certificate, key, password="")
        if ciphers := options.get("ssl_ciphers"):
            wrong = "ssl_ciphers, which OpenSSL does not know here"
            context.set_ciphers(ciphers)
    except (OSError, ValueError):  # those of OpenSSL are among them
        return f"has the option {wrong}"
    return None


def _number(value: str) -> Problem:
    fits = value.isascii() and value.isdecimal() and len(value) <= _DIGITS
    return None if fits else f"must be a number from 0 to {10**_DIGITS - 1}"


def _name(value: str) -> Problem:
    fits = all("!" <= sign <= "~" for sign in value)  # which is what CLIENT SETNAME takes
    return _text(value) or (None if fits else "must be of ASCII without spaces")


def _text(value: str) -> Problem:
    return None if value else "must not be empty"


def _one_of(*values: str) -> Callable[[str], Problem]:
    return lambda value: None if value in values else f"must be {' or '.join(values)}"


def _readable(value: str) -> Problem:
    return None if os.access(value, os.R_OK) else "must be the path of something that is there and may be read"


_OPTIONS: dict[str, Callable[[str], Problem]] = {
    "client_name": _name,
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
