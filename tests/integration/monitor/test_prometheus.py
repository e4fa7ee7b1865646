"""A real Prometheus scrapes a real worker, reaper and gateway: every panel and every rule is answered by data."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from conftest import REPO, free_port
from integration.monitor.asking import fetch
from support.needs import missing
from support.processes import Process, ended, worker
from support.waiting import until

from asrq_jobs import Client

PANELS = [
    panel
    for panel in json.loads((REPO / "ops/grafana/dashboards/asrq.json").read_text("utf-8"))["panels"]
    if panel["type"] != "row"
]
# Nothing has been served by another backend or been worn out here.
WITHOUT_DATA = ("asrq_fallbacks_total", "asrq_engine_replacements_total")


@dataclass
class Prometheus:
    """A running one, reached through its HTTP API."""

    port: int

    def api(self, path: str, **query: str) -> Any:
        """Ask for something; errors of Prometheus fail the test."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Evaluate a query now, with the interval that Grafana would put into it."""
        return list(self.api("query", query=expression.replace("$__rate_interval", "1m"))["result"])

    def up(self) -> int:
        """How many targets answer."""
        return len(self.query("up == 1"))


@contextmanager
def prometheus(folder: Path, targets: dict[str, int]) -> Iterator[Prometheus]:
    """Run Prometheus with the shipped configuration, but for where the targets are and how often it looks."""
    program = shutil.which("prometheus")
    if program is None:
        missing("prometheus (Debian's package of that name)")
    config = yaml.safe_load((REPO / "ops/prometheus/prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(REPO / "ops/prometheus/alerts.yml", folder)
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        running = Prometheus(port)

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return running.up() == len(targets)
            except OSError:
                return False

        until(answers)
        yield running
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvidia-smi that knows a device."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "0, 2048, 8192"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


@pytest.mark.usefixtures("smi")
def test_every_panel_and_rule_on_a_real_prometheus(client: Client, valkey_url: str, data: Path, tmp_path: Path) -> None:
    ports = {"asrq-worker": free_port(), "asrq-reaper": free_port(), "asrq-http": free_port()}
    reaper_settings = {"ASRQ_REDIS_URL": valkey_url, "ASRQ_REAPER_INTERVAL_S": "0.2"}
    reaper = Process("reaper", "--metrics-port", str(ports["asrq-reaper"]), env=reaper_settings)
    try:
        reaper.wait_for("monitor.listening")
        with (
            worker(valkey_url, lanes="interactive:1,batch:1", metrics_port=ports["asrq-worker"]) as running,
            _gateway(valkey_url, ports["asrq-http"]) as address,
            prometheus(tmp_path, ports) as prom,
        ):
            assert httpx.get(f"{address}/v1/models").status_code == 200
            blob = client.upload(data / "hello-en.flac")
            gate = tmp_path / "gate"
            jobs = [
                client.submit(blob, lane="interactive"),
                client.submit(blob),
                client.submit(blob, prompt="fail", retries=0),
                client.submit(blob, prompt=f"crash-once:{tmp_path / 'once'}"),
                client.submit(blob, prompt=f"until:{gate}"),
                client.submit(blob),
            ]
            results = [client.wait(job.id, timeout_s=120) for job in jobs[:4]]
            assert [result.status for result in results] == ["completed", "completed", "failed", "completed"]
            # One runs, one waits: what the backlog is estimated from.
            until(lambda: [r["value"][1] for r in prom.query('asrq_lane_jobs{lane="batch",state="waiting"}')] == ["1"])
            until(lambda: bool(prom.query('asrq_lane_drain_seconds{lane="batch"}')))
            _every_panel_has_data(prom)
            _the_values_are_right(prom, audio_s=results[0].duration or 0)
            _every_rule_works(prom)
            _promtool_finds_no_fault(ports)
            gate.touch()
            client.wait(jobs[-1].id, timeout_s=50)
            assert running.end() == 0
            until(lambda: _state_of(prom, "AsrqNoWorkerReady") == "pending")
        assert reaper.end() == 0
    finally:
        if reaper.process.poll() is None:
            reaper.process.kill()
            reaper.process.wait(60)


@contextmanager
def _gateway(redis_url: str, metrics_port: int) -> Iterator[str]:
    port = free_port()
    command = ("http", "--port", str(port), "--metrics-port", str(metrics_port))
    with ended(Process(*command, env={"ASRQ_REDIS_URL": redis_url})) as running:
        running.wait_for("monitor.listening")
        until(lambda: _answers(port))
        yield f"http://127.0.0.1:{port}"
        assert running.end() == 0


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _every_panel_has_data(prom: Prometheus) -> None:
    queries = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
    assert len(queries) > 30

    def empty() -> list[tuple[str, str]]:
        return [query for query in queries if not prom.query(query[1]) and not any(n in query[1] for n in WITHOUT_DATA)]

    try:
        until(lambda: not empty(), 15)  # a rate needs two samples
    except AssertionError:
        pytest.fail(f"without data: {empty()}")


def _the_values_are_right(prom: Prometheus, *, audio_s: float) -> None:
    def value(query: str) -> float:
        (found,) = prom.query(query)
        return float(found["value"][1])

    until(lambda: value('sum(asrq_attempts_total{outcome="completed"})') == 3)  # with the next look at the worker
    assert value('asrq_attempts_total{outcome="failed",code="inference_failed",lane="batch",backend="fake"}') == 1
    assert value("sum(asrq_audio_seconds_total)") == pytest.approx(3 * audio_s)
    assert value('asrq_queue_wait_seconds_count{lane="interactive"}') == 1
    assert value('asrq_engine_restarts_total{reason="engine_crashed"}') >= 1
    assert value('asrq_backend_outcomes_total{backend="fake",code=""}') == 3
    assert value('asrq_queue_events_total{event="completed"}') == 3
    assert value('asrq_lane_jobs{lane="batch",state="dead"}') == 1
    assert value('asrq_http_requests_total{route="/v1/models",status="200"}') == 1
    assert value('asrq_lane_jobs{lane="batch",state="running"}') == 1
    assert value('asrq_lane_backlog_audio_seconds{lane="batch"}') == pytest.approx(audio_s, rel=0.01)
    assert value('sum(asrq_leases{lane="batch"})') == 1
    assert value("asrq_worker_ready") == value("asrq_reaper_leading") == value("min(asrq_redis_up)") == 1
    assert value('asrq_device_memory_bytes{device="0"}') == 2 << 30


def _every_rule_works(prom: Prometheus) -> None:
    (group,) = prom.api("rules")["groups"]
    assert len(group["rules"]) >= 10
    for rule in group["rules"]:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule
    for alert in ("AsrqNoWorkerReady", "AsrqNoReaperLeads"):
        until(lambda alert=alert: _state_of(prom, alert) == "inactive")  # a slow machine may miss a scrape


def _state_of(prom: Prometheus, alert: str) -> str:
    (group,) = prom.api("rules")["groups"]
    (rule,) = [rule for rule in group["rules"] if rule["name"] == alert]
    return str(rule["state"])


def _promtool_finds_no_fault(ports: dict[str, int]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool (Debian's package prometheus)")
    for port in ports.values():
        _, metrics = fetch(port, "/metrics")
        done = subprocess.run(
            [promtool, "check", "metrics"], input=metrics, capture_output=True, timeout=30, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, b""), done.stderr
