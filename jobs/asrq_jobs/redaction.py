"""Secrets in addresses: what may be shown of a URL, whatever its shape.

A URL that somebody has mistyped is shown in the very sentence that says so. So nothing relies on a URL being well
formed: what may be part of a login is hidden, and of the query only what is known to be no secret is shown.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

HIDDEN = "***"

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://\S*")
_LONGEST = 128  # characters that a password with blanks goes on behind the first one
# Options of redis-py's URLs that say how to connect, not who we are.
_HARMLESS = frozenset({
    "db", "protocol", "max_connections", "timeout", "socket_timeout", "socket_connect_timeout", "socket_keepalive",
    "socket_read_size", "health_check_interval", "retry_on_timeout", "ssl_cert_reqs", "ssl_check_hostname",
    "ssl_ca_certs", "ssl_ca_path", "ssl_min_version",
})  # fmt: skip
_HOST = re.compile(r"(\[[^\]@]*\]|[^:@\[\]]*)(:\d*)?")
_NAMED = frozenset({"password", "username"})
_QUEUES = frozenset({"redis", "rediss", "unix"})


def redacted_url(url: str) -> str:
    """Return a URL without what may be a secret in it: its login, the values of its query, its fragment.

    Where it is not clear where the login ends (a password with `/`, `?` or `#` that is not percent-encoded), all before
    the last `@` counts as login. The user name of a queue is shown: rights are given to it.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    authority, tail = _cut(rest, "/?#\\")
    login, at, host = authority.rpartition("@")
    if "@" in tail and (authority or scheme not in _QUEUES):  # the path of a socket may have one
        login, at, host_and_tail = rest.rpartition("@")
        host, tail = _cut(host_and_tail, "/?#\\")
        shown = HIDDEN
    else:
        user, colon, _ = login.partition(":")
        shown = f"{user}:{HIDDEN}" if colon and scheme in _QUEUES else HIDDEN
    if not _HOST.fullmatch(host):  # it may be a password whose `@` and host were forgotten
        host = HIDDEN
    return f"{scheme}{separator}{shown if at else ''}{at}{host}{_tail(tail)}"


def redacted(text: str) -> str:
    """Return a text with every URL in it redacted, also where its password has blanks and so looks like its end."""
    shown, at = "", 0
    for found in _URL.finditer(text):
        if found.start() >= at:
            end = _end(text, found)
            shown += text[at : found.start()] + redacted_url(text[found.start() : end])
            at = end
    return shown + text[at:]


def _end(text: str, found: re.Match[str]) -> int:
    """Return where a URL ends: with the word of the last `@` before another URL, if what is before may be a login."""
    authority, tail = _cut(found[0].partition("://")[2], "/?#\\")
    if tail and found[1] not in _QUEUES and not {":", "@"} & set(authority):
        return found.end()
    following = _URL.search(text, found.end())
    until = min(found.end() + _LONGEST, following.start() if following else len(text))
    at = text.rfind("@", found.end(), until)
    return found.end() if at < 0 else at + len(text[at:].split(maxsplit=1)[0])


def _cut(text: str, ends: str) -> tuple[str, str]:
    at = min((at for end in ends if (at := text.find(end)) >= 0), default=len(text))
    return text[:at], text[at:]


def _tail(tail: str) -> str:
    path, rest = _cut(tail, "?#")
    query, fragment = _cut(rest, "#")
    shown = "&".join(map(_option, re.split("[&;]", query[1:]))) if query else ""
    return path + query[:1] + shown + (f"#{HIDDEN}" if fragment else "")


def _option(part: str) -> str:
    name, equals, _ = part.partition("=")
    known = unquote_plus(name).lower()
    if known in _HARMLESS:
        return part
    return f"{name}{equals}{HIDDEN}" if known in _NAMED else HIDDEN
