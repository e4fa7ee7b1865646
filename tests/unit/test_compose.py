"""The deployment files, as far as they can be held to the truth without a Docker engine."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from redis import Redis

from asrq_jobs import keys
from asrq_jobs.cli import cli
from asrq_jobs.settings import PREFIX, Settings

REPO = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((REPO / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("worker", "reaper", "dashboard")
EXAMPLE = (REPO / "ops" / "compose" / "asrq.env.example").read_text(encoding="utf-8")
DOCKERFILES = {
    path.name.partition(".")[0]: path.read_text("utf-8") for path in (REPO / "ops/docker").glob("*.Dockerfile")
}
KNOWN = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def command_parses(words: list[str]) -> None:
    """Fail unless the real command line takes these words."""
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, words
    command.make_context(words[0], words[1:])


@pytest.mark.parametrize("service", OURS)
def test_commands_exist(service: str) -> None:
    command_parses(SERVICES[service]["command"])


@pytest.mark.parametrize("service", OURS)
def test_settings_exist(service: str) -> None:
    names = {name for name in SERVICES[service]["environment"] if name.startswith(PREFIX)}
    assert names <= KNOWN
    assert SERVICES[service]["environment"]["ASRQ_REDIS_URL"].startswith("redis://")


@pytest.mark.parametrize("service", OURS)
def test_containers_are_confined(service: str) -> None:
    assert SERVICES[service]["read_only"] is True
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in SERVICES[service]["tmpfs"]  # noqa: S108  # inside the container
    assert SERVICES[service]["depends_on"] == {"redis": {"condition": "service_healthy"}}


@pytest.mark.parametrize("service", list(SERVICES))
def test_every_service_is_watched_and_stops_in_time(service: str) -> None:
    test = SERVICES[service]["healthcheck"]["test"]
    assert test[0] in {"CMD", "CMD-SHELL"}
    assert re.fullmatch(r"\d+s", SERVICES[service]["stop_grace_period"])


def test_the_worker_has_time_to_drain() -> None:
    worker = SERVICES["worker"]
    assert int(worker["stop_grace_period"][:-1]) >= float(worker["environment"]["ASRQ_GRACE_S"]) + 15


def test_redis_keeps_what_it_is_given() -> None:
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    assert "redis" in COMPOSE["volumes"]


@pytest.mark.parametrize("service", list(SERVICES))
def test_nothing_is_open_to_the_network_by_default(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", port).startswith("127.0.0.1:"), port


def test_named_volumes_are_declared() -> None:
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str) and re.match(r"\w+:", volume)
    }
    assert used == set(COMPOSE["volumes"])


def test_the_example_names_every_variable_and_only_known_settings() -> None:
    given = set(re.findall(r"^([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    wanted = set(re.findall(r"\$\{(\w+)", (REPO / "docker-compose.yml").read_text(encoding="utf-8")))
    assert wanted <= given
    assert {name for name in given - wanted if not name.startswith(PREFIX)} == set()
    assert {name for name in given if name.startswith(PREFIX)} <= KNOWN


@pytest.mark.parametrize("image", ["client", "worker-cpu"])
def test_images(image: str) -> None:
    text = DOCKERFILES[image].replace("\\\n", " ")
    final = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", final, re.MULTILINE)
    start = re.search(r"^CMD (\[.*\])$", final, re.MULTILINE)
    assert entry is not None
    assert start is not None
    assert json.loads(entry[1]) == ["asrq"]  # the exec form: process 1 gets SIGTERM
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for path in shlex.split(source):
            assert (REPO / path).exists(), path
            ignore = (REPO / "ops" / "docker" / f"{image}.Dockerfile.dockerignore").read_text(encoding="utf-8")
            assert f"!{path}\n" in ignore, path
    for name in re.findall(r"\bASRQ_\w+(?==)", final):
        assert name in KNOWN
    extras = re.search(r"/src\[([\w,]+)\]", text)
    declared = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    for extra in extras[1].split(",") if extras else []:
        assert re.search(rf"^{extra} = \[", declared, re.MULTILINE), extra


class TestHealthy:
    """ops/docker/healthy.py"""

    @pytest.fixture
    def healthy(self) -> dict[str, Any]:
        return runpy.run_path(str(REPO / "ops" / "docker" / "healthy.py"))

    def test_worker(self, healthy: dict[str, Any], redis: Redis) -> None:
        check = healthy["worker_is_healthy"]
        assert not check(redis, "box")
        redis.hset(keys.HOSTS, "box-1a2b3c", json.dumps({"state": "loading"}))
        redis.hset(keys.HOSTS, "other-1a2b3c", json.dumps({"state": "draining"}))
        assert not check(redis, "box")
        redis.hset(keys.HOSTS, "box-1a2b3c", json.dumps({"state": "ready"}))
        assert not check(redis, "box")  # no slot yet
        for number in ("1", "2"):
            redis.sadd("rq:workers", f"rq:worker:box-1a2b3c.whisper.batch.{number}")
            redis.set(f"rq:worker:box-1a2b3c.whisper.batch.{number}", "")
        assert check(redis, "box")
        redis.delete("rq:worker:box-1a2b3c.whisper.batch.2")
        assert not check(redis, "box")
        redis.hset(keys.HOSTS, "box-1a2b3c", json.dumps({"state": "draining"}))
        assert check(redis, "box")

    def test_reaper(self, healthy: dict[str, Any], redis: Redis) -> None:
        assert healthy["main"]("reaper") == 1
        redis.set(keys.LEADER, "someone")
        assert healthy["main"]("reaper") == 0

    def test_no_redis(
        self, healthy: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("ASRQ_REDIS_URL", "redis://127.0.0.1:1")
        assert healthy["main"]("worker") == 1
        assert "does not answer" in capsys.readouterr().err
