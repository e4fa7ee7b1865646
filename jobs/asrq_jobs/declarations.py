"""Every setting of asrq, with its default, its limits and what it means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from asrq_jobs import plugins, queue_url
from asrq_jobs.lanes import parse_lanes

PREFIX = plugins.PREFIX
TOML_FILE = "asrq.toml"
DOTENV_FILE = ".env"

Seconds = Annotated[float, Field(gt=0)]


def expanded(path: str | Path) -> Path:
    """Return a path with the home folder in the place of `~`; where this user has none, the `~` stays.

    So that settings can be read without a home: only what uses such a folder has to refuse it.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111  # pathlib's raises where there is no home


def _cache_dir() -> Path:
    """Folder for things that can be made again: joined models, downloads, demo data."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return expanded(root) / "asrq"


class Declared(BaseSettings):
    """All settings, each for itself. Durations are seconds, sizes MiB."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=DOTENV_FILE,
        toml_file=TOML_FILE,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,  # a value that does not fit may hold a password
    )

    # Queue
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0", description="Redis or Valkey; rediss:// for TLS, unix:///path for a socket."
    )
    redis_timeout_s: Seconds = Field(default=5.0, description="Limit for connecting and for one answer.")
    redis_retry_s: float = Field(
        default=30.0, ge=0, description="How long clients that wait, and services that start, ride out an outage."
    )
    result_ttl_s: int = Field(default=86_400, ge=60, description="How long results and events are kept.")
    cache_ttl_s: int = Field(
        default=0,
        ge=0,
        description="How long a result, while it is kept, serves other jobs with the same audio and options; 0: never.",
    )
    failure_ttl_s: int = Field(default=604_800, ge=60, description="How long failed jobs are kept for a retry by hand.")
    blob_ttl_s: int = Field(default=86_400, ge=60, description="How long uploaded audio is kept.")
    lane_depth: int = Field(
        default=10_000, ge=1, description="Jobs that may wait in a lane before submissions are refused."
    )

    # What a worker serves
    backend: str = Field(
        default="whisper", description="Which backend serves jobs, unless `asrq backend` says otherwise."
    )
    fallback: str = Field(
        default="whisper", description="Fallback: the backend that takes over when it fails; none: no fallback."
    )
    fallback_warm: bool = Field(
        default=False, description="Load the fallback at the start instead of when it is needed."
    )
    model: str | None = Field(
        default=None, description="Model of the backend: name, hub id or path; overrides its own setting below."
    )
    lanes: str = Field(default="interactive:2,batch:6", description="Slots per lane: lane:slots, comma separated.")
    worker_name: str | None = Field(
        default=None, description="Shown in dashboards, with a random ending; default: host name."
    )

    # Engines
    engine_memory_mb: int = Field(
        default=0, ge=0, description="Memory of all engines; idle ones make room. 0: no limit."
    )
    engine_max_batches: int = Field(
        default=0, ge=0, description="Batches after which a fresh engine process takes over; 0: never."
    )
    engine_max_rss_mb: int = Field(
        default=0, ge=0, description="Memory of an engine process above which a fresh one takes over; 0: never."
    )
    engine_idle_s: Seconds = Field(default=900.0, description="A fallback's engine is unloaded after this idle time.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto takes CUDA where it works.")
    compute_type: str = Field(default="auto", description="Number type; auto is int8 on a CPU and float16 on CUDA.")
    cpu_threads: int = Field(
        default=0,
        ge=0,
        description="Threads of one decode on a CPU; 0: 1, or what Whisper is measured to be fastest with, if "
        "`ASRQ_PARALLEL` is 0, too.",
    )
    parallel: int = Field(
        default=0,
        ge=0,
        description="Decodes in flight in the engine; 0: one per core that it may use on a CPU, or what Whisper is "
        "measured to be fastest with, 1 on CUDA.",
    )
    batch_s: Seconds = Field(
        default=2.0,
        description="Longest batch, in seconds of compute by the measured speed, where `interactive` is served, too; "
        "a chunk that takes longer goes alone.",
    )
    model_download: bool = Field(
        default=False, description="Let a worker fetch a missing model from the hub when it starts."
    )
    model_dir: Path = Field(default_factory=lambda: _cache_dir() / "models", description="Where models are kept.")

    # Audio
    audio_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(),
        description=f"Folders that jobs may name files in, separated by {os.pathsep!r}; none: uploads only.",
    )
    url_schemes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="URL schemes that jobs may name, comma separated (http, https, s3, …); none: no URLs."
    )
    url_private_hosts: bool = Field(
        default=False,
        description="Allow URLs that resolve to private addresses (an intranet), deliveries included.",
    )
    deliver_schemes: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="URL schemes that jobs may have transcripts delivered to, comma separated (https, s3, …).",
    )
    voices_dir: Path | None = Field(
        default=None,
        description="Folder of enrolled voices, whose names speakers get with `diarize`; none: no names.",
    )
    max_audio_mb: int = Field(
        default=512, ge=1, le=4096, description="Largest file; Redis holds at most 512 as an upload."
    )
    max_audio_s: Seconds = Field(default=4 * 3600.0, description="Longest audio.")
    decoders: int = Field(
        default=2, ge=1, le=32, description="Decoder processes for files; live jobs get further ones."
    )
    decoder_memory_mb: int = Field(default=4096, ge=512, description="Address space of a decoder (Linux).")
    decoder_stall_s: Seconds = Field(
        default=30.0, description="A decoder that makes no progress for this long is killed."
    )
    live_idle_s: Seconds = Field(
        default=60.0, description="A recording that nothing is added to for this long ends with what it has."
    )
    chunk_s: float = Field(
        default=28.0, ge=5, le=30, description="Speech is cut at pauses into chunks of at most this."
    )
    spool_dir: Path | None = Field(
        default=None, description="Where decoded audio waits; default: the system's temp folder."
    )

    # Safety
    lease_s: float = Field(
        default=15.0, ge=3, description="A worker that does not renew its leases for this long loses its jobs."
    )
    reaper_interval_s: Seconds = Field(default=2.0, description="Pause between two looks of the reaper.")
    max_attempts: int = Field(default=3, ge=1, le=21, description="Attempts of a job unless it asks otherwise.")
    retry_delay_s: Seconds = Field(default=2.0, description="Before the first retry; doubled each time, with jitter.")
    grace_s: float = Field(default=25.0, ge=0, description="After SIGTERM: how long running jobs may still finish.")
    engine_start_s: Seconds = Field(default=600.0, description="Limit for loading and warming the model.")
    engine_stall_s: Seconds = Field(
        default=60.0, description="Limit for one batch: this, plus engine_slowness times its audio."
    )
    engine_slowness: float = Field(
        default=10.0,
        gt=0,
        description="Seconds of inference per audio second still not a hang; ten times the slowest so far if less.",
    )
    job_slowness: float = Field(
        default=20.0, gt=0, description="A job without timeout_s may take 600 s + this times its audio."
    )

    # Webhooks
    webhook_secret: SecretStr | None = Field(
        default=None, description="Signs webhooks, for workers and reapers alike; without it jobs may not name any."
    )
    webhook_private_hosts: bool = Field(default=False, description="Allow webhooks on private addresses (an intranet).")

    # HTTP
    http_models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("whisper-1=", "gpt-4o-transcribe=", "gpt-4o-mini-transcribe="),
        description="Names of models for clients of `asrq http`, as name=model, comma separated; name=: whatever the "
        "workers serve.",
    )
    http_keys: Path | None = Field(
        default=None,
        description="File of the keys that `asrq http` asks for; none: it listens on loopback only.",
    )
    http_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Web sites whose pages may call `asrq http`, comma separated: https://site.example."
    )
    http_interactive_mb: float = Field(
        default=2.0, ge=0, description="Uploads to `asrq http` of up to so much go to the lane `interactive`."
    )

    http_store: str | None = Field(
        default=None,
        description="Folder that the workers share, or an address such as s3://bucket/audio, for uploads to "
        "`asrq http` above 64 MiB; none: Redis holds all.",
    )

    # Seeing inside
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(default="auto", description="auto: console on a terminal.")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="Port of /metrics, /healthz and /readyz; 0: none.")
    metrics_host: str = Field(default="127.0.0.1", description="Address that they listen on; there is no password.")
    dashboard_password: SecretStr | None = Field(
        default=None, description="Asked for by `asrq dashboard`, with any user name."
    )
    sentry_dsn: SecretStr | None = Field(
        default=None, description="Report defects to Sentry (needs the extra `sentry`)."
    )

    @field_validator("audio_roots", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("model_dir", "spool_dir", "voices_dir", "http_keys", "audio_roots")
    @classmethod
    def _expand(cls, value: Path | tuple[Path, ...] | None) -> Path | tuple[Path, ...] | None:
        return tuple(map(expanded, value)) if isinstance(value, tuple) else value and expanded(value)

    @field_validator("url_schemes", "deliver_schemes", "http_models", "http_origins", mode="before")
    @classmethod
    def _split_schemes(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("*")
    @classmethod
    def _check_text(cls, value: object) -> object:
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("must be UTF-8") from None
        return value

    @field_validator("lanes")
    @classmethod
    def _check_lanes(cls, value: str) -> str:
        parse_lanes(value)
        return value

    @field_validator("http_models")
    @classmethod
    def _check_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            if not pair.partition("=")[0].strip() or "=" not in pair:
                raise ValueError(f"{pair!r} is not name=model; write for example whisper-1=,large=large-v3")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if wrong := queue_url.problem(value):
            raise ValueError(wrong)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: flags, environment, `.env`, `asrq.toml`."""
        del file_secret_settings
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)
