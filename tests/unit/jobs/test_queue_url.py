"""Addresses of Redis: what is taken, and that what is not is said without a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrq_jobs import configuration
from asrq_jobs.errors import SettingsError
from asrq_jobs.queue_url import problem


@pytest.mark.parametrize(
    "url",
    [
        "redis://", "redis://host", "redis://host:6379/", "redis://host/3", "redis://host?db=3", "redis://[::1]:7000/0",
        "redis://user:ge%23heim@host/0?protocol=3&client_name=app&health_check_interval=10",
        "rediss://host/0?ssl_cert_reqs=none", "rediss://host?ssl_check_hostname=false&ssl_ciphers=HIGH",
        "unix:///run/redis.sock", "unix://user:geheim@/run/redis.sock?db=2", "unix:///a%20b.sock?username=u&password=p%40",
    ],
)  # fmt: skip
def test_what_is_taken(url: str) -> None:
    assert problem(url) is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://host", "must start with redis://, rediss:// or unix://"),
        ("host:6379", "must start with"),
        ("redis://host:port", "cannot be read as an address"),
        ("redis://host/one", "has a database that must be a number"),
        ("redis://host/0/1", "has a database that must be a number"),
        ("redis://host/-1", "has a database that must be a number"),
        ("redis://host/1234567890", "has a database that must be a number from 0 to 999999999"),
        ("redis://host/0?db=1", "says db twice"),
        ("redis://host?db=1&db=2", "says db twice"),
        ("redis://host?db=", "has the option db, which must be a number"),
        ("redis://host?db=\u00b2", "has the option db, which must be a number"),
        ("redis://host?protocol=4", "has the option protocol, which must be 2 or 3"),
        ("redis://host?client_name=", "has the option client_name, which must not be empty"),
        ("redis://host?client_name=my%20app", "has the option client_name, which must be of ASCII without spaces"),
        ("redis://host?client_name=caf%C3%A9", "has the option client_name, which must be of ASCII without spaces"),
        ("redis://host?client_name=a%0Ab", "has the option client_name, which must be of ASCII without spaces"),
        ("redis://host?db=-1", "has the option db, which must be a number from 0 to 999999999"),
        ("redis://host?health_check_interval=-1", "must be a number from 0 to"),
        ("redis://host?health_check_interval=99999999999999999999", "must be a number from 0 to"),
        ("redis://host?health_check_interval=soon", "which must be a number"),
        ("redis://host?socket_timeout=1", "is a setting of its own here: ASRQ_REDIS_TIMEOUT_S"),
        ("redis://host?timeout=1", "is a setting of its own here: ASRQ_REDIS_TIMEOUT_S"),
        ("redis://host?retry_on_timeout=yes", "is a setting of its own here: ASRQ_REDIS_RETRY_S"),
        ("redis://host?decode_responses=true", "has the option 'decode_responses' that nobody knows; there are"),
        ("redis://host/0?sll_ca_certs=/ca.crt", "has the option 'sll_ca_certs' that nobody knows; there are client"),
        ("redis://host?path=/tmp/x", "has the option 'path' that nobody knows"),
        ("redis://host?ssl_ca_certs=/ca.crt", "is of use with rediss:// alone"),
        ("rediss://host?ssl_cert_reqs=never", "which must be none or optional or required"),
        ("rediss://host?ssl_check_hostname=0", "which must be true or false"),
        (f"rediss://host?ssl_ca_certs={__file__}", "ssl_ca_certs, which must be a file of certificates (PEM)"),
        (f"rediss://host?ssl_ca_certs={Path(__file__).parent}", "which must be a file of certificates (PEM)"),
        (f"rediss://host?ssl_certfile={__file__}", "which with ssl_keyfile must be a certificate and its key (PEM)"),
        (f"rediss://host?ssl_keyfile={__file__}", "ssl_keyfile, which is of use with ssl_certfile alone"),
        ("rediss://host?ssl_ciphers=magic", "ssl_ciphers, which OpenSSL does not know here"),
        ("rediss://host?ssl_ca_certs=/not/there", "which must be the path of something that is there and may be read"),
        ("unix://", "must name the socket by its whole path"),
        ("unix:///", "must name the socket by its whole path"),
        ("unix://run/redis.sock", "must name the socket by its whole path"),
        ("unix:///run/redis.sock?socket_keepalive=1", "that nobody knows"),
    ],
)  # fmt: skip
def test_what_is_not_taken(url: str, told: str) -> None:
    assert told in (problem(url) or "")
    with pytest.raises(SettingsError) as caught:
        configuration.load(redis_url=url)
    assert told in caught.value.message
    assert "ASRQ_REDIS_URL" in (caught.value.hint or "")


def test_a_password_cut_in_two_is_not_shown() -> None:
    told = problem("unix:///run/redis.sock?password=ge&heim=1")
    assert told is not None
    assert told.startswith("has an option that nobody knows")
