"""What is shown of an address."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_jobs import configuration
from asrq_jobs.errors import AsrqError, FetchError, SettingsError
from asrq_jobs.redaction import redacted, redacted_url
from asrq_jobs.settings import Settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host/0", "redis://host/0"),
        ("rediss://user:geheim@host:6380/1", "rediss://user:***@host:6380/1"),
        ("redis://:geheim@[::1]:6379/0?protocol=3", "redis://:***@[::1]:6379/0?protocol=3"),
        ("redis://geheim@host", "redis://***@host"),
        ("redis://:ge/heim@host:6379/0", "redis://***@host:6379/0"),
        ("redis://:ge#heim@host/0", "redis://***@host/0"),
        ("redis://:ge?heim@host/0?db=1", "redis://***@host/0?db=1"),
        ("redis://:ge@heim@host/0", "redis://:***@host/0"),
        ("redis://:geheim", "redis://***"),
        ("redis://user:geheim/0", "redis://***/0"),
        (":geheim@host:6379", "***@host:6379"),
        ("unix:///run/@r.sock?db=1&password=geheim", "unix:///run/@r.sock?db=1&password=***"),
        ("redis://host?PASSWORD=geheim&pass%77ord=geheim;x=1", "redis://host?PASSWORD=***&pass%77ord=***&***"),
        ("redis://host?password=ge&heim#geheim", "redis://host?password=***&***#***"),
        ("https://key:geheim@host/v1", "https://***@host/v1"),
        ("https://geheim@host/v1", "https://***@host/v1"),
        ("https://bucket.example/talk.mp3?X-Amz-Signature=geheim", "https://bucket.example/talk.mp3?***"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert redacted_url(url) == shown
    assert redacted(f"Cannot read {url}, sorry.").startswith("Cannot read ")
    assert "geheim" not in redacted_url(url)


SPECIAL = "/?#@:&;=%[]\\ "


@given(
    st.sampled_from(["redis", "rediss", "unix", "http", "https"]),
    st.sampled_from(["", "user"]),
    st.lists(st.sampled_from([*SPECIAL, ""]), min_size=3, max_size=3),
    st.sampled_from(["host", "host:6379", "[::1]:6379"]),
    st.sampled_from(["", "/0", "/0?protocol=3"]),
)
def test_no_password_is_shown_whatever_it_is_made_of(
    scheme: str, user: str, special: list[str], host: str, tail: str
) -> None:
    words = ("first", "second", "third")
    password = "".join(itertools.chain.from_iterable(zip(special, words, strict=True)))
    shown = redacted_url(f"{scheme}://{user}:{password}@{host}{tail}")
    assert not [word for word in words if word in shown]
    assert shown.endswith(host + tail) or scheme in {"http", "https"}
    sentence = redacted(f"Cannot read {scheme}://{user}:{password}@{host}{tail} or https://other/a.mp3, sorry.")
    assert not [word for word in words if word in sentence]
    assert sentence.endswith("https://other/a.mp3, sorry.")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://user:ge heim@host/0: refused.", "redis://user:***@host/0: refused."),
        ("redis://:ge he\tim@host/0: refused.", "redis://:***@host/0: refused."),
        ("redis://user:12 heim@host: refused.", "redis://user:***@host: refused."),
        ("https://geheim heim@host/v1: 403", "https://***@host/v1: 403"),
        (
            "https://host/a.mp3 is not there; ask bob@example.com",
            "https://host/a.mp3 is not there; ask bob@example.com",
        ),
        ("redis://host/0 and redis://u:pw@host/1", "redis://host/0 and redis://u:***@host/1"),
        ("redis://host/0 is away.", "redis://host/0 is away."),
    ],
)
def test_a_password_with_blanks_in_a_sentence(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_errors_name_no_secret_either() -> None:
    error = FetchError("Reading failed: 403 for https://key:geheim@host/a.mp3?token=geheim")
    assert "geheim" not in error.message + str(error) + error.info().model_dump_json()
    assert isinstance(error, AsrqError)


@pytest.mark.parametrize("character", [*"/?#[", "\t", "\n"])
@pytest.mark.parametrize("scheme", ["redis://user:", "redis://:", "rediss://:", "unix://:", "redis://u:12"])
def test_a_password_that_is_not_percent_encoded_is_said_and_not_shown(
    scheme: str, character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASRQ_REDIS_URL", f"{scheme}ge{character}heim@host:6379/0")
    with pytest.raises(SettingsError, match=r"percent-encoded: / as %2F, # as %23, \? as %3F, @ as %40") as caught:
        configuration.load()
    assert "heim" not in caught.value.message
    assert "redis_url" in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "redis://host", "redis://host:6379/0", "rediss://user:ge%2Fhe%40im@host/3?protocol=3", "redis://:geheim@[::1]/0",
        "redis://user:ge@he im@host/0",
        "unix:///run/redis/@redis.sock?db=1&password=geheim", "unix://user:geheim@/run/redis.sock", "redis://",
    ],
)  # fmt: skip
def test_what_is_encoded_is_accepted(url: str) -> None:
    assert Settings(redis_url=url).redis_url == url


def test_what_python_callers_see_of_wrong_settings_has_no_value_in_it() -> None:
    with pytest.raises(ValueError, match="percent-encoded") as caught:
        Settings(redis_url="redis://:ge#heim@host/0")
    assert "heim" not in str(caught.value)


def test_the_settings_shown_have_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_REDIS_URL", "redis://user:geheim@host/0")
    monkeypatch.setenv("ASRQ_SERVER_URL", "https://key:geheim@host:8000/v1?api_key=geheim")
    monkeypatch.setenv("ASRQ_SERVER_API_KEY", "geheim")
    monkeypatch.setenv("ASRQ_WEBHOOK_SECRET", "geheim")
    shown = configuration.masked(configuration.load())
    assert "geheim" not in repr(shown)
    assert (shown["redis_url"], shown["server_url"]) == ("redis://user:***@host/0", "https://***@host:8000/v1?***")
