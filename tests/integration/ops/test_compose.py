"""The compose files and the images, as far as they can be held to the truth without an engine."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPO
from support.command_line import parse
from support.needs import missing

from asrq_jobs import plugins
from asrq_jobs.settings import PREFIX, Settings, groups
from asrq_worker.http import access

BASE = "docker-compose.yml"
GPU, QWEN, SEEING = (f"ops/compose/{name}.yml" for name in ("gpu", "qwen", "observability"))
TOGETHER = [(BASE,), (BASE, GPU), (BASE, GPU, QWEN), (BASE, SEEING), (BASE, GPU, QWEN, SEEING)]
EXAMPLE = REPO / "ops" / "compose" / "compose.env.example"
KNOWN = {f"{PREFIX}{name.upper()}" for names in groups().values() for name in names}
OURS = re.compile(r"worker(-\d)?|reaper|gateway|dashboard")
DOCKERFILE = (REPO / "ops" / "docker" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))

Service = dict[str, Any]


@functools.cache
def merged(files: tuple[str, ...]) -> dict[str, Any]:
    """What compose itself makes of the files, with every profile on."""
    program = shutil.which(
        "docker-compose", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    )
    if program is None:
        missing("docker-compose")
    environment = {"PATH": os.environ["PATH"]} | {
        f"{name}_PASSWORD": "s3cret"
        for name in ("REDIS_CLIENT", "REDIS_WORKER", "REDIS_REAPER", "REDIS_DASHBOARD", "DASHBOARD", "GRAFANA")
    }
    named = [word for file in files for word in ("--file", file)]
    command = [program, *named, "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def services(files: tuple[str, ...]) -> dict[str, Service]:
    return dict(merged(files)["services"])


def ours(files: tuple[str, ...]) -> dict[str, Service]:
    return {name: service for name, service in services(files).items() if OURS.fullmatch(name)}


def seconds(duration: str) -> int:
    matched = re.fullmatch(r"(?:(\d+)m)?(\d+)s", duration)
    assert matched, duration
    return int(matched[1] or 0) * 60 + int(matched[2])


@pytest.mark.parametrize("file", [BASE, GPU, QWEN, SEEING])
def test_each_file_follows_the_specification(file: str) -> None:
    try:
        import check_jsonschema  # brings the schema
        import jsonschema
    except ImportError:
        missing("check-jsonschema")
    schema = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    content = yaml.safe_load((REPO / file).read_text(encoding="utf-8"))
    jsonschema.validate(content, json.loads(schema.read_text(encoding="utf-8")))


@pytest.mark.parametrize("files", TOGETHER)
def test_commands_and_settings_exist(files: tuple[str, ...]) -> None:
    for service in ours(files).values():
        parse(service["command"])
        assert {name for name in service["environment"] if name.startswith(PREFIX)} <= KNOWN
        health = service["healthcheck"]["test"]
        if health[1] == "asrq":
            parse(health[2:])
        assert STAGES[service["build"]["target"]]
        assert service["image"] == f"asrq-{service['build']['target']}"


@pytest.mark.parametrize("files", TOGETHER)
def test_everything_is_confined_watched_and_stopped_in_time(files: tuple[str, ...]) -> None:
    for name, service in services(files).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["tmpfs"] == ["/tmp"], name  # noqa: S108  # inside the container
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert seconds(service["stop_grace_period"]) > 0, name
        limits = service["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) > 0, name
        assert int(limits["pids"]) > 0, name


@pytest.mark.parametrize("files", TOGETHER)
def test_nothing_is_open_to_the_network_by_default(files: tuple[str, ...]) -> None:
    for service in services(files).values():
        assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}


@pytest.mark.parametrize("files", TOGETHER)
def test_each_has_a_redis_user_of_its_own_and_no_other_password(files: tuple[str, ...]) -> None:
    for name, service in ours(files).items():
        user = "client" if name == "gateway" else name.partition("-")[0]
        assert service["environment"]["ASRQ_REDIS_URL"] == f"redis://{user}:s3cret@redis:6379/0"
        assert service["depends_on"] == {"redis": {"condition": "service_healthy", "required": True}}
        others = {variable for variable in service["environment"] if variable.endswith("PASSWORD")}
        assert others == ({"ASRQ_DASHBOARD_PASSWORD"} if user == "dashboard" else set())


@pytest.mark.parametrize("files", TOGETHER)
def test_what_is_mounted_is_in_the_repository(files: tuple[str, ...]) -> None:
    for service in services(files).values():
        for volume in service.get("volumes", []):
            path = Path(volume.get("source", REPO))
            made = {REPO / "audio", REPO / "ops" / "redis" / "users.acl", REPO / "ops" / "compose" / "keys.toml"}
            if volume["type"] == "bind" and path not in made:
                assert path.exists(), path
                assert volume["read_only"], path


@pytest.mark.parametrize("name", ["worker", "gateway"])
def test_what_is_at_work_has_time_to_end(name: str) -> None:
    service = services((BASE,))[name]
    assert seconds(service["stop_grace_period"]) >= float(service["environment"]["ASRQ_GRACE_S"]) + 15


def test_the_gateway_asks_for_keys_and_has_room_for_uploads() -> None:
    gateway = services((BASE,))["gateway"]
    mounts = {volume["target"]: volume for volume in gateway["volumes"]}
    keys = mounts[gateway["environment"]["ASRQ_HTTP_KEYS"]]
    assert (keys["source"], keys["read_only"]) == (str(REPO / "ops" / "compose" / "keys.toml"), True)
    assert mounts["/spool"]["type"] == "volume"
    assert "ASRQ_SPOOL_DIR=/spool" in STAGES["worker"]


def test_prometheus_asks_what_has_metrics() -> None:
    jobs = yaml.safe_load((REPO / "ops" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    asked = {
        (name, str(found["port"]))
        for job in jobs["scrape_configs"]
        for found in job["dns_sd_configs"]
        for name in found["names"]
    }
    measured = {
        (name, service["environment"]["ASRQ_METRICS_PORT"])
        for name, service in ours((BASE, SEEING)).items()
        if "ASRQ_METRICS_PORT" in service["environment"]
    }
    assert asked == measured


def test_redis_keeps_what_it_is_given() -> None:
    redis = services((BASE,))["redis"]
    words = redis["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    mounts = {volume["target"]: volume for volume in redis["volumes"]}
    assert mounts["/data"] == {"type": "volume", "source": "redis", "target": "/data", "volume": {}}
    assert mounts[options["--aclfile"]]["source"] == str(REPO / "ops" / "redis" / "users.acl")


def test_one_worker_for_each_gpu() -> None:
    workers = {name: service for name, service in ours((BASE, GPU)).items() if name.startswith("worker")}
    devices = {
        name: worker["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"]
        for name, worker in workers.items()
    }
    assert devices == {"worker": ["0"], "worker-1": ["1"], "worker-2": ["2"], "worker-3": ["3"]}
    assert [worker.get("profiles") for worker in workers.values()] == [None, ["gpu-1"], ["gpu-2"], ["gpu-3"]]
    for worker in workers.values():
        assert worker["build"]["target"] == "worker-cuda"
        assert worker["networks"]["default"] in (None, {"aliases": ["worker"]})  # one name finds them all
        different = {"profiles", "deploy", "networks"}
        assert {key: worker[key] for key in worker.keys() - different} == {
            key: workers["worker"][key] for key in workers["worker"].keys() - different
        }


def test_qwen_serves_and_whisper_stands_in() -> None:
    for name, service in ours((BASE, GPU, QWEN)).items():
        if name.startswith("worker"):
            given = {key.lower().removeprefix("asrq_"): value for key, value in service["environment"].items()}
            of_qwen = {key: value for key, value in given.items() if plugins.owner(key) == "qwen"}
            settings = Settings(**given).with_backends(of_qwen)
            assert (settings.backend, settings.fallback_backend) == ("qwen", "whisper")
            assert settings.model_of("qwen") == "1.7b"


def test_the_examples_name_every_variable_and_only_known_settings() -> None:
    given = set(re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    wanted = {
        name for file in TOGETHER[-1] for name in re.findall(r"\$\{(\w+)", (REPO / file).read_text(encoding="utf-8"))
    }
    assert given - {"HTTP_KEY"} == wanted
    for example in ("compose/asrq.env.example", "systemd/asrq.env.example"):
        text = (REPO / "ops" / example).read_text(encoding="utf-8")
        assert set(re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE)) <= KNOWN


def test_images_run_as_nobody_and_get_signals() -> None:
    base, worker = STAGES["base"], STAGES["worker"]
    assert re.search(r"^USER 10001:10001$", base, re.MULTILINE)
    assert 'ENTRYPOINT ["asrq"]\n' in base  # the exec form: process 1 gets SIGTERM
    assert "STOPSIGNAL SIGTERM\n" in base
    assert set(re.findall(r"\bASRQ_\w+(?==)", worker)) <= KNOWN
    health = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", worker, re.MULTILINE)
    assert health is not None
    parse(json.loads(health[1])[1:])


def test_images_take_what_is_locked_and_what_is_here() -> None:
    for target in ("client", "worker-cpu", "worker-cuda"):
        assert f"-r /locks/{target}.txt" in STAGES[f"{target}-made"]
        assert (REPO / "ops" / "locks" / f"{target}.txt").is_file()
    installs = [line for line in re.split(r"\n|&&", DOCKERFILE) if " install " in line and "/build/bin/pip" in line]
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    ignore = (REPO / "ops" / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for path in shlex.split(sources):
            assert (REPO / path).exists(), path
            assert f"!{path}\n" in ignore, path


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if program is None:
        missing("hadolint")
    command = [program, REPO / "ops" / "docker" / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_passwords_are_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in ("compose/compose.env.example", "redis/users.acl.example"):
        (tmp_path / file).parent.mkdir()
        shutil.copy(REPO / "ops" / file, tmp_path / file)
    make = runpy.run_path(str(REPO / "ops" / "compose" / "make_secrets.py"))["main"]
    assert make(tmp_path) == 0
    made, acl = tmp_path / "compose" / "compose.env", (tmp_path / "redis" / "users.acl").read_text(encoding="utf-8")
    passwords = dict(re.findall(r"^REDIS_(\w+)_PASSWORD=(.{32})$", made.read_text(encoding="utf-8"), re.MULTILINE))
    assert len(set(passwords.values())) == 4
    assert sys.platform == "win32" or made.stat().st_mode & 0o777 == 0o600
    for user, password in passwords.items():
        assert f"user {user.lower()} on #{hashlib.sha256(password.encode()).hexdigest()} " in acl
    assert "PASSWORD" not in acl  # every placeholder was filled
    (key,) = re.findall(r"^HTTP_KEY=(.{32})$", made.read_text(encoding="utf-8"), re.MULTILINE)
    holders = access.read(tmp_path / "compose" / "keys.toml")
    assert access.holder(f"Bearer {key}", holders).name == "client"
    assert make(tmp_path) == 1
    assert "there already" in capsys.readouterr().err
