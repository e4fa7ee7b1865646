"""The one place that configuration comes from."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from asrq_jobs import configuration, plugins
from asrq_jobs.errors import SettingsError
from asrq_jobs.settings import groups


def test_flags_win_over_environment_over_dotenv_over_toml(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("asrq.toml").write_text('model = "toml"\nbeam_size = 1\ndecoders = 3\nchunk_s = 20\n', encoding="utf-8")
    Path(".env").write_text("ASRQ_MODEL=dotenv\nASRQ_BEAM_SIZE=2\nASRQ_DECODERS=4\n", encoding="utf-8")
    monkeypatch.setenv("ASRQ_MODEL", "environment")
    monkeypatch.setenv("ASRQ_BEAM_SIZE", "3")
    loaded = configuration.load(model="flag", beam_size=None)
    assert (loaded.model, loaded.decoders, loaded.chunk_s) == ("flag", 4, 20)
    assert loaded.options_of("whisper") == {"beam_size": 3}
    origins = configuration.origins()
    assert {name: origins[name] for name in ("model", "decoders", "chunk_s", "lease_s")} == {
        "model": "environment", "decoders": ".env", "chunk_s": "asrq.toml", "lease_s": "default"
    }  # fmt: skip


def test_an_unknown_name_is_an_error_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_REDIS_ULR", "redis://x")
    with pytest.raises(SettingsError, match="ASRQ_REDIS_ULR") as caught:
        configuration.load()
    assert caught.value.hint == "Did you mean ASRQ_REDIS_URL?"


@pytest.mark.parametrize(
    ("given", "named", "hinted"),
    [
        ({"beam_size": 0}, "beam_size", "ASRQ_BEAM_SIZE"),
        ({"lanes": "fast:2"}, "lanes", "interactive:2,batch:6"),
        ({"lanes": "interactive:0"}, "lanes", "ASRQ_LANES"),
        ({"redis_url": "http://host"}, "redis_url", "ASRQ_REDIS_URL"),
        ({"failure_ttl_s": 60, "result_ttl_s": 3600}, "failure_ttl_s", "raise it"),
        ({"device": "cpu", "compute_type": "float16"}, "compute_type", "int8"),
    ],
)
def test_a_value_that_does_not_fit_names_field_and_fix(given: dict[str, object], named: str, hinted: str) -> None:
    with pytest.raises(SettingsError) as caught:
        configuration.load(**given)
    assert named in caught.value.message
    assert hinted in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(("text", "told"), [("model = ", "cannot be read"), ('modle = "x"', "Unknown setting 'modle'")])
def test_a_bad_file_is_a_sentence(text: str, told: str) -> None:
    Path("asrq.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=told):
        configuration.load()


def test_the_options_of_a_backend_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("asrq.toml").write_text('qwen_max_tokens = 64\nserver_languages = ["ru"]\n', encoding="utf-8")
    monkeypatch.setenv("ASRQ_SERVER_LANGUAGES", "ru, English")
    loaded = configuration.load()
    assert loaded.options_of("qwen") == {"attention": None, "aligner": None, "max_tokens": 64}
    assert loaded.options_of("server")["languages"] == ("ru", "English")
    assert (loaded.model_of("qwen"), loaded.model_of("server")) == ("1.7b", "")
    origins = configuration.origins()
    assert [origins[f"{name}"] for name in ("qwen_max_tokens", "server_languages", "onnx_kind")] == [
        "asrq.toml", "environment", "default"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "said", "hint"),
    [
        ("QWEN_MAX_TOKENS", "31", "Setting qwen_max_tokens: ", "ASRQ_QWEN_MAX_TOKENS: Longest output"),
        ("BEAM_SIZE", "many", "Setting beam_size: ", "ASRQ_BEAM_SIZE: Whisper's beam"),
        ("SERVER_CONCURENCY", "2", "Unknown setting ASRQ_SERVER_CONCURENCY", "Did you mean ASRQ_SERVER_CONCURRENCY?"),
    ],
)
def test_options_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str, hint: str) -> None:
    monkeypatch.setenv(f"ASRQ_{name}", value)
    with pytest.raises(SettingsError) as caught:
        configuration.load()
    assert caught.value.message.startswith(said)
    assert (caught.value.hint or "").startswith(hint)


def test_an_engine_is_not_taken_for_hung_while_its_server_may_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_SERVER_TIMEOUT_S", "60")
    configuration.load()
    with pytest.raises(SettingsError, match="server_timeout_s must be below engine_stall_s"):
        configuration.load(backend="server")


def test_each_setting_is_in_one_group() -> None:
    grouped = [name for names in groups().values() for name in names]
    assert sorted(grouped) == sorted(configuration.masked(configuration.load()))
    assert len(grouped) == len(set(grouped))
    assert len(groups()["First"]) == 10


def test_a_client_alone_takes_the_settings_of_backends_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_class", lambda _backend: None)
    plugins.declared.cache_clear()
    try:
        monkeypatch.setenv("ASRQ_QWEN_MAX_TOKENS", "many")
        assert configuration.masked(configuration.load())["qwen_max_tokens"] == "many"
    finally:
        plugins.declared.cache_clear()


def test_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRQ_AUDIO_ROOTS", f"/a{os.pathsep}/b")
    monkeypatch.setenv("ASRQ_URL_SCHEMES", "https, s3")
    loaded = configuration.load()
    assert loaded.audio_roots == (Path("/a"), Path("/b"))
    assert loaded.url_schemes == ("https", "s3")


def test_lanes_are_parsed() -> None:
    assert configuration.load(lanes="batch:3").slots == {"batch": 3}
    assert configuration.load().slots == {"interactive": 2, "batch": 6}


def test_secrets_are_masked() -> None:
    loaded = configuration.load(redis_url="rediss://user:geheim@host:1/2", sentry_dsn="https://key@sentry/1")
    shown = configuration.masked(loaded)
    assert shown["redis_url"] == "rediss://user:***@host:1/2"
    assert "geheim" not in str(shown)
    assert "key" not in shown["sentry_dsn"]


def test_text_that_is_no_unicode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="Setting model: must be UTF-8"):
        configuration.load(model="\udcff")
    assert configuration.load(model="модель").model == "модель"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of whom the system knows neither a name nor a home."""
    for name in ("HOME", "USERPROFILE", "HOMEPATH", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform != "win32":
        monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)


def test_folders_may_be_given_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    Path(".env").write_text("ASRQ_SPOOL_DIR=~/spool\nASRQ_MODEL_DIR=~/models\nASRQ_AUDIO_ROOTS=~/audio\n")
    loaded = configuration.load()
    assert (loaded.spool_dir, loaded.model_dir) == (tmp_path / "spool", tmp_path / "models")
    assert loaded.audio_roots == (tmp_path / "audio",)


@pytest.mark.usefixtures("homeless")
def test_settings_need_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configuration.load().model_dir == Path("~/.cache/asrq/models")
    monkeypatch.setenv("ASRQ_SPOOL_DIR", "~/spool")
    assert configuration.load().spool_dir == Path("~/spool")


def test_a_file_that_this_user_may_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> dict[str, str]:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(configuration, "dotenv_values", refuse)
    with pytest.raises(SettingsError, match=r"^\.env cannot be read: Permission denied\.$"):
        configuration.load()
